"""Cross-validation: run every fit of an experiment, one after the other."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from goldfold.experiment.fits import Experiment, Fit, FitObserver, fit, fit_keys


def cross_validate(
    experiment: Experiment, folder: Path, observe: FitObserver | None = None
) -> Generator[Fit, None, None]:
    """Fit every fold with every seed in `folder/fold<k>-seed<s>`; complete fits are read, not fitted again.

    observe: called with fold, seed and progress of the training.
    """
    for fold, seed in fit_keys(experiment):
        yield fit(experiment, folder, fold, seed, observe)
