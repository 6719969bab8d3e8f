"""The seam between a competition and the engine: frozen values made of plain functions, and no logic.

A competition folder fills in a `Competition`; a recipe turns parameters and one fold's training rows into a `Plan`; the
engine carries the plan out. Neither side imports the other.

Shapes used below: `n` rows in, the first axis of every prediction is `n`. What the other axes mean is between a recipe,
the metric and the submission writer of one competition: (n,) scores, (n, classes) probabilities, (n, d) embeddings,
(n, height, width) probability maps; (n,) records with named fields where a recipe predicts several things for a row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch
    from pandas import DataFrame, Series
    from pydantic import BaseModel
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    Predictions = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What `Competition.load` returns: a row per sample.

    train: has a column `id` with unique values, and every target column. A column `path`, where there is one, holds the
        file (pathlib.Path or str) a sample is made from: it is checked, hashed and shown in pictures. A column
        `mask_path` of the train table holds the file of its mask, 0 = background: it is outlined there.
    test: the same columns without the targets.
    sample_submission: Kaggle's file as it is; the pattern every submission is checked against.
    """

    train: DataFrame
    test: DataFrame
    sample_submission: DataFrame


class Fold(NamedTuple):
    """Row positions (int64 arrays) of one fold: what is fitted sees `train`, what is scored is `validation`."""

    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Which rows ask, which answer, and which answers are right, where rows are found by the likeness of embeddings.

    queries, gallery: int64 positions among the rows; both hold all of them where each row asks for the others.
    relevant: a slice of the queries (m of them) -> bool (m, gallery), True where an answer is right.
    left_out: likewise, answers that count neither as right nor as wrong: the query itself, its near-duplicates.
    """

    queries: np.ndarray
    gallery: np.ndarray
    relevant: Callable[[slice], np.ndarray]
    left_out: Callable[[slice], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score with its definition in its name.

    score: (rows with their targets, predictions) -> float. Rows may be any subset of the train table.
    bounds: the lowest and highest value the definition allows (infinities are allowed); anything else is an error.
    chance: rows -> the score of predictions that know nothing about the rows they are made for.
    per_row: where the score is a mean over rows, the (n,) values it is the mean of; None for scores of a set (AUROC).
    resampled: where scoring many draws of the same rows one by one is slow, (rows, predictions) -> a function from
        positions (with repeats) to the score of those rows; None uses `score`.
    error: how wrong each row is, (n,), larger is worse, for pictures of the most wrong; None where a row alone is never
        wrong.
    classes: the labels in the order of the columns of (n, classes) predictions; None where it decides between none.
    needs: the field without which predictions cannot be scored: a recipe that predicts none is not measured by it.
    luck: (rows, predictions) -> how likely predictions that know nothing score at least as well; None where unknown.
    ceiling: rows -> the best score that any predictions can reach for them, where that is worse than the bound.
    pairs: rows with their targets -> who asks and what is right, where predictions are embeddings (n, d) that are
        compared by their cosines: pictures, comparisons and audits of embeddings read it.
    protocol: how it is measured beyond its name (the gallery, what is left out): scores that differ in it are never
        ranked together.
    """

    name: str
    score: Callable[[DataFrame, Predictions], float]
    higher_is_better: bool
    bounds: tuple[float, float]
    chance: Callable[[DataFrame], float]
    per_row: Callable[[DataFrame, Predictions], np.ndarray] | None = None
    error: Callable[[DataFrame, Predictions], np.ndarray] | None = None
    resampled: Callable[[DataFrame, Predictions], Callable[[np.ndarray], float]] | None = None
    classes: tuple | None = None
    needs: str | None = None
    luck: Callable[[DataFrame, Predictions], Luck] | None = None
    ceiling: Callable[[DataFrame], float] | None = None
    pairs: Callable[[DataFrame], Pairs] | None = None
    protocol: str = ""


class Luck(NamedTuple):
    """The share of all ways to hand out the same labels under which a score is at least as good.

    p: in (0, 1], exact for small sets, a normal approximation for large ones.
    smallest: rows of the rarer class, 1 or more.
    """

    p: float
    smallest: int


