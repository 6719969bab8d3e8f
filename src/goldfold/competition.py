"""The seam between a competition and the engine: frozen dataclasses of plain functions, almost without logic.

A competition folder defines a `Competition`. A `Recipe` turns parameters and the training rows of one fold into a
`Plan`, and the engine runs the plan: it trains the `Stage`s, calls `finish`, and predicts. Neither side imports the
other. Types that few competitions need are in `goldfold.optional_parts`. Read `Competition` at the end first.

Shapes: predictions for n rows have n as their first axis. Recipe, metric and submission writer agree on the others:
(n,) scores, (n, classes) probabilities, (n, d) embeddings, (n, height, width) probability maps, or (n,) records with
named fields if a recipe predicts several values for a row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from goldfold import changed_plans
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from pandas import DataFrame, Series
    from pydantic import BaseModel
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from goldfold.optional_parts import (
        ClassLabels,
        Codes,
        Export,
        Importances,
        LabelColumns,
        Monitored,
        Neighbors,
        Retrieval,
        Rule,
        ScoredFoldChoice,
        UntrainedLoss,
    )

    Predictions = np.ndarray
    Split = Callable[[DataFrame, int], Sequence["Fold"]]
    Accepted = Literal["weights", "soft_targets", "temperature"]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The data of a competition, one row per sample.

    train: has a column `id` with unique values, and every target column. Ids are best text, as the files spell them
        (`goldfold.data.csv_tables.read`). A column `path`, if there is one, holds the file (pathlib.Path or str) of a
        sample: it is checked, hashed and shown in pictures, which outline a mask (0 = background) in `mask_path`.
    test: the same columns without the targets.
    sample_submission: Kaggle's file, unchanged. Submissions are checked against the file itself, whose ids are text, if
        it is a CSV file beside the tables.
    extra: rows from elsewhere with the columns of `train` and new ids, which every fold trains on and none scores,
        unless a config has `extra: false`. Rows without targets are unlabeled: only a teacher's labels train on them.
    """

    train: DataFrame
    test: DataFrame
    sample_submission: DataFrame
    extra: DataFrame | None = None


class Fold(NamedTuple):
    """Row positions (int64 arrays) of one fold: models are fitted on `train` and scored on `validation`."""

    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric; its name says its definition.

    score: (rows with their targets, predictions) -> float. Rows may be any subset of the train table.
    bounds: the lowest and highest possible value, which may be infinite; a score outside them is an error.
    chance: rows -> the chance level, which is the score of predictions that are independent of the rows.
    retrieval: how embeddings are compared, for metrics of retrieval; None for all others.
    options: optional properties of the metric, such as a score per row or a permutation test.
    """

    name: str
    score: Callable[[DataFrame, Predictions], float]
    higher_is_better: bool
    bounds: tuple[float, float]
    chance: Callable[[DataFrame], float]
    retrieval: Retrieval | None = None
    options: MetricOptions = field(default_factory=MetricOptions)


def _silent(what: str, done: int, total: int) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and with which seed one fit runs; the engine passes it to `Recipe.build`.

    seed: the seed of this fit; equal seeds build equal plans.
    cache: a folder shared by folds and runs, for results worth keeping (features of frozen backbones).
    workers: number of processes that load data; results must not depend on it.
    progress: called with (task, number done, total) during long work outside the stages.
    classes: labels in the order of the predicted columns, the same in every fold; None if the recipe has no `labels`.
    """

    seed: int
    device: torch.device
    cache: Path
    workers: int = 0
    progress: Callable[[str, int, int], None] = _silent
    classes: tuple | None = None


class Batches(Sized, Iterable[Any], Protocol):
    """The batches of one epoch."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A training stage with its own data, optimizer and schedule.

    name: a word without spaces; it is in the names of checkpoints.
    batches: epoch (0-based) -> a sized iterable of batches, any structure of tensors whose first axis is the sample;
        equal epochs give equal batches. It owns dataset, order, sampler and augmentation.
    losses: (model, batch) -> {term: weighted scalar}; the engine minimizes their sum and watches each by its name. It
        calls the model itself, since the engine may have wrapped it.
    optimizer: model -> optimizer; parameters that it does not hold are frozen during the stage. The option `clip` of a
        config leaves the gradients of a parameter group with `clip=False` alone.
    schedule: (optimizer, epochs, optimizer steps per epoch) -> scheduler; None: a constant learning rate.
    schedule_per: whether the scheduler steps after every optimizer step or after every epoch.
    untrained_loss: model -> {term: its value without learning}, of random embeddings, say, measured as in the stage.
        Called once, before the first step, with a copy of the model in train mode. A stage is reported as
        `did_not_learn` if no epoch beats this untrained baseline.
    row_losses: model in eval mode -> (n,) losses of the plan's training rows in their order, each once and without
        augmentation, for the config's key `hard_examples`; None if the losses are not of single rows.
    """

    name: str
    epochs: int
    batches: Callable[[int], Batches]
    losses: Callable[[nn.Module, Any], Mapping[str, Tensor]]
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[Optimizer, int, int], LRScheduler] | None = None
    schedule_per: Literal["step", "epoch"] = "step"
    untrained_loss: Callable[[nn.Module], Mapping[str, UntrainedLoss]] | None = None
    row_losses: Callable[[nn.Module], np.ndarray] | None = None


