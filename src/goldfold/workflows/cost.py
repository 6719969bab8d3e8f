"""Tell what a run will cost in time and disk space, once its first epoch is trained."""

from __future__ import annotations

from pathlib import Path

from goldfold.experiment.fits import CHECKPOINTS, Experiment, FitObserver, fit_folder, fit_keys
from goldfold.io.formatting import ROUNDING, count, duration
from goldfold.io.progress import EpochProgress, Observer

WORTH_TELLING = 60  # seconds; shorter runs end before a forecast is read


def telling(observer: Observer, experiment: Experiment, run: Path, watch: FitObserver) -> FitObserver:
    """An observer of fits that also prints the cost of the run after the first epoch that it sees.

    watch: the observer that gets every report.
    """
    told = False

    def epoch(fold: int, seed: int, progress: EpochProgress) -> None:
        nonlocal told
        watch(fold, seed, progress)
        first = progress.epoch == 1 and progress.done * progress.epochs <= 1 + ROUNDING  # not so of a resumed fit
        if progress.row and first and not told:
            told = True
            if text := forecast(experiment, fit_folder(run, fold, seed), progress):
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
    saved = sum(file.stat().st_size for file in (fit / CHECKPOINTS).glob("*"))
    kept = saved * (epochs if experiment.protocol.debug else min(2, epochs)) * fits
    return (
        f"about {duration(seconds)} of training, {kept / 2**20:,.0f} MiB of checkpoints for {count(fits, 'fit')}: one "
        f"epoch of {round(epochs)} took {duration(progress.row['seconds'])}, without validation"
    )