class Monitored(NamedTuple):
    """Something a plan measured on its model after an epoch.

    higher_is_better: by which an epoch may be chosen; None where the value only tells what state the model is in.
    alarm: a word or two for what is wrong at this value ("black", "one point"), empty while nothing is.
    """

    value: float
    higher_is_better: bool | None = None
    alarm: str = ""


class Unlearned(NamedTuple):
    """A loss term's mean over an epoch where nothing has been learned, and the standard deviation of that mean."""

    value: float
    sd: float


def _silent(what: str, done: int, total: int) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where one fit runs, as the engine tells it to `Recipe.build`.

    seed: of this fit alone; equal seeds build equal plans.
    cache: a folder shared by folds and runs, for what is worth keeping (features of frozen towers).
    workers: processes that load data; results never depend on it.
    progress: told (what is being done, how many are done, of how many) during long work outside the stages.
    """

    seed: int
    device: torch.device
    cache: Path
    workers: int = 0
    progress: Callable[[str, int, int], None] = _silent


@dataclass(frozen=True)
class MeanOverRows:
    """Losses for `Stage.losses` that are means over the rows of a batch.

    of_rows: (model, batch) -> {term: (rows,)}, a row's values made of this row alone, by a rule that all fits share.
    """

    of_rows: Callable[[nn.Module, Any], Mapping[str, Tensor]]

    def __call__(self, model: nn.Module, batch: Any) -> Mapping[str, Tensor]:
        return {term: values.mean() for term, values in self.of_rows(model, batch).items()}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stretch of training with its own data, optimizer and schedule.

    name: a word without spaces; checkpoints carry it.
    batches: epoch (0-based) -> a sized iterable of batches, any structure of tensors whose first axis is the sample;
        the same for the same epoch. Owns data set, order, sampler and augmentation.
    losses: (model, batch) -> {term: weighted scalar}; the engine minimises their sum and watches each by its name. It
        calls the model itself, since the engine may have wrapped it. Several fits of a recipe whose losses are
        `MeanOverRows` and whose batches lie in memory (`batches.in_memory`) may be trained as one stacked model.
    optimizer: model -> optimizer; what it does not hold is frozen during the stage.
    schedule: (optimizer, epochs, optimizer steps per epoch) -> scheduler, or None for a constant rate.
    schedule_per: whether the schedule moves after every optimizer step or after every epoch.
    unlearned: model -> {term: its value where nothing has been learned}, of random embeddings, say, measured as the
        stage measures it. It is asked once, before the first step, with a copy of the model in train mode; a stage
        whose best epoch cannot be told from it is said not to have learned.
    """

    name: str
    epochs: int
    batches: Callable[[int], Collection[Any]]
    losses: Callable[[nn.Module, Any], Mapping[str, Tensor]]
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[Optimizer, int, int], LRScheduler] | None = None
    schedule_per: Literal["step", "epoch"] = "step"
    unlearned: Callable[[nn.Module], Mapping[str, Unlearned]] | None = None


