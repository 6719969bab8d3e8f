"""What teacher runs say to each fit: pseudo-labels of rows without labels, and soft targets of training rows.

`goldfold.experiment.teachers` finds them, by models that never saw the validation rows of the fit they are for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from goldfold.data.training_rows import soft_targets
from goldfold.data.training_rows.soft_targets import RowTargets
from goldfold.optional_parts import ClassLabels, LabelColumns
from goldfold.params import Params

if TYPE_CHECKING:
    from pandas import DataFrame

NO_FOLD = -1  # number of the fold of a fit that no fold was held out from


class PseudoLabels(Params):
    """Key `pseudo_labels` of every config: rows without labels that a teacher run labels, for every fold anew."""

    teacher: str = Field(min_length=1, description="run of the same competition and folds, such as baseline-r1")
    rows: Literal["test", "extra"] = Field(
        "test", description="the test rows, or those of `Tables.extra` that have no targets"
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="smallest probability of a row's likeliest label, of each of several; null: 0"
    )
    labels: Literal["hard", "soft"] = Field("hard", description="the likeliest label, or all probabilities")
    weight: float = Field(1.0, gt=0, description="weight of a row in the loss; that of a labeled row is 1")


class Distillation(Params):
    """Key `distill` of every config: soft targets of the training rows by a teacher run."""

    teacher: str = Field(min_length=1, description="run of the same competition and folds, such as baseline-r1")
    predictions: Literal["in_sample", "nested", "out_of_fold"] = Field(
        "in_sample",
        description="of the teacher's fit of the same fold; of teachers trained anew without two folds each; or "
        "those out of fold, whose models saw the rows that score the student",
    )
    temperature: float = Field(1.0, gt=0, description="temperature T of both softmax functions")
    alpha: float = Field(0.5, gt=0, le=1, description="share of the soft targets in the loss; labels have the rest")


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What teachers say, for the fold of each fit, and for `NO_FOLD`, a refit.

    unlabeled: the rows that get pseudo-labels; None without them. guesses: fold -> predictions for them, (m, ...).
    soft: fold -> predictions for the train table, (n, ...), NaN where none was made. several: whether there are several
    columns of labels. facts: of the teachers, JSON.
    """

    pseudo: PseudoLabels | None = None
    distill: Distillation | None = None
    unlabeled: DataFrame | None = None
    guesses: Mapping[int, np.ndarray] = field(default_factory=dict)
    soft: Mapping[int, np.ndarray] = field(default_factory=dict)
    several: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """A SHA-256 of all predictions and of which runs they are from."""
        found = hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode())
        for part in (self.guesses, self.soft):
            for fold in sorted(part):
                found.update(f"{fold} {part[fold].shape}".encode())
                found.update(np.ascontiguousarray(part[fold]).tobytes())
        return found.hexdigest()

    def sure(self, fold: int) -> np.ndarray:
        """Positions of the unlabeled rows whose guess reaches the threshold, int64; none without pseudo-labels."""
        guesses = self.guesses.get(fold, np.empty(0))
        if self.pseudo is None or self.pseudo.threshold is None:
            return np.arange(len(guesses))
        if guesses.ndim == 1 or self.several:
            certain = np.maximum(guesses, 1 - guesses).reshape(len(guesses), -1).min(axis=1)
        else:
            certain = guesses.max(axis=1)
        return np.flatnonzero(certain >= self.pseudo.threshold)


@dataclass(frozen=True)
class Targets:
    """What the labels of a competition are, as lessons need it.

    labels: `Recipe.labels`. classes: `Runtime.classes`. columns: `Competition.targets`.
    """

    labels: ClassLabels | LabelColumns | None
    classes: tuple | None
    columns: Sequence[str]


def taught(rows: DataFrame, positions: np.ndarray, lessons: Lessons, fold: int, targets: Targets) -> DataFrame:
    """A fit's training rows as its teachers want them: soft targets beside labels, then pseudo-labeled rows.

    rows: the fold's own, at these positions of the train table. Values of a regression are mixed into its target.
    """
    guessed, pseudo = _pseudo_labeled(lessons, fold, targets, rows)
    soft = lessons.soft[fold][positions] if lessons.distill else None
    if targets.labels is None:
        mixed = rows if soft is None else _mixed(rows, soft, lessons, targets)
        return _weighted(_appended(mixed, guessed), len(rows), lessons)
    together = _appended(rows, guessed)
    if soft is None and (lessons.pseudo is None or (lessons.pseudo.labels == "hard" and lessons.pseudo.weight == 1)):
        return together
    return soft_targets.put(together, _row_targets(lessons, len(rows), soft, pseudo, targets))


