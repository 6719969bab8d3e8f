"""Metrics of several labels per row that decide each label at probability > 0.5, strictly.

`targets` are the columns of 0 and 1 (or bool), one per label, in the order of the (n, labels) predictions, which are
probabilities: logits are refused, where torchmetrics would apply a sigmoid. `row_error` is the mean of
|y - probability| over labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.data.columns import binary_columns
from goldfold.data.fields import field
from goldfold.errors import unknown
from goldfold.metrics.decisions.thresholds import of_labels
from goldfold.metrics.inputs import probabilities
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    Ratio = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    Counts = tuple[np.ndarray, np.ndarray, np.ndarray]

THRESHOLD = 0.5


def multilabel_f1(targets: Sequence[str], *, average: Literal["macro", "micro"] = "macro") -> Metric:
    """F1 = 2 TP / (2 TP + FP + FN) at p > 0.5, as the mean over classes ("macro") or of the summed counts ("micro").

    Range: [0, 1], higher is better.
    Chance: the best score of a constant, exactly. Macro: all labels for all rows, 2 p / (1 + p) for a class with the
        share p. Micro: the k most frequent labels for all rows, with the best k.
    Ties: a probability of 0.5 is no label.
    Empty classes: a class that is neither present nor predicted counts 0.

    targets: one column of 0 and 1 (or bool) per class. Predictions: (n, classes) probabilities.
    """
    if average not in ("macro", "micro"):
        raise unknown("average of F1", average, ("macro", "micro"), code="unknown_option")
    return _of_counts("f1", tuple(targets), _f1, _f1_chance if average == "macro" else _f1_micro_chance, average)


def multilabel_precision(targets: Sequence[str]) -> Metric:
    """Mean over classes of the precision TP / (TP + FP) at p > 0.5.

    Range: [0, 1], higher is better. Chance: the mean share of positives, expected of labels drawn independently of the
    rows at any rate.
    Ties: a probability of 0.5 is no label.
    Empty classes: a class that is never predicted counts 0.

    targets: one column of 0 and 1 (or bool) per class. Predictions: (n, classes) probabilities.
    """
    return _of_counts("precision", tuple(targets), lambda tp, fp, fn: _share(tp, tp + fp), lambda p: float(p.mean()))


def multilabel_recall(targets: Sequence[str]) -> Metric:
    """Mean over classes of the recall TP / (TP + FN) at p > 0.5.

    Range: [0, 1], higher is better. Chance: the mean share of positives, expected of labels drawn at the class shares;
    all labels for all rows have a recall of 1, so it means nothing without the precision.
    Ties: a probability of 0.5 is no label.
    Empty classes: a class without positive rows counts 0.

    targets: one column of 0 and 1 (or bool) per class. Predictions: (n, classes) probabilities.
    """
    return _of_counts("recall", tuple(targets), lambda tp, fp, fn: _share(tp, tp + fn), lambda p: float(p.mean()))


def hamming_loss(targets: Sequence[str]) -> Metric:
    """Share of wrong cells, over rows and classes, at p > 0.5.

    Range: [0, 1], lower is better. Chance: the share of positive cells, exactly: the score of no label for any row.
    Ties: a probability of 0.5 is no label.
    Empty classes: they count like all others.

    targets: one column of 0 and 1 (or bool) per class. Predictions: (n, classes) probabilities.
    """
    targets = tuple(targets)

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return (binary_columns(rows, targets) != decided(rows, predictions, targets)).mean(axis=1)

    return _of_rows("hamming_loss", targets, per_row, lambda truth: float(truth.mean()), higher_is_better=False)


def subset_accuracy(targets: Sequence[str]) -> Metric:
    """Exact match: the share of rows all of whose classes are right at p > 0.5.

    Range: [0, 1], higher is better. Chance: the share of the most frequent set of labels, exactly.
    Ties: a probability of 0.5 is no label.
    Empty classes: they count like all others.

    targets: one column of 0 and 1 (or bool) per class. Predictions: (n, classes) probabilities.
    """
    targets = tuple(targets)

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        right = binary_columns(rows, targets) == decided(rows, predictions, targets)
        return right.all(axis=1).astype(np.float64)

    def chance(truth: np.ndarray) -> float:
        return float(np.unique(truth, axis=0, return_counts=True)[1].max() / len(truth))

    return _of_rows("subset_accuracy", targets, per_row, chance, higher_is_better=True)


def decided(rows: DataFrame, predictions: np.ndarray, targets: Sequence[str]) -> np.ndarray:
    """Which labels are predicted, bool (n, labels): those with a probability above 0.5."""
    return probabilities(field(predictions, "score"), rows, (len(targets),)) > THRESHOLD


def _row_error(targets: Sequence[str]) -> Callable[[DataFrame, np.ndarray], np.ndarray]:
    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return np.abs(
            binary_columns(rows, targets) - probabilities(field(predictions, "score"), rows, (len(targets),))
        ).mean(axis=1)

    return error


def _of_rows(
    name: str,
    targets: tuple[str, ...],
    per_row: Callable[[DataFrame, np.ndarray], np.ndarray],
    chance: Callable[[np.ndarray], float],
    *,
    higher_is_better: bool,
) -> Metric:
    """A metric that is a mean over rows; chance: truth (n, labels) -> chance level."""
    return Metric(
        name=name,
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=higher_is_better,
        bounds=(0.0, 1.0),
        chance=lambda rows: chance(binary_columns(rows, targets)),
        options=MetricOptions(
            per_row=per_row, row_error=_row_error(targets), classes=targets, decision=of_labels(targets)
        ),
    )


def _of_counts(
    name: str,
    targets: tuple[str, ...],
    ratio: Ratio,
    chance: Callable[[np.ndarray], float],
    average: Literal["macro", "micro"] = "macro",
) -> Metric:
    """A metric of true positives, false positives and false negatives per class; chance: shares -> chance level."""

    def cells(rows: DataFrame, predictions: np.ndarray) -> Counts:
        truth, guess = binary_columns(rows, targets) > 0, decided(rows, predictions, targets)
        return truth & guess, ~truth & guess, truth & ~guess

    def averaged(weights: np.ndarray, found: Counts) -> float:
        counts = [weights @ each for each in found]
        return float(ratio(*(counts if average == "macro" else [each.sum(keepdims=True) for each in counts])).mean())

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        tp, fp, fn = (each.astype(np.float64) for each in cells(rows, predictions))
        return lambda index: averaged(np.bincount(index, minlength=len(rows)).astype(np.float64), (tp, fp, fn))

    def per_class(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return ratio(*(each.sum(axis=0) for each in cells(rows, predictions)))

    return Metric(
        name=f"multilabel_{name}_{average}",
        score=lambda rows, predictions: averaged(np.ones(len(rows)), cells(rows, predictions)),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: chance(binary_columns(rows, targets).mean(axis=0)),
        options=MetricOptions(
            resampled=resampled,
            row_error=_row_error(targets),
            per_class=per_class if average == "macro" else None,
            classes=targets,
            decision=of_labels(targets, exact=average == "macro") if name == "f1" else None,
        ),
    )


def _share(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(below)), where=below > 0)


def _f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return _share(2 * tp, 2 * tp + fp + fn)


def _f1_chance(shares: np.ndarray) -> float:
    return float((2 * shares / (1 + shares)).mean())


def _f1_micro_chance(shares: np.ndarray) -> float:
    hits = np.sort(shares)[::-1].cumsum()
    return float((2 * hits / (np.arange(1, len(shares) + 1) + shares.sum())).max())
