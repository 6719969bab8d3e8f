"""Send runs to experiment trackers: while they train, and afterwards an older one or one whose tracker failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.config import Config, parsed
from goldfold.experiment.run_folders import is_running, open_run, run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_json
from goldfold.params import Params
from goldfold.trackers import settings as known
from goldfold.trackers.observer import Tracking, tracking

TRACKERS = "trackers.json"  # in a run's folder: its trackers with their settings


@dataclass(frozen=True)
class Tracked:
    """A run that was sent. places: name of a tracker -> the command or address that shows it."""

    run: str
    places: Mapping[str, str]

    def __str__(self) -> str:
        return "\n".join(f"{self.run} sent to {name}: {place}" for name, place in self.places.items())


def track(workspace: Workspace, name: str, to: Any = None) -> Tracked:
    """Send a run to trackers: its history, and its result if it is finished; what they have of it is not doubled.

    to: as the config key `tracker`, or its YAML text; None: those that the run was sent to before.

    Raises:
        GoldfoldError: `no_tracker`; `run_is_running`; `tracker_failed`; as `trackers.settings.parse`.
    """
    run = open_run(workspace, name, finished=False)
    own = read_json(run / TRACKERS, dict) if (run / TRACKERS).exists() else {}
    if not own and not to:
        raise GoldfoldError(
            "no_tracker",
            f"run '{run_name(run)}' was sent to no tracker yet: name one of {', '.join(known.SETTINGS)}, such as make "
            f"track RUN={run_name(run)} TO=tensorboard",
        )
    if is_running(run):
        raise GoldfoldError(
            "run_is_running", f"run '{run_name(run)}' is training, and is told of meanwhile: wait until it has ended"
        )
    settings = known.parse(parsed(to, "TO") if isinstance(to, str) else to or own, run.name)
    known.refuse_missing(settings)
    _keep(run, own, settings)
    with tracking(run, settings, workspace.root, lambda text: None) as sent:
        pass
    if sent.failed:
        told = "; ".join(f"{name} failed ({what})" for name, what in sent.failed.items())
        raise GoldfoldError(
            "tracker_failed",
            f"run '{run_name(run)}' was not sent whole: {told}: set that right, and run the same command again",
        )
    return Tracked(run_name(run), sent.places)


def trackers_of(config: Config) -> dict[str, Params]:
    """The trackers that a config names; GoldfoldError if one is unknown or not installed."""
    settings = known.parse(config.tracker, config.name)
    known.refuse_missing(settings)
    return settings


@contextmanager
def tracked(workspace: Workspace, run: Path, settings: known.Settings) -> Iterator[Tracking]:
    """Send a run while it is carried out. settings: of its trackers; without any nothing is done."""
    if settings:
        _keep(run, {}, settings)
    with tracking(run, settings, workspace.root, workspace.observer.line) as observer:
        yield observer


def _keep(run: Path, before: Mapping[str, Any], settings: known.Settings) -> None:
    """Write down where a run is sent to."""
    write_json(run / TRACKERS, {**before, **{name: own.model_dump() for name, own in settings.items()}})