def _nothing(model: nn.Module | None) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one fold is fitted, in this order: train the stages, finish, predict.

    model: the module that the stages train; None for an estimator without a training loop. The engine calls `train()`
        before every epoch: frozen parts, such as BatchNorm of a backbone, must override their `train`.
    stages: none, one, or several in order.
    finish: model -> the state that `predict` needs beside the model (memory bank, index, scaler, estimator), fitted on
        the training rows of the plan. It must be deterministic, since it runs again for the weights of other epochs.
    predict: (model, state from finish, rows without targets) -> predictions, one per row. Under autocast outputs may
        be bfloat16: call `.float()` before `.numpy()`. Both run without gradients.
    monitor: model -> {name: value} after every validated epoch, on training rows held out of the stages, so that early
        stopping by it does not use the scored fold. Names are words without spaces.
    pictures: (model, state from finish, rows) -> {name: (n, h, w) heatmaps or (n, h, w, 3) colors in [0, 1]}.
    codes: short codes of rows, by which it finds the nearest training rows; None if it has none.
    probe: (model, state from finish, validation rows with their targets, their predictions, number of images that the
        run predicts) -> facts for audits, JSON, empty if there are too few. Called once a run, after all predictions of
        its first fit; it may embed a fifth of that number of images.
    kept: name -> a JSON value that is written as `<name>.json` into the folder of the fit, such as a fitted scaler.
    saved: (model, state from finish) -> {file name: its bytes, or a JSON value}, written into the folder of the fit
        once it is finished, such as trees in their library's own format; never pickles.
    importances: how the importance of each feature of a table is measured; None if it is not.
    chosen_on_scored_fold: a choice that the scored fold makes, which flatters the score and is reported; None: nothing.
    export: how it predicts as a module of arrays, for programs without goldfold; None if it cannot be exported.
    """

    model: nn.Module | None = None
    stages: Sequence[Stage] = ()
    finish: Callable[[nn.Module | None], Any] = _nothing
    predict: Callable[[nn.Module | None, Any, DataFrame], Predictions]
    monitor: Callable[[nn.Module], Mapping[str, Monitored]] | None = None
    pictures: Callable[[nn.Module | None, Any, DataFrame], Mapping[str, np.ndarray]] | None = None
    codes: Codes | None = None
    probe: Callable[[nn.Module | None, Any, DataFrame, Predictions, int], Mapping[str, Any]] | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)
    saved: Callable[[nn.Module | None, Any], Mapping[str, Any]] | None = None
    importances: Importances | None = None
    chosen_on_scored_fold: ScoredFoldChoice | None = None
    export: Export | None = None


def mean(predictions: Predictions) -> Predictions:
    """Average the predictions of several fits for the same rows: (fits, n, ...) -> (n, ...)."""
    return predictions.mean(axis=0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A way to solve a competition.

    params: a frozen pydantic model: its fields are the config's keys, its defaults the baseline (see `params.Role`).
    build: (params, the training rows of one fold, runtime) -> Plan. Training rows enter nowhere else.
    combine: (fits, n, ...) -> (n, ...), how the test predictions of the fits become one; `fields.mean` for records.
    pooled: whether one score over all out-of-fold rows makes sense; False for embeddings, whose space differs by fold.
    other_scores: name -> field of the predicted records with another score, for which the metric is reported, too.
    labels: the target column and classes whose probabilities are predicted, or the columns of 0 and 1; None for other
        predictions. Metrics that name another order of the classes are refused before training.
    columns: of the train table that plans read, `path` of the test table, too; checked before anything is computed.
    example: (params, n, `Runtime.classes`) -> predictions for n rows as plans give them, with any values. Metrics that
        cannot score them are refused before training; None: once the first fold is predicted.
    check: (params, train rows, test rows) -> None. Raises GoldfoldError before training for tables it cannot use.
    accepts: what `build` reads from the reserved columns of `goldfold.data.training_rows.soft_targets`: weights,
        probabilities as targets, their temperature. Rows have them if a config asks for them, and a config that asks
        for what a recipe does not accept is refused.
    """

    params: type[BaseModel]
    build: Callable[[Any, DataFrame, Runtime], Plan]
    combine: Callable[[Predictions], Predictions] = mean
    pooled: bool = True
    other_scores: Mapping[str, str] = field(default_factory=dict)
    labels: ClassLabels | LabelColumns | None = None
    columns: Sequence[str] = ()
    example: Callable[[Any, int, tuple | None], Predictions] | None = None
    check: Callable[[Any, DataFrame, DataFrame], None] | None = None
    accepts: Collection[Accepted] = ()

    def with_stage(self, name: str, **functions: Callable) -> Recipe:
        """The recipe with other functions in the stage `name`, such as `losses`, `optimizer`, `schedule` or `batches`.

        functions: field of `Stage` -> the function that takes its place, with the recipe's parameters before its own
            arguments: losses=(params, model, batch), optimizer=(params, model).

        Raises:
            GoldfoldError: `unknown_stage_function`; `unknown_stage`, once a plan is built.
        """
        return self.with_plan(changed_plans.of_stage(name, functions))

    def with_plan(self, change: Callable[[Plan, Any, DataFrame, Runtime], Plan]) -> Recipe:
        """The recipe whose plans are changed: (plan, params, the fold's training rows, runtime) -> plan."""
        return replace(self, build=partial(changed_plans.build, self.build, change))

    def with_params(self, params: type[BaseModel]) -> Recipe:
        """The recipe with more parameters, or with other defaults of its own: the fields of `params` come first."""
        return replace(self, params=changed_plans.joined(params, self.params))


