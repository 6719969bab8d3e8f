"""Cross-validation: every fit of an experiment, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from goldfold.experiment.fits import Experiment, Fit, FitObserver, fit, fits_of


def cross_validate(experiment: Experiment, folder: Path, observe: FitObserver | None = None) -> Iterator[Fit]:
    """Fit every fold from every seed in `folder/fold<k>-seed<s>`; a complete fit is read instead of fitted again."""
    for fold, seed in fits_of(experiment):
        yield fit(experiment, folder, fold, seed, observe)
