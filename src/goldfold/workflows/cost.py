"""Tell what a run will cost in time and disk space, once its first epoch is trained."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import CHECKPOINTS, Experiment, FitObserver, fit_folder, fit_keys
from goldfold.experiment.run_folders import run_name
from goldfold.io.files import files_below
from goldfold.io.formatting import ROUNDING, count, duration
from goldfold.io.progress import EpochProgress, Observer
from goldfold.training.checkpoints import STATES_KEPT

MOST_KEPT = 3  # weights of a complete fit without DEBUG: the newest two, and the best
WORTH_TELLING = 60  # seconds; shorter runs end before a forecast is read


def telling(observer: Observer, experiment: Experiment, run: Path, watch: FitObserver) -> FitObserver:
    """An observer of fits that also prints the cost of the run after the first epoch that it sees.

    watch: the observer that gets every report.

    The observer raises `disk_too_small` then, if the disk has less free space than the run still needs.
    """
    told = False

    def epoch(fold: int, seed: int, progress: EpochProgress) -> None:
        nonlocal told
        watch(fold, seed, progress)
        first = progress.epoch == 1 and progress.done * progress.epochs <= 1 + ROUNDING  # not so of a resumed fit
        if progress.row and first and not told:
            told = True
            fit = fit_folder(run, fold, seed)
            refuse_small_disk(run, further_bytes(experiment, fit, progress), shutil.disk_usage(run).free)
            if text := forecast(experiment, fit, progress):
                observer.line(text)

    return epoch


def forecast(experiment: Experiment, fit: Path, progress: EpochProgress) -> str | None:
    """The time and disk space of all fits in a line, from one trained epoch; None if the rest takes under a minute.

    fit: folder of the fit whose first epoch `progress` reports.
    """
    assert progress.row is not None, "the epoch has ended"
    epochs, fits = 1 / progress.done if progress.done else 1, len(fit_keys(experiment))
    seconds = progress.row["seconds"] * epochs * fits
    if seconds - progress.row["seconds"] < WORTH_TELLING:
        return None
    weights, _ = _saved(fit)
    kept = weights * _kept_epochs(experiment, epochs) * fits
    return (
        f"about {duration(seconds)} of training, {kept / 2**20:,.0f} MiB of checkpoints for {count(fits, 'fit')}: one "
        f"epoch of {round(epochs)} took {duration(progress.row['seconds'])}, without validation"
    )


def _saved(fit: Path) -> tuple[int, int]:
    """Bytes of the weights, and of the training states, that a fit has saved so far."""
    files = list((fit / CHECKPOINTS).glob("*"))
    states = sum(file.stat().st_size for file in files if file.name.endswith(".training.pt"))
    return sum(file.stat().st_size for file in files) - states, states


def _kept_epochs(experiment: Experiment, epochs: float) -> float:
    return epochs if experiment.protocol.debug else min(MOST_KEPT, epochs)


def further_bytes(experiment: Experiment, fit: Path, progress: EpochProgress) -> float:
    """What all fits will write beside what the first epoch of `fit` has saved.

    A complete fit keeps weights alone; one in training also has the states of its newest epochs.
    """
    epochs = 1 / progress.done if progress.done else 1
    weights, state = _saved(fit)
    kept = weights * _kept_epochs(experiment, epochs) * len(fit_keys(experiment))
    return kept - weights + state * (min(STATES_KEPT, epochs) - 1)


def rest_bytes(run: Path, first: Path, fits: Sequence[tuple[int, int]]) -> int:
    """What a run will write beside what it has written, once its first fit is complete: fits, and what they add up to.

    first: folder of that fit, whose size is taken for all. fits: (fold, seed) of every fit.
    """
    written = [_size(fit_folder(run, *each)) for each in fits]
    validation, test = ((first / f"{name}.npy").stat().st_size for name in ("validation", "test"))
    return max(0, _size(first) * len(fits) - sum(written)) + validation * len(fits) + test


def _size(folder: Path) -> int:
    """Bytes of the files in a folder and below; 0 if there is none."""
    size = 0
    for path in files_below(folder):
        with suppress(FileNotFoundError):  # another worker renames what it has written
            size += path.stat().st_size
    return size


def refuse_small_disk(run: Path, needed: float, free: float) -> None:
    """Refuse to train on where the disk ends before the run does (`disk_too_small`); needed, free: bytes."""
    if needed > free:
        raise GoldfoldError(
            "disk_too_small",
            f"run '{run_name(run)}' may write up to {needed / 2**20:,.0f} MiB of checkpoints and predictions, and its "
            f"disk has {free / 2**20:,.0f} MiB free: free disk space (make clean), or leave out DEBUG, and run the "
            "same command again to resume",
        )
