"""Metrics of several labels per row that depend only on the order of the predicted scores.

`targets` are the columns of 0 and 1 (or bool), one per label, in the order of the (n, labels) predictions. `row_error`
is the mean of |y - score| over labels; it is meant for probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.data.columns import binary_columns
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics import label_ranks
from goldfold.metrics.inputs import scores
from goldfold.optional_parts import MetricOptions
from goldfold.retrieval.random_ranking import expected_precision_sum

if TYPE_CHECKING:
    from pandas import DataFrame

    PerClass = Callable[[label_ranks.Ranked, np.ndarray], np.ndarray]
    Macro = Callable[[np.ndarray, int], float]


def average_precision(targets: str | Sequence[str], *, empty: Literal["skip", "zero"] = "skip") -> Metric:
    """Mean over classes of the average precision, the step-wise sum of (R_k - R_{k-1}) P_k over score thresholds.

    Range: [0, 1], higher is better. Chance: the expected score of a random ranking (`expected_precision_sum`). In small
    sets it is above the share of positives, which a constant scores: .110 against .050 for 3 positives of 60 rows.
    Ties: rows with equal scores share one threshold, as in scikit-learn.
    Empty classes: "skip" leaves a class without positive rows out of the mean; "zero" counts it as 0, as scikit-learn
    and torchmetrics do. The metric's name says which, and the protocol of a score how many classes were empty.
    GoldfoldError if no class has a positive row under "skip".

    targets: one column of 0 and 1 (or bool) per class. Predictions: (n, classes) scores; for one class (n,), or records
        with a field `score`.

    `row_error` is the mean of |y - score| over classes; it is meant for probabilities.
    """
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    if empty not in ("skip", "zero"):
        raise unknown("treatment of empty classes", empty, ("skip", "zero"), code="unknown_option")

    def macro(values: np.ndarray, rows: int) -> float:
        if empty == "zero":
            return float(np.nan_to_num(values).mean())
        if np.isnan(values).all():
            raise GoldfoldError(
                "metric_no_positives",
                f"average precision needs a positive row, but {rows} rows have none: check the split",
            )
        return float(np.nanmean(values))

    def chance(rows: DataFrame) -> float:
        positives = binary_columns(rows, targets).sum(axis=0)
        some, expected = positives[positives > 0], np.full(len(positives), np.nan)
        everything = np.full(len(some), len(rows))
        expected[positives > 0] = expected_precision_sum(some, everything, everything) / some
        return macro(expected, len(rows))

    name = f"average_precision_macro_{empty}_empty"
    return _mean_over_classes(name, targets, label_ranks.average_precisions, macro, chance)


def multilabel_auroc(targets: Sequence[str]) -> Metric:
    """Mean over classes of the AUROC of the rows with the label against those without it.

    Range: [0, 1], higher is better. Chance: 0.5, in closed form.
    Ties: a tied pair counts one half.
    Empty classes: a class without a positive or a negative row is left out of the mean, where scikit-learn gives NaN
    and torchmetrics counts 0; the protocol of a score says how many were. GoldfoldError if all classes are.

    targets: one column of 0 and 1 (or bool) per class. Predictions: (n, classes) scores.
    """

    def macro(values: np.ndarray, rows: int) -> float:
        if np.isnan(values).all():
            raise GoldfoldError(
                "metric_one_class",
                f"AUROC needs rows with and without a label, but {rows} rows have both for none of {len(values)} "
                "classes: check the split",
            )
        return float(np.nanmean(values))

    name = "multilabel_auroc_macro_skip_empty"
    return _mean_over_classes(name, tuple(targets), label_ranks.areas, macro, lambda rows: 0.5)


def _mean_over_classes(
    name: str, targets: tuple[str, ...], per_class: PerClass, macro: Macro, chance: Callable[[DataFrame], float]
) -> Metric:
    """A metric that is the mean of a value per class, which is NaN for an empty one."""

    def ranked(rows: DataFrame, predictions: np.ndarray) -> label_ranks.Ranked:
        return label_ranks.ranked(binary_columns(rows, targets), scores_of(rows, predictions, targets))

    def values(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return per_class(ranked(rows, predictions), np.ones(len(rows)))

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        found = ranked(rows, predictions)
        return lambda index: macro(per_class(found, np.bincount(index, minlength=len(rows)).astype(float)), len(index))

    def row_error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return np.abs(binary_columns(rows, targets) - scores_of(rows, predictions, targets)).mean(axis=1)

    several = len(targets) > 1
    return Metric(
        name=name,
        score=lambda rows, predictions: macro(values(rows, predictions), len(rows)),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        options=MetricOptions(
            resampled=resampled,
            row_error=row_error,
            per_class=values if several else None,
            classes=targets if several else None,
        ),
    )


def scores_of(rows: DataFrame, predictions: np.ndarray, targets: Sequence[str]) -> np.ndarray:
    """Predictions as float64 (n, labels), of one label also from (n,) or a field `score`."""
    shapes = [(len(targets),), *([()] if len(targets) == 1 else [])]
    return scores(field(predictions, "score"), rows, *shapes).reshape(len(rows), len(targets))


def label_ranking_average_precision(targets: Sequence[str]) -> Metric:
    """LRAP: the mean over rows and their labels of (true labels ranked at or above a label) / (its rank).

    Range: [0, 1], higher is better. Chance: the exact score of the class shares as a constant prediction of all rows.
    Ties: a label tied with others has the rank of the last of them, as in scikit-learn.
    Empty classes: a row without labels, or with all of them, counts 1; a class without rows only takes ranks.

    targets: one column of 0 and 1 (or bool) per class. Predictions: (n, classes) scores. `row_error` is 1 - the row's
        value.
    """
    targets = tuple(targets)

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return _ranking_per_row(binary_columns(rows, targets), scores_of(rows, predictions, targets))

    def chance(rows: DataFrame) -> float:
        truth = binary_columns(rows, targets)
        return float(_ranking_per_row(truth, np.broadcast_to(truth.mean(axis=0), truth.shape)).mean())

    return Metric(
        name="label_ranking_average_precision",
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: 1 - per_row(rows, predictions),
            classes=targets,
        ),
    )


def _ranking_per_row(truth: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """The value of each row, (n,), which is the average precision of its labels; 1 for a row without labels."""
    found = label_ranks.ranked(truth.T, ranked.T)
    return np.where(truth.any(axis=1), label_ranks.average_precisions(found, np.ones(truth.shape[1])), 1.0)