def _pseudo_labeled(
    lessons: Lessons, fold: int, targets: Targets, rows: DataFrame
) -> tuple[DataFrame, np.ndarray | None]:
    """The unlabeled rows that are sure enough, with their likeliest labels, and the guesses."""
    if lessons.pseudo is None or lessons.unlabeled is None:
        return rows.iloc[:0], None
    sure = lessons.sure(fold)
    guesses, found = lessons.guesses[fold][sure], lessons.unlabeled.iloc[sure].reset_index(drop=True)
    if isinstance(targets.labels, LabelColumns):
        hard = dict(zip(targets.labels.columns, (guesses > 0.5).T, strict=True))
    elif targets.labels is not None:
        likeliest = (guesses > 0.5).astype(int) if guesses.ndim == 1 else guesses.argmax(axis=1)
        hard = {targets.labels.column: np.array(targets.classes, dtype=object)[likeliest]}
    else:
        hard = {targets.columns[0]: guesses}
    typed = {name: pd.Series(values, index=found.index).astype(rows[name].dtype) for name, values in hard.items()}
    return found.assign(**typed).reindex(columns=rows.columns), guesses


def _appended(rows: DataFrame, guessed: DataFrame) -> DataFrame:
    return pd.concat([rows, guessed], ignore_index=True) if len(guessed) else rows


def _mixed(rows: DataFrame, soft: np.ndarray, lessons: Lessons, targets: Targets) -> DataFrame:
    """Rows whose target is a mean of it and of the teacher's value, by `alpha`."""
    assert lessons.distill is not None, "soft targets come from a distillation"
    target, alpha = targets.columns[0], np.where(np.isnan(soft), 0.0, lessons.distill.alpha)
    return rows.assign(**{target: (1 - alpha) * rows[target].to_numpy(float) + alpha * np.nan_to_num(soft)})


def _weighted(rows: DataFrame, own: int, lessons: Lessons) -> DataFrame:
    """Rows with the column of weights, if pseudo-labeled rows have another weight than 1."""
    if lessons.pseudo is None or lessons.pseudo.weight == 1:
        return rows
    weight = np.where(np.arange(len(rows)) < own, 1.0, lessons.pseudo.weight)
    nothing = np.zeros(len(rows))
    return soft_targets.put(rows, RowTargets(weight, nothing, np.empty((len(rows), 0)), nothing + 1))


def _row_targets(
    lessons: Lessons, own: int, soft: np.ndarray | None, pseudo: np.ndarray | None, targets: Targets
) -> RowTargets:
    """Weights, shares and probabilities of the fold's own rows and the pseudo-labeled ones after them."""
    guessed = 0 if pseudo is None else len(pseudo)
    rows, width = own + guessed, len(targets.classes or ())
    weight, share, temperature, every = np.ones(rows), np.zeros(rows), np.ones(rows), np.zeros((rows, width))
    if lessons.distill and soft is not None:
        known = np.flatnonzero(~np.isnan(soft.reshape(own, -1)).any(axis=1))
        share[known], temperature[known] = lessons.distill.alpha, lessons.distill.temperature
        every[known] = _softened(soft[known], lessons.distill.temperature, targets)
    if lessons.pseudo and pseudo is not None:
        weight[own:] = lessons.pseudo.weight
        if lessons.pseudo.labels == "soft":
            share[own:], every[own:] = 1.0, _softened(pseudo, 1.0, targets)
    return RowTargets(weight, share, every, temperature)


def _softened(predictions: np.ndarray, temperature: float, targets: Targets) -> np.ndarray:
    """Probabilities with a column per class, at a temperature; those of several labels as they are."""
    if isinstance(targets.labels, LabelColumns):
        return predictions
    both = np.stack([1 - predictions, predictions], axis=1) if predictions.ndim == 1 else predictions
    return soft_targets.softened(both, temperature)
