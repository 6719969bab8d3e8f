"""What a teacher predicts for rows, fold by fold, by models that never saw the rows that score the fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from filelock import FileLock
from pandas import DataFrame

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import Experiment, build_from
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.teachers.runs import Teacher, together
from goldfold.experiment.views_and_seeds import predictor_of
from goldfold.io.files import read_array, write_array
from goldfold.io.seeding import derive
from goldfold.training.devices import under_torchrun
from goldfold.training.loop import train
from goldfold.training.predictor import finish_plan


@dataclass(frozen=True)
class Asking:
    """A teacher and the experiment it was trained as, to predict with its weights. cache: a folder shared by runs."""

    teacher: Teacher
    experiment: Experiment
    cache: Path

    def of_rows(self, fold: int, rows: DataFrame) -> np.ndarray:
        """Predictions for any rows by the teacher's fits of a fold, combined over seeds."""
        folder, fits = self.teacher.folder, self.teacher.fits[fold]
        parts = [predictor_of(self.experiment, folder, fit)[0](rows) for fit in fits]
        return together(self.experiment.recipe.combine, parts)


def out_of_fold(teacher: Teacher, experiment: Experiment, folds: Sequence[int]) -> np.ndarray:
    """Predictions for the train table, each by the fits that held the row out; NaN for rows of none of `folds`."""
    parts = {
        fold: together(experiment.recipe.combine, [fit.validation for fit in teacher.fits[fold]]) for fold in folds
    }
    return _spread(experiment, {fold: (experiment.folds[fold].validation, part) for fold, part in parts.items()})


def in_sample(asking: Asking, student: Experiment, fold: int) -> np.ndarray:
    """Predictions of the teacher's fits of a fold for the student's training rows of this fold; NaN for others."""
    positions = student.folds[fold].train
    rows = student.tables.train.iloc[positions].reset_index(drop=True)
    return _spread(student, {fold: (positions, asking.of_rows(fold, rows))})


def nested(asking: Asking, student: Experiment, folds: Sequence[int]) -> dict[int, np.ndarray]:
    """For each fold predictions for its training rows, each by a model trained without the row's fold and this one.

    A model per pair of folds serves both, so k folds take k (k - 1) / 2 trainings per seed. They are kept by the
    teacher's identity. Rows that no fold holds out have NaN.

    Raises:
        GoldfoldError: `nested_teacher`, the teacher was taught by or started from fits that saw one of both folds.
    """
    if wanted := asking.experiment.loop.init_from:
        raise GoldfoldError(
            "nested_teacher",
            f"a nested teacher is trained without two folds, and the fits of run '{run_name(asking.teacher.folder)}' "
            f"start from those of '{wanted}' (init_from), which left out one: name a run that starts anew, or set "
            "predictions: in_sample",
        )
    if asking.experiment.lessons is not None:
        raise GoldfoldError(
            "nested_teacher",
            f"a nested teacher is trained without two folds, and run '{run_name(asking.teacher.folder)}' has a teacher "
            "that left out one: name a run without a teacher, or set predictions: in_sample",
        )
    every = range(len(student.folds))
    pairs = [pair for pair in combinations(every, 2) if set(pair) & set(folds)]
    found: dict[int, dict[int, tuple[np.ndarray, np.ndarray]]] = {fold: {} for fold in every}
    for done, (one, other) in enumerate(pairs):
        student.runtime.progress("teachers without two folds", done, len(pairs))
        for trained, predicted in ((one, other), (other, one)):
            positions = student.folds[predicted].validation
            found[trained][predicted] = positions, _of_pair(asking, (one, other), predicted)
    return {fold: _spread(student, found[fold]) for fold in folds}


def _of_pair(asking: Asking, pair: tuple[int, int], predicted: int) -> np.ndarray:
    """Predictions for the validation rows of fold `predicted` by models without the folds of a pair."""
    places = [_kept(asking, pair, seed) for seed in asking.experiment.protocol.seeds]
    return together(asking.experiment.recipe.combine, [read_array(place / f"fold{predicted}.npy") for place in places])


def _kept(asking: Asking, pair: tuple[int, int], seed: int) -> Path:
    """The folder with predictions of a model without both folds for their validation rows; it is trained once."""
    place = asking.cache / "teachers" / asking.teacher.identity / f"without{pair[0]}-{pair[1]}-seed{seed}"
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):
        if not all((place / f"fold{fold}.npy").exists() for fold in pair):
            _write(place, _trained(asking.experiment, pair, seed))
    return place


def _write(place: Path, predictions: dict[int, np.ndarray]) -> None:
    for fold, values in predictions.items():
        write_array(place / f"fold{fold}.npy", values)


def _trained(experiment: Experiment, pair: tuple[int, int], seed: int) -> dict[int, np.ndarray]:
    """Train a plan on the rows that both folds train on; fold -> predictions for its validation rows."""
    if under_torchrun():  # its processes meet in every step, and this one alone holds the lock
        raise GoldfoldError(
            "nested_teacher",
            "nested teachers are trained by one process, and torchrun started several: run the command once without "
            "torchrun, which keeps their predictions",
        )
    one, other = (experiment.folds[fold] for fold in pair)
    positions = np.setdiff1d(np.intersect1d(one.train, other.train), np.union1d(one.validation, other.validation))
    table = experiment.tables.train
    plan = build_from(experiment, table.iloc[positions].reset_index(drop=True), derive(seed, "without", *pair))
    if plan.stages:
        with TemporaryDirectory() as folder:
            loop = experiment.loop.model_copy(update={"select": "last", "patience": None, "hard_examples": 0})
            train(plan, loop=loop, device=experiment.runtime.device, folder=Path(folder))
    predict = finish_plan(plan, plan.model, experiment.competition.targets, experiment.loop.precision)
    held_out = {fold: table.iloc[experiment.folds[fold].validation].reset_index(drop=True) for fold in pair}
    return {fold: predict(rows) for fold, rows in held_out.items()}


def _spread(experiment: Experiment, parts: dict[int, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Predictions at their positions of the train table, NaN elsewhere."""
    shape = next(iter(parts.values()))[1].shape[1:]
    every = np.full((len(experiment.tables.train), *shape), np.nan)
    for positions, values in parts.values():
        every[positions] = values
    return every
