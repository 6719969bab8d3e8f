"""Refuse what a teacher cannot say or a recipe cannot learn from, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.data.training_rows import soft_targets
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.early_checks import class_order
from goldfold.experiment.fits import Experiment, targets_of
from goldfold.experiment.run_folders import run_name
from goldfold.optional_parts import LabelColumns
from goldfold.params import Role, values

if TYPE_CHECKING:
    from goldfold.experiment.teachers.runs import Teacher

SUM_TOLERANCE = 1e-3  # by which the probabilities of a row may differ from 1 in sum


def check_student(experiment: Experiment, name: str) -> None:
    """Check that a recipe can learn what its config asks a teacher for. name: of the recipe.

    Raises:
        GoldfoldError: `soft_targets_unsupported`, the recipe takes no weights, soft targets or temperature;
            `teacher_unusable`, its predictions are neither probabilities nor values of one target; `column_reserved`;
            `pseudo_labels_unusable`, it reads a column that unlabeled rows lack, or a threshold is of no probability.
    """
    protocol, labels = experiment.protocol, experiment.recipe.labels
    if labels is None and not _predicts_values(experiment):
        raise GoldfoldError(
            "teacher_unusable",
            f"a teacher gives probabilities of a recipe's `labels`, or values of one target of floats, and recipe "
            f"'{name}' predicts neither: leave pseudo_labels and distill out, or declare its `labels`",
        )
    lacking = [each for each in _wanted(experiment) if each not in experiment.recipe.accepts]
    if lacking:
        raise GoldfoldError(
            "soft_targets_unsupported",
            f"recipe '{name}' does not take {lacking[0].replace('_', ' ')}, which this config asks for: "
            f"{_ways(lacking[0])}",
        )
    if reserved := soft_targets.reserved(experiment.tables.train):
        raise GoldfoldError(
            "column_reserved", f"column '{reserved[0]}' of the train table has a reserved name: rename it in load()"
        )
    if protocol.pseudo_labels:
        _check_unlabeled(experiment, name)
        if labels is None and protocol.pseudo_labels.threshold is not None:
            raise GoldfoldError(
                "pseudo_labels_unusable",
                f"a threshold is a probability, and recipe '{name}' predicts values: leave "
                f"threshold={protocol.pseudo_labels.threshold} out",
            )
    if labels is None and protocol.distill and protocol.distill.temperature != 1:
        raise GoldfoldError(
            "soft_targets_unsupported",
            f"a temperature softens probabilities, and recipe '{name}' predicts values: leave it at 1",
        )


def _predicts_values(experiment: Experiment) -> bool:
    """Whether predictions can stand in the target column: it is one of floats, and they are no embeddings."""
    targets, train = experiment.competition.targets, experiment.tables.train
    return len(targets) == 1 and train[targets[0]].dtype.kind == "f" and experiment.competition.metric.retrieval is None


def _wanted(experiment: Experiment) -> list[str]:
    """What the recipe has to accept, the most special first."""
    pseudo, distill = experiment.protocol.pseudo_labels, experiment.protocol.distill
    wanted = ["weights"] if pseudo and pseudo.weight != 1 else []
    if experiment.recipe.labels is None:
        return wanted
    soft = distill is not None or (pseudo is not None and pseudo.labels == "soft")
    wanted += ["soft_targets"] if soft else []
    return wanted + (["temperature"] if distill and distill.temperature != 1 else [])


def _ways(lacking: str) -> str:
    ways = {
        "weights": "leave weight at 1",
        "soft_targets": "use pseudo_labels with labels: hard",
        "temperature": "leave temperature at 1",
    }
    return f"{ways[lacking]}, or take a recipe whose `accepts` has it, such as frozen_backbone"


def _check_unlabeled(experiment: Experiment, name: str) -> None:
    """Check that the rows to be labeled exist and have what the recipe reads."""
    asked, targets = experiment.protocol.pseudo_labels, set(experiment.competition.targets)
    rows = experiment.tables.test if asked is None or asked.rows == "test" else experiment.tables.extra
    if rows is None:
        raise GoldfoldError(
            "pseudo_labels_unusable",
            "pseudo_labels has rows: extra, and no row of Tables.extra lacks its targets: set rows: test",
        )
    read = {*experiment.recipe.columns, *filter(None, values(experiment.params, Role.COLUMN).values())} - targets
    if absent := sorted(read - set(rows.columns)):
        raise GoldfoldError(
            "pseudo_labels_unusable",
            f"recipe '{name}' trains with column '{absent[0]}', which the rows to be labeled lack: leave pseudo_labels "
            "out, or give the test table that column",
        )


def check_teacher(experiment: Experiment, teacher: Teacher) -> None:
    """Check that teacher and student name the classes in one order; raises GoldfoldError `teacher_unusable`."""
    recipes, recipe = experiment.competition.recipes, str(teacher.config.get("recipe"))
    if recipe not in recipes:
        raise unknown("recipe of the teacher", recipe, recipes, code="teacher_unusable")
    order = class_order(experiment.competition, recipes[recipe], experiment.tables.train)
    if order != experiment.runtime.classes:
        raise GoldfoldError(
            "teacher_unusable",
            f"teacher and student must predict the same labels in one order, and recipe '{recipe}' of run "
            f"'{run_name(teacher.folder)}' predicts {_some(order)}: name a run whose recipe predicts "
            f"{_some(experiment.runtime.classes)}",
        )


def check_predictions(experiment: Experiment, teacher: Teacher, predictions: np.ndarray) -> None:
    """Check what a teacher predicted for some rows, NaN apart; raises GoldfoldError `teacher_unusable`."""
    targets, shape = targets_of(experiment), predictions.shape[1:]
    classes = len(targets.classes or ())
    several = isinstance(targets.labels, LabelColumns)
    allowed = [(classes,)] if several or classes > 2 else [(), (2,)] if classes else [()]
    fault = ""
    if predictions.dtype.names or shape not in allowed:
        fault = f"of shape {predictions.shape}" if not predictions.dtype.names else "records of several fields"
    elif targets.labels is not None:
        known = predictions[~np.isnan(predictions).reshape(len(predictions), -1).any(axis=1)]
        if known.size and (known.min() < 0 or known.max() > 1):
            fault = f"between {known.min():.3g} and {known.max():.3g}"
        elif known.ndim == 2 and not several and np.abs(known.sum(axis=1) - 1).max(initial=0) > SUM_TOLERANCE:
            fault = f"rows of probabilities whose sum is up to {known.sum(axis=1).max():.3g}"
    if fault:
        needed = "probabilities in [0, 1], whose sum over classes is 1" if targets.labels else "one value per row"
        raise GoldfoldError(
            "teacher_unusable",
            f"a teacher must predict {needed}, and run '{run_name(teacher.folder)}' predicted {fault}: name another "
            "run",
        )


def _some(classes: Sequence | None) -> str:
    return ", ".join(map(str, (classes or ())[:5])) or "no classes"
