"""The observer that tells trackers of a run: its epochs as they end, its fits, its result.

A tracker that fails is told of once and left alone; the run goes on, and `make track` sends everything afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from goldfold.experiment.fits import FitObserver, fit_folder
from goldfold.experiment.run_folders import FINISHED, run_name
from goldfold.io.progress import EpochProgress
from goldfold.params import Params
from goldfold.trackers import told
from goldfold.trackers.settings import MlflowSettings, Settings, TensorBoardSettings, WandbSettings
from goldfold.trackers.told import Epoch, Result, Start

LONGEST_TOLD = 300  # characters of another program's error


class Tracker(Protocol):
    """One run in one tracker. Whatever is told again after a resume is there once.

    place: the command or address that shows or sends the run.
    """

    place: str

    def epoch(self, epoch: Epoch) -> None:
        """Take the values of a trained epoch."""

    def scored(self, fit: str, scores: Mapping[str, float]) -> None:
        """Take the scores of a complete fit, by metric."""

    def finished(self, result: Result) -> None:
        """Take what the finished run came to."""

    def close(self, failed: bool) -> None:
        """End the run there. failed: it ended before it was finished."""


def open_tracker(name: str, start: Start, settings: Params, root: Path) -> Tracker:
    """The run of `start` in a tracker, new or resumed. root: of the project, to which folders are relative."""
    if isinstance(settings, TensorBoardSettings):
        from goldfold.trackers.tensorboard_files import TensorBoardFiles

        return TensorBoardFiles(start, settings, root)
    if isinstance(settings, WandbSettings):
        from goldfold.trackers.wandb_runs import WandbRun

        return WandbRun(start, settings, root)
    if isinstance(settings, MlflowSettings):
        from goldfold.trackers.mlflow_runs import MlflowRun

        return MlflowRun(start, settings, root)
    raise AssertionError(f"{name} has no tracker")


class Tracking:
    """Tells the trackers of one run.

    line: receives what a user is told. failed: name of a tracker that failed -> what happened, in a clause.
    """

    def __init__(self, run: Path, settings: Settings, root: Path, line: Callable[[str], None]) -> None:
        self._run, self._settings, self._root, self._line = run, settings, root, line
        self._open: dict[str, Tracker] = {}
        self._sent: set[tuple[str, str, int]] = set()
        self._scored: set[str] = set()
        self.failed: dict[str, str] = {}
        self.places: dict[str, str] = {}

    def started(self) -> None:
        """Open every tracker, and tell what is known of the run already."""
        for name, own in self._settings.items():
            with self._safely(name):
                start = told.start_of(self._run)
                self._open[name] = open_tracker(name, start, own, self._root)
                self.places[name] = self._open[name].place
                self._line(f"tracker {name}: {self.places[name]}")
        for place in told.fits_of(self._run):
            self.fitted(place)

    def after(self, watch: FitObserver) -> FitObserver:
        """An observer of fits that tells the trackers what `watch` has seen and not refused."""

        def epoch(fold: int, seed: int, progress: EpochProgress) -> None:
            watch(fold, seed, progress)
            if progress.row is not None and self._settings:
                self.epoch(fold, seed, progress.row)

        return epoch

    def epoch(self, fold: int, seed: int, row: Mapping[str, Any]) -> None:
        """Tell of an epoch that has ended, and keep it for a resumed run."""
        place = fit_folder(self._run, fold, seed)
        with self._safely("history"):
            told.write_row(place, row)
        self._tell_epoch(told.epoch_of(place.name, row))

    def fitted(self, place: Path) -> None:
        """Tell of the epochs of a fit that were not told yet, and of its scores if it is complete."""
        if not self._open:
            return
        for epoch in told.epochs_of(place):
            self._tell_epoch(epoch)
        scores = told.scores_of_fit(place)
        if scores and place.name not in self._scored:
            self._scored.add(place.name)
            self._each(lambda tracker: tracker.scored(place.name, scores))
            (place / told.JOURNAL).unlink(missing_ok=True)

    def finished(self) -> None:
        """Tell what the run came to, if it is finished."""
        if not self._open:
            return
        with self._safely("result"):
            result = told.result_of(self._run)
            if result:
                self._each(lambda tracker: tracker.finished(result))

    def close(self, failed: bool) -> None:
        """End the run in every tracker."""
        self._each(lambda tracker: tracker.close(failed))
        self._open.clear()

    def _tell_epoch(self, epoch: Epoch) -> None:
        key = (epoch.fit, epoch.stage, epoch.number)
        if key not in self._sent:
            self._sent.add(key)
            self._each(lambda tracker: tracker.epoch(epoch))

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._open.items()):
            with self._safely(name):
                tell(tracker)

    @contextmanager
    def _safely(self, name: str) -> Iterator[None]:
        """Let no failure of a tracker stop the run: networks, disks and other programs fail in any way."""
        try:
            yield
        except Exception as error:
            self._open.pop(name, None)
            if name in self.failed:
                return
            self.failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:LONGEST_TOLD]}"
            self._line(
                f"warning  tracker_failed: {name} failed ({self.failed[name]}); the run does not depend on it: make "
                f"track RUN={run_name(self._run)} sends everything afterwards"
            )


@contextmanager
def tracking(run: Path, settings: Settings, root: Path, line: Callable[[str], None]) -> Iterator[Tracking]:
    """Track a run until the `with` block ends; nothing is done without settings."""
    observer = Tracking(run, settings, root, line)
    if settings:
        observer.started()
    try:
        yield observer
        observer.finished()
    finally:
        observer.close(failed=not (run / FINISHED).exists())
