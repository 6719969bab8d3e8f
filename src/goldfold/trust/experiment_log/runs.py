"""Read the finished runs of a competition for its experiment log; runs that cannot be read are named."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.identity import intact
from goldfold.experiment.run_folders import BLEND, FINISHED, GRADE, IMPORTED
from goldfold.experiment.setup import config_of_run
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.params import Role, names
from goldfold.trust.comparisons import protocol_part
from goldfold.trust.experiment_log import remarks
from goldfold.trust.experiment_log.remarks import Remarks
from goldfold.trust.run_comparison import budget

AT_CHANCE = 1e-9  # of a mean score, within which predictions are those of the chance level


@dataclass(frozen=True, eq=False, kw_only=True)
class LoggedRun:
    """A finished run, as its folder records it.

    started: with a time zone. config: every key that has an effect. defaults: of its recipe, empty for a blend and for
    a recipe that is gone. metrics: as metrics.json. drawn: hash of the folds. budget: epochs, steps, samples and
    seconds of a fit. seconds: of training, all fits. hidden: score on hidden labels. untrained: its recipe trains, but
    did not here. backbone: value of the parameter with that role.
    """

    folder: Path
    started: datetime
    config: Mapping[str, Any]
    defaults: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    drawn: str
    reproduce: Mapping[str, Any]
    findings: Sequence[Mapping[str, str]]
    budget: Mapping[str, float]
    seconds: float
    hidden: float | None
    blended: bool
    imported: bool
    untrained: bool
    backbone: str | None
    remarks: Remarks

    @property
    def name(self) -> str:
        """The folder's name, such as baseline-r3."""
        return self.folder.name

    @property
    def id(self) -> str:
        """Date of the start in UTC and the user's name of the run, else the folder's, such as 20260206-no-hash."""
        return f"{self.started.astimezone(UTC):%Y%m%d}-{self.remarks.name or self.name}"

    @property
    def metric(self) -> str:
        """Name of the competition's metric."""
        return next(iter(self.metrics))

    @property
    def picked(self) -> bool:
        """Whether its epoch was picked by hand."""
        return "by hand" in protocol_part(self.metrics[self.metric]["protocol"], "selection")

    @property
    def as_chance(self) -> bool:
        """Whether it scores exactly as chance does, as a prediction of the most frequent class."""
        return abs(self.metrics[self.metric]["mean"] - self.metrics[self.metric]["chance"]) < AT_CHANCE


def read_runs(workspace: Workspace, competition: str) -> tuple[list[LoggedRun], dict[str, str]]:
    """The finished runs of a competition, in order of their recorded start; and name -> why, of those left out."""
    found, left_out = [], {}
    for folder in _folders(workspace.runs / competition):
        if not (folder / FINISHED).exists():
            left_out[folder.name] = "it is not finished"
            continue
        try:
            found.append(_read(workspace, folder))
        except intact.UNREADABLE as error:
            left_out[folder.name] = f"its folder is damaged ({_one_line(error)})"
    return sorted(found, key=lambda run: (run.started, _number(run.folder))), left_out


def with_remarks(runs: Sequence[LoggedRun], changed: Path, fields: Mapping[str, str]) -> list[LoggedRun]:
    """The runs, one of them with one more entry of remarks, which is not stored."""
    return [
        replace(run, remarks=remarks.with_entry(run.folder, fields)) if run.folder == changed else run for run in runs
    ]


def _folders(place: Path) -> list[Path]:
    """The run folders of a competition in order of their names."""
    known = place.iterdir() if place.exists() else ()
    return sorted(path for path in known if path.is_dir() and re.fullmatch(r".+-r\d+", path.name))


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-r")[2])


def _read(workspace: Workspace, folder: Path) -> LoggedRun:
    intact.refuse_damaged(folder, large=False)
    reproduce, histories = read_json(folder / "reproduce.json"), sorted(folder.glob("fold*-seed*/history.json"))
    if not histories:
        raise GoldfoldError("file_missing", "it has no fits")
    trained = [row for path in histories for row in read_json(path)]
    blended = (folder / BLEND).exists()
    config, defaults, backbone, has_epochs = _parameters(workspace, folder, blended)
    lines = sorted((folder / "folds.csv").read_text(encoding="utf-8").splitlines())
    return LoggedRun(
        folder=folder,
        started=_time(reproduce["started"]),
        config=config,
        defaults=defaults,
        metrics=_metrics(folder),
        drawn=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        reproduce=reproduce,
        findings=[{key: str(each[key]) for key in ("code", "level", "message", "where")} for each in _findings(folder)],
        budget=budget(folder),
        seconds=sum(float(row["seconds"]) for row in trained),
        hidden=float(read_json(folder / GRADE, dict)["score"]) if (folder / GRADE).exists() else None,
        blended=blended,
        imported=(folder / IMPORTED).exists(),
        untrained=has_epochs and not trained,
        backbone=backbone,
        remarks=remarks.read(folder),
    )


def _findings(folder: Path) -> list[dict[str, Any]]:
    return read_json(folder / "findings.json")


def _metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """Metric -> summary, with the keys that the log reads."""
    found = read_json(folder / "metrics.json")
    for summary in found.values():
        float(summary["mean"]), float(summary["chance"]), summary["protocol"], summary.get("interval_95")
        if not summary["folds"] or len(summary["bounds"]) != 2:
            raise ValueError("metrics.json has a metric without folds or range")
    if not found:
        raise ValueError("metrics.json has no metric")
    return found


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parameters(
    workspace: Workspace, folder: Path, blended: bool
) -> tuple[dict[str, Any], dict[str, Any], str | None, bool]:
    """Keys that have an effect, the recipe's defaults, the backbone, and whether the recipe trains by epochs.

    A config that is no longer valid is taken as it was recorded.
    """
    recorded = read_json(folder / "config.json")
    if blended:
        return recorded, {}, None, False
    try:
        config = config_of_run(workspace, folder).effective()
        recipes = workspace.competition(folder.parent.name).recipes
        defaults = configs.resolve_config(config.name, {"recipe": config.recipe}, recipes).resolved()
    except GoldfoldError:
        return recorded, {}, None, False
    model = type(config.params)
    backbones = [recorded.get(key) for key in names(model, Role.BACKBONE)]
    return config.resolved(), defaults, next(iter(backbones), None), bool(names(model, Role.EPOCHS))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()) if not isinstance(error, GoldfoldError) else str(error)