def _nothing(model: nn.Module | None) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything one fold needs, in the order of events: train the stages, finish, predict.

    model: what the stages train; None for an estimator without a training loop. It is put into train mode for every
        epoch: parts that stay frozen, such as BatchNorm of a tower, must say so in their own `train`.
    stages: none, one, or several in order.
    finish: model -> whatever `predict` needs beside the model (feature bank, index, scaler, estimator), fitted on the
        training rows the plan was built with. Deterministic, since it is repeated for other epochs' weights.
    predict: (model, what finish returned, rows without targets) -> predictions, first axis as long as rows; under
        autocast outputs may be bfloat16, so call `.float()` before `.numpy()`. Both run without gradients.
    monitor: model -> {name: what it measured}, after every epoch that is looked at, on training rows kept back from the
        stages: an epoch chosen by it was not chosen on the scored fold. Names are words without spaces.
    pictures: (model, what finish returned, rows) -> {name: (n, h, w) heat or (n, h, w, 3) colours in [0, 1]}, what the
        model makes of each row where people would rather look.
    """

    model: nn.Module | None = None
    stages: Sequence[Stage] = ()
    finish: Callable[[nn.Module | None], Any] = _nothing
    predict: Callable[[nn.Module | None, Any, DataFrame], Predictions]
    monitor: Callable[[nn.Module], Mapping[str, Monitored]] | None = None
    pictures: Callable[[nn.Module | None, Any, DataFrame], Mapping[str, np.ndarray]] | None = None


def mean(predictions: Predictions) -> Predictions:
    """Several fits' predictions for the same rows, (fits, n, ...), as their arithmetic mean, (n, ...)."""
    return predictions.mean(axis=0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A way to solve a competition.

    params: a frozen pydantic model; its defaults are the baseline, its fields the config's keys.
    build: (params, one fold's training rows, runtime) -> Plan. The only place where training rows enter.
    combine: (fits, n, ...) -> (n, ...), how the fits' test predictions become one; `fields.mean` for records.
    pooled: whether predictions of different folds share one scale, so that a score over all out-of-fold rows at once
        means something; False for embeddings, which live in one space per fold.
    """

    params: type[BaseModel]
    build: Callable[[Any, DataFrame, Runtime], Plan]
    combine: Callable[[Predictions], Predictions] = mean
    pooled: bool = True


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The file the leaderboard wants.

    write: (test rows, predictions) -> a frame with the columns and ids of the sample submission.
    checks: column -> (values, the ids beside them, test rows) -> what is wrong in one clause, or None.
    many_per_id: whether an id may fill several rows (one per object of an image).
    """

    write: Callable[[DataFrame, Predictions], DataFrame]
    checks: Mapping[str, Callable[[Series, Series, DataFrame], str | None]] = field(default_factory=dict)
    many_per_id: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What the host of a competition forbids, as far as a run's parameters show it.

    text: the rule, as its host says it. broken: params -> what breaks it, in one clause, or None.
    """

    text: str
    broken: Callable[[BaseModel], str | None]


class Neighbors(NamedTuple):
    """Which columns say that rows follow each other in time and are near-duplicates: frames, windows of a signal.

    sequence, time: columns of the train table, and of the test table unless they are targets; times are numbers. guard:
    rows of one sequence whose times differ by this or less, in the unit of `time`, must neither be on both sides of a
    fold nor be ranked for each other.
    """

    sequence: str
    time: str
    guard: float


@dataclass(frozen=True, kw_only=True)
class Competition:
    """The table of contents of a competition folder, found there under the name `COMPETITION`.

    slug: Kaggle's spelling; the folder's name is a Python identifier.
    metric: what the leaderboard ranks by; `also` is reported beside it.
    targets: the columns of the train table that hold the answer; they are taken away before anything predicts. By the
        first one pictures of retrieval call a row.
    group: a column whose values must not appear on both sides of a fold (patient, recording, person); None if there is
        none.
    prepare: (raw, public, private) -> None. Fills `public`; fills `private` with `solution.csv` only where the
        competition hosts itself, that is where it keeps test labels of its own.
    load: public -> Tables.
    split: (train rows, seed) -> folds; pure.
    grade: (submission, solution) -> the leaderboard's score of a submission against `private/solution.csv`; None where
        only Kaggle can tell. The solution has the sample submission's columns filled with the truth, and may have more.
    object_class: a column of both tables with the kind of object a row shows, "?" where unknown; None if all are alike.
    neighbors: how rows follow each other in time, if those next to each other are near-duplicates; else None.
    rules: a run that breaks one is refused, or is an exploration that writes no submission.
    sample_data: folder below GOLDFOLD_SAMPLE_DATA with Kaggle's own files, read where `data/<name>/raw` is absent.
    """

    slug: str
    metric: Metric
    targets: tuple[str, ...]
    prepare: Callable[[Path, Path, Path], None]
    load: Callable[[Path], Tables]
    split: Callable[[DataFrame, int], Sequence[Fold]]
    recipes: Mapping[str, Recipe]
    submission: Submission
    also: Sequence[Metric] = ()
    group: str | None = None
    grade: Callable[[DataFrame, DataFrame], float] | None = None
    object_class: str | None = None
    neighbors: Neighbors | None = None
    rules: Sequence[Rule] = ()
    sample_data: str | None = None
