"""Optional parts of the seam: types that only some kinds of competition need.

`goldfold.competition` says where each of them is used. Like it, this file holds plain values and no logic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame
    from pydantic import BaseModel
    from torch import Tensor, nn

    Predictions = np.ndarray


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """Optional properties of a metric, used by the engine, blends, audits and pictures.

    per_row: the (n,) values whose mean is the score; None if the score is of a set of rows, such as AUROC.
    resampled: (rows, predictions) -> a fast function from row positions, which may repeat, to their score; intervals
        and blends call it often. None: `Metric.score` is computed for each selection of rows.
    row_error: the (n,) errors of single rows, larger is worse, for pictures of the worst predictions; None if the error
        of a single row is undefined.
    per_class: the (classes,) values whose mean is the score; NaN for a class that is left out of the mean. None if the
        score is no mean over classes.
    classes: the labels, in the order of the columns of (n, classes) predictions: classes of one target, or the names of
        several target columns; None if there are no classes.
    field: the field of the predicted records that the metric reads. A metric in `Competition.also` is left out for
        recipes that do not predict it.
    p_value: the permutation test of the score; None if there is none.
    proxy: whether the score is of synthetic samples only, so that it says nothing about real ones. An audit warns if
        runs are ranked by such a metric.
    by_distance: (rows, predictions) -> the gallery rows, and the relevant ones, at each distance of each query, int64
        (q, distances) both; the report draws precision and recall by them. None if nothing is retrieved by codes.
    training_database: for a metric whose queries search the training rows of their fit, so that predictions alone do
        not tell its score; it is left out where there is no code index, as in blends.
    mask_classes: the score of each class of masks, for a table of the run; None if there are none.
    decision: what stands between predictions and score, for a config's block `decide:`; None if nothing does.
    masks: rows -> their true masks as the metric reads them, for pictures: (h, w) numbers, or (classes, h, w) of 0
        and 1 if classes overlap. None: pictures read the files in `mask_path`, whose values are the numbers.
    """

    per_row: Callable[[DataFrame, Predictions], np.ndarray] | None = None
    resampled: Callable[[DataFrame, Predictions], Callable[[np.ndarray], float]] | None = None
    row_error: Callable[[DataFrame, Predictions], np.ndarray] | None = None
    per_class: Callable[[DataFrame, Predictions], np.ndarray] | None = None
    classes: tuple | None = None
    field: str | None = None
    p_value: Callable[[DataFrame, Predictions], PermutationTest] | None = None
    proxy: bool = False
    by_distance: Callable[[DataFrame, Predictions], tuple[np.ndarray, np.ndarray]] | None = None
    training_database: TrainingDatabase | None = None
    mask_classes: MaskClasses | None = None
    decision: Decision | None = None
    masks: Callable[[DataFrame], Iterable[np.ndarray]] | None = None


class DecisionParameter(NamedTuple):
    """A parameter of a `Decision`.

    plain: the value that leaves predictions as they are. candidates: the values that are tried unless a config lists
        others. wrong: value -> what is wrong with it in one clause; empty if nothing is. per_column: whether each label
        or class has a value of its own. search: (rows with targets, predictions) -> the best value, in place of trying
        candidates.
    """

    plain: Any
    candidates: tuple
    wrong: Callable[[Any], str]
    per_column: bool = False
    search: Callable[[DataFrame, Predictions], Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A rule from predictions to what is scored, such as a threshold, whose parameters are fitted out of fold.

    parameters: by name. apply: (rows without targets, predictions, name -> value of every parameter) -> predictions,
        one per row, as the metric and the submission's writer take them; a `per_column` value is a number for all
        columns or one for each. It must not depend on the rows beside a row. columns: names of the labels or classes in
        the order of the predictions, for values per column.
    """

    parameters: Mapping[str, DecisionParameter]
    apply: Callable[[DataFrame, Predictions, Mapping[str, Any]], Any]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MaskClasses:
    """How each class of masks is scored; `MetricOptions.mask_classes`.

    names: of the classes. by_class: (rows, predictions) -> a fast function from row positions, which may repeat, to the
        (classes,) scores, NaN for a class that is not scored. Intervals leave images out in turn.
    """

    names: tuple[str, ...]
    by_class: Callable[[DataFrame, Predictions], Callable[[np.ndarray], np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class TrainingDatabase:
    """How validation rows are scored as queries to the training rows of their fit; `MetricOptions.training_database`.

    by_distance: (rows, predictions, training rows, code index of the fit) -> as `MetricOptions.by_distance`. score: the
        same arguments -> float. chance: (rows, training rows) -> float.
    """

    by_distance: Callable[[DataFrame, Predictions, DataFrame, Mapping[str, np.ndarray]], tuple[np.ndarray, np.ndarray]]
    score: Callable[[DataFrame, Predictions, DataFrame, Mapping[str, np.ndarray]], float]
    chance: Callable[[DataFrame, DataFrame], float]


class ClassLabels(NamedTuple):
    """The labels whose probabilities a recipe predicts; `Recipe.labels`.

    column: the target column that holds them. classes: all of them in the order of the predicted columns; None: in the
        order that the competition's metric names, else sorted.
    """

    column: str
    classes: tuple | None = None


class LabelColumns(NamedTuple):
    """The columns of 0 and 1 whose probabilities a recipe predicts, one column per label; `Recipe.labels`.

    Predictions are float64 (n, labels) in the order of `columns`; a row may have several labels, or none.
    """

    columns: tuple[str, ...]


class PermutationTest(NamedTuple):
    """The permutation p-value of a score under random labels.

    p_value: the share of all assignments of the same labels that score at least as well, in (0, 1]. Exact for small
        sets, a normal approximation for large ones.
    smallest_class: number of rows of the rarest class, at least 1.
    """

    p_value: float
    smallest_class: int


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """How a metric over embeddings (n, d) is measured; `Metric.retrieval`. Cosine similarity ranks the gallery.

    pairs: rows with their targets -> queries, gallery and relevance. Reports, comparisons and audits of embeddings use
        the pairs of the competition's own metric.
    protocol: the gallery and what is left out, in words. Scores with different protocols are never ranked together.
    best_possible: rows -> the best score that any embeddings can reach on them; None if it is the metric's bound.
    splits: (rows, embeddings) -> the score of each query/gallery split by name, whose mean is the score; `pairs` are
        those of the first one. None if there is one split only.
    """

    pairs: Callable[[DataFrame], Pairs]
    protocol: str
    best_possible: Callable[[DataFrame], float] | None = None
    splits: Callable[[DataFrame, Predictions], Mapping[str, float]] | None = None


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Query and gallery rows, and which gallery rows are relevant to each query.

    queries, gallery: int64 row positions. Both hold all rows if every row is a query against all others.
    relevant: a slice of the queries (m of them) -> bool (m, gallery), True for relevant gallery rows.
    left_out: the same for gallery rows that are ignored: the query itself and its near-duplicates.
    """

    queries: np.ndarray
    gallery: np.ndarray
    relevant: Callable[[slice], np.ndarray]
    left_out: Callable[[slice], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Short codes of rows, by which a plan finds the nearest training rows; `Plan.codes`.

    They are kept with every fit for its training rows, and are what a query searches.

    kind: "hash", bits packed into bytes, or "product_quantization", a byte per sub-space. bits: of a code.
    distance: what `distances` measure, in words.
    encode: (model, state from finish, rows without targets) -> uint8 (n, ceil(bits / 8)).
    distances: (model, state from finish, rows without targets, codes (m, ceil(bits / 8))) -> (n, m), smaller is nearer.
    arrays: state from finish -> what another program needs beside codes to compute distances, such as centroids.
    """

    kind: Literal["hash", "product_quantization"]
    bits: int
    distance: str
    encode: Callable[[Any, Any, DataFrame], np.ndarray]
    distances: Callable[[Any, Any, DataFrame, np.ndarray], np.ndarray]
    arrays: Callable[[Any], Mapping[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Importances:
    """How a fitted plan uses the features of a table; `Plan.importances`. The engine shuffles them and scores.

    names: state from finish -> the names of the features. features: (state from finish, rows without targets) -> the
        (n, features) array that is predicted from. predict: (model, state from finish, features) -> predictions.
    permutations: times that each feature is shuffled; 0: never. gain: state from finish -> (features,) values, by how
        much each one lowered the training loss, empty if unknown; None: not known of any. contributions: (state from
        finish, features) -> (features,) mean absolute SHAP values; None: not computed.
    """

    names: Callable[[Any], tuple[str, ...]]
    features: Callable[[Any, DataFrame], np.ndarray]
    predict: Callable[[Any, Any, np.ndarray], Predictions]
    permutations: int
    gain: Callable[[Any], np.ndarray] | None = None
    contributions: Callable[[Any, np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True, kw_only=True)
class ScoredFoldChoice:
    """A choice that the engine makes by the scored fold, since the plan sees no label of it; `Plan`.

    what: is chosen, in words. instead: the parameter that leaves the choice to training rows, as in a config.
    offered: (state from finish, rows without targets) -> {number: predictions}. own: state from finish -> the number
        that training rows chose, one of those offered. use: (state from finish, number) -> the state that predicts so.
    """

    what: str
    instead: str
    offered: Callable[[Any, DataFrame], Mapping[int, Predictions]]
    own: Callable[[Any], int]
    use: Callable[[Any, int], Any]


def _mean(predictions: Tensor) -> Tensor:
    return predictions.mean(0)


@dataclass(frozen=True, kw_only=True)
class Export:
    """How a fitted plan predicts as a module of arrays, for programs without goldfold; `Plan.export`.

    preprocessing: state from finish -> JSON, from which `goldfold.export.predict` makes the input of rows: images of
        one size, or scaled columns of a table. Fits with equal ones share the input. module: (model in float32 on the
        CPU, state from finish) -> a module in evaluation mode from an input (n, ...), or from what `shared` makes of
        it, to what `Plan.predict` gives, (n, ...). shared: () -> a module that all fits of a run have in common, such
        as a frozen backbone. combine: (fits, n, ...) -> (n, ...), what `Recipe.combine` does. refused: what of the
        parameters cannot be exported, in one clause; empty if nothing.
    """

    preprocessing: Callable[[Any], Mapping[str, Any]]
    module: Callable[[Any, Any], nn.Module]
    shared: Callable[[], nn.Module] | None = None
    combine: Callable[[Tensor], Tensor] = _mean
    refused: str = ""


class Monitored(NamedTuple):
    """A value that `Plan.monitor` measured after an epoch.

    higher_is_better: the direction in which the value may select an epoch; None for a diagnostic that must not.
    alarm: what is wrong at this value in one or two words ("black", "one point"); empty if nothing is.
    """

    value: float
    higher_is_better: bool | None = None
    alarm: str = ""


class UntrainedLoss(NamedTuple):
    """The mean of a loss term over an epoch without any learning, and the standard deviation of that mean."""

    value: float
    sd: float


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A competition rule, checked against the run's parameters.

    text: the rule in the host's words.
    broken: params -> how they break the rule, in one clause, or None.
    """

    text: str
    broken: Callable[[BaseModel], str | None]


class Neighbors(NamedTuple):
    """Columns that order near-duplicate rows in time, such as frames of a video or windows of a signal.

    sequence, time: columns of the train table, and of the test table unless they are targets; times are numbers.
    guard: rows of one sequence whose times differ by at most this, in the unit of `time`, are near-duplicates. They
        must neither be on both sides of a fold nor be retrieved for each other.
    """

    sequence: str
    time: str
    guard: float
