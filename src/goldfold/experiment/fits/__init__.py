"""One fit of an experiment: its plan, training, predictions and scores, and its files."""

from goldfold.experiment.fits.experiment import (
    CHECKPOINTS,
    OWN_SPLIT,
    Experiment,
    Protocol,
    build_from,
    build_plan,
    fit_folder,
    fit_keys,
    fold_numbers,
    targets_of,
    training_rows,
)
from goldfold.experiment.fits.files import Fit, is_complete, keep, load_fit, save_fit
from goldfold.experiment.fits.fitting import FitObserver, PlanObserver, fit, predict_and_score
from goldfold.experiment.fits.tables import choose_again

__all__ = [
    "CHECKPOINTS",
    "OWN_SPLIT",
    "Experiment",
    "Fit",
    "FitObserver",
    "PlanObserver",
    "Protocol",
    "build_from",
    "build_plan",
    "choose_again",
    "fit",
    "fit_folder",
    "fit_keys",
    "fold_numbers",
    "is_complete",
    "keep",
    "load_fit",
    "predict_and_score",
    "save_fit",
    "targets_of",
    "training_rows",
]