@dataclass(frozen=True, kw_only=True)
class Submission:
    """How the submission file is written and checked.

    write: (test rows, predictions) -> a frame with the columns and ids of the sample submission.
    checks: column -> (values, the ids beside them as text, test rows) -> what is wrong in one clause, or None.
    keys: the columns that together name a row, such as id and class, the id first; they are text, as in the sample. If
        empty, the first column, or as many leading columns as it takes to name each row of the sample once.
    many_per_id: whether an id, or a key, may have several rows (one per object of an image).
    may_be_empty: columns that may have missing values (an image without objects has no run lengths).
    at_thresholds: whether `write` gets probabilities of labels shifted so that thresholds learned out of fold are 0.5.
    whole_gallery: whether rows are queries that search all test rows; the local leaderboard then grades each half of
        the queries against the whole solution, since a half of the gallery is another task.
    """

    write: Callable[[DataFrame, Predictions], DataFrame]
    checks: Mapping[str, Callable[[Series, Series, DataFrame], str | None]] = field(default_factory=dict)
    keys: Sequence[str] = ()
    many_per_id: bool = False
    may_be_empty: Collection[str] = ()
    at_thresholds: bool = False
    whole_gallery: bool = False


@dataclass(frozen=True, kw_only=True)
class Competition:
    """The table of contents of a competition folder, which defines it as `COMPETITION`.

    slug: Kaggle's name of the competition; the folder's name is a Python identifier.
    metric: the metric of the leaderboard; `also` is reported beside it.
    targets: columns of the train table, removed before anything predicts. Pictures of retrieval show the first one.
    group: a column whose values must not be on both sides of a fold (patient, recording, person).
    prepare: (raw, public, private) -> None. Writes `public`, and `solution.csv` in `private` only with test labels.
    load: public -> Tables.
    split: (train rows, seed) -> folds; a pure function. other_splits: name, for a config's key `split` -> another one.
    grade: (submission, solution) -> the leaderboard's score against `private/solution.csv`, a sample submission
        with the true values, perhaps with more columns; None if only Kaggle can compute it.
    object_class: a column of both tables with the class of the object in a row, "?" if unknown; None if all are alike.
    neighbors: the time order of rows that are near-duplicates of their neighbors; None if there are none.
    rules: a run that breaks one is refused, or is an exploration that writes no submission.
    private_images: whether pictures must not show the images of rows (people, patients); their ids stand there instead.
    sample_data: folder below GOLDFOLD_SAMPLE_DATA with Kaggle's own files, read if `data/<name>/raw` does not exist.
    """

    slug: str
    metric: Metric
    targets: tuple[str, ...]
    prepare: Callable[[Path, Path, Path], None]
    load: Callable[[Path], Tables]
    split: Split
    recipes: Mapping[str, Recipe]
    submission: Submission
    also: Sequence[Metric] = ()
    other_splits: Mapping[str, Split] = field(default_factory=dict)
    group: str | None = None
    grade: Callable[[DataFrame, DataFrame], float] | None = None
    object_class: str | None = None
    neighbors: Neighbors | None = None
    rules: Sequence[Rule] = ()
    private_images: bool = False
    sample_data: str | None = None
