"""Metrics of classification from labels or probabilities: accuracy, log loss, F1, quadratic kappa.

All of them take `target`, the column of the true labels (strings, numbers or bools), and `classes`, every label that
may occur, in the order of the probability columns. A label outside `classes` raises GoldfoldError. Predictions are

- (n, classes) probabilities: the largest decides, the first of equal ones;
- (n,) floats if there are two classes: the probability of the second, which is chosen strictly above `threshold`;
- (n,) labels in any other case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics.decisions.cut_points import of_ordinal
from goldfold.metrics.decisions.thresholds import DEFAULT, of_one_label
from goldfold.metrics.inputs import check_predictions, class_indices, labels, probabilities, scores
from goldfold.optional_parts import Decision, MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame


def _truth(rows: DataFrame, target: str, classes: Sequence) -> np.ndarray:
    """Class indices of the true labels, int64 (n,)."""
    return class_indices(labels(rows, target), classes, f"target '{target}'")


def _class_shares(rows: DataFrame, target: str, classes: Sequence) -> np.ndarray:
    """Share of rows of each class, (classes,)."""
    return np.bincount(_truth(rows, target, classes), minlength=len(classes)) / len(rows)


def _are_probabilities(predictions: np.ndarray, classes: Sequence) -> bool:
    """Whether predictions are probabilities and not labels."""
    return predictions.ndim == 2 or (predictions.dtype.kind == "f" and len(classes) == 2)


def _probabilities_per_class(predictions: np.ndarray, rows: DataFrame, classes: Sequence) -> np.ndarray:
    """Probabilities as float64 (n, classes), also from the (n,) probabilities of the second of two classes."""
    shapes = [(len(classes),), *([()] if len(classes) == 2 else [])]
    predictions = probabilities(predictions, rows, *shapes)
    return predictions if predictions.ndim == 2 else np.stack([1 - predictions, predictions], axis=1)


def _predicted_class(predictions: np.ndarray, rows: DataFrame, classes: Sequence, threshold: float = 0.5) -> np.ndarray:
    """Class indices of the predictions, int64 (n,)."""
    predictions = check_predictions(predictions, rows, (), (len(classes),))
    if not _are_probabilities(predictions, classes):
        return class_indices(predictions, classes, "the prediction")
    if predictions.ndim == 1:
        return (probabilities(predictions, rows) > threshold).astype(np.int64)
    if threshold != 0.5:
        raise GoldfoldError(
            "threshold_needs_one_column",
            f"threshold {threshold} needs predictions of shape (n,), got {predictions.shape}: predict one column",
        )
    return probabilities(predictions, rows).argmax(axis=1)


def _row_error(rows: DataFrame, predictions: np.ndarray, target: str, classes: Sequence) -> np.ndarray:
    """1 - the probability of the true class; for labels 1 if wrong, else 0."""
    truth, predictions = _truth(rows, target, classes), np.asarray(predictions)
    if not _are_probabilities(predictions, classes):
        return (_predicted_class(predictions, rows, classes) != truth).astype(np.float64)
    return 1 - _probabilities_per_class(predictions, rows, classes)[np.arange(len(rows)), truth]


def _metric_name(name: str, threshold: float) -> str:
    """The metric's name, with the threshold if it is not 0.5."""
    return name if threshold == 0.5 else f"{name}_at_{threshold:g}"


def _of_threshold(classes: Sequence, threshold: float) -> Decision | None:
    """The threshold that `decide:` can fit; none where the metric names one, or for more than two classes."""
    return of_one_label() if len(classes) == 2 and threshold == DEFAULT else None


def accuracy(target: str, *, classes: Sequence = (0, 1), threshold: float = 0.5) -> Metric:
    """Share of rows with the right class.

    Range: [0, 1], higher is better. Chance: the share of the most frequent class.
    Ties: the first of equally probable classes is predicted; a probability equal to `threshold` means the first class.
    Empty classes: classes without rows do not count.
    """

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return (_predicted_class(predictions, rows, classes, threshold) == _truth(rows, target, classes)).astype(
            np.float64
        )

    return Metric(
        name=_metric_name("accuracy", threshold),
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: float(_class_shares(rows, target, classes).max()),
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: _row_error(rows, predictions, target, classes),
            classes=tuple(classes),
            decision=_of_threshold(classes, threshold),
        ),
    )


def log_loss(target: str, *, classes: Sequence = (0, 1)) -> Metric:
    """Mean of -ln(probability of the true class).

    Range: [0, inf), lower is better. Chance: the entropy of the class shares.
    Ties: none, since nothing is ranked.
    Empty classes: classes without rows add nothing to the score or to chance.

    It takes probabilities only; the sum of a row must be 1 within 1e-3. As in scikit-learn, probabilities are clipped
    at the float64 epsilon, so one row costs at most 36.04.
    """
    epsilon = np.finfo(np.float64).eps

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        predictions = _probabilities_per_class(predictions, rows, classes)
        sums = predictions.sum(axis=1, keepdims=True)
        if (worst := np.abs(sums - 1).max()) > 1e-3:
            raise GoldfoldError(
                "probabilities_not_normalized",
                f"probabilities of a row must sum to 1, but a sum is {worst:.3g} away from it: apply softmax",
            )
        true_class = (predictions / sums)[np.arange(len(rows)), _truth(rows, target, classes)]
        return -np.log(true_class.clip(epsilon, 1 - epsilon))

    def chance(rows: DataFrame) -> float:
        shares = _class_shares(rows, target, classes)
        return float(-(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))).sum())

    return Metric(
        name="log_loss",
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=False,
        bounds=(0.0, float("inf")),
        chance=chance,
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: _row_error(rows, predictions, target, classes),
            classes=tuple(classes),
        ),
    )


def f1(
    target: str,
    *,
    classes: Sequence = (0, 1),
    average: Literal["macro", "micro", "binary"] = "macro",
    threshold: float = 0.5,
) -> Metric:
    """F1 = 2 TP / (2 TP + FP + FN): mean over `classes` ("macro"), summed counts ("micro"), or of the second class of
    two alone ("binary").

    Range: [0, 1], higher is better.
    Chance: the best score of predictions that know only the class shares p_c. Micro: the largest share. Macro:
        1 / classes. Predicting c at random with rate q_c gives it 2 p_c q_c / (p_c + q_c) in the limit of many rows,
        and the sum over c is greatest at q = p, where it is 1. Binary: 2 p / (1 + p), with p the share of the second
        class: the score of calling every row positive.
    Ties: the first of equally probable classes is predicted; a probability equal to `threshold` means the first class.
    Empty classes: a class that is neither present nor predicted counts 0.

    Micro F1 equals accuracy.
    """
    if average not in ("macro", "micro", "binary"):
        raise unknown("average of F1", average, ("macro", "micro", "binary"), code="unknown_option")
    if average == "binary" and len(classes) != 2:
        raise GoldfoldError(
            "binary_needs_two_classes",
            f"binary F1 is that of the second of two classes, and there are {len(classes)}: use average='macro'",
        )

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        from sklearn.metrics import f1_score

        truth, predicted = _truth(rows, target, classes), _predicted_class(predictions, rows, classes, threshold)
        scored = [1] if average == "binary" else range(len(classes))
        averaged = "macro" if average == "binary" else average
        return float(f1_score(truth, predicted, labels=scored, average=averaged, zero_division=0))

    def chance(rows: DataFrame) -> float:
        if average == "macro":
            return 1 / len(classes)
        shares = _class_shares(rows, target, classes)
        return float(2 * shares[1] / (1 + shares[1]) if average == "binary" else shares.max())

    return Metric(
        name=_metric_name(f"f1_{average}", threshold),
        score=score,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        options=MetricOptions(
            row_error=lambda rows, predictions: _row_error(rows, predictions, target, classes),
            classes=tuple(classes),
            decision=_of_threshold(classes, threshold),
        ),
    )


def quadratic_kappa(target: str, *, classes: Sequence) -> Metric:
    """Cohen's kappa with weights (i - j)^2 over the positions in `classes`, which must be in their natural order.

    Range: [-1, 1], higher is better. Chance: 0, the score of any constant.
    Ties: the first of equally probable, or equally near, classes is predicted.
    Empty classes: classes without rows do not count. GoldfoldError if truth and predictions are all one and the same
        class, since kappa is undefined then.

    Predictions: labels, (n, classes) probabilities, or (n,) floats on the scale of numeric classes. Each float becomes
    the nearest class; for consecutive integers that rounds and clips. `row_error` is the squared distance in positions.
    """

    def predicted(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        predictions = np.asarray(predictions)
        if predictions.dtype.kind != "f" or predictions.ndim != 1:
            return _predicted_class(predictions, rows, classes)
        scale = np.asarray(classes)
        if scale.dtype.kind not in "fiu":
            raise GoldfoldError(
                "classes_not_numeric",
                f"float predictions need numeric classes, got {list(classes)}: predict labels instead",
            )
        return np.abs(scores(predictions, rows, ())[:, None] - scale).argmin(axis=1)

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        from sklearn.metrics import cohen_kappa_score

        truth, guess = _truth(rows, target, classes), predicted(rows, predictions)
        if len(np.union1d(truth, guess)) < 2:
            only = classes[truth[0]]
            raise GoldfoldError(
                "metric_one_class",
                f"kappa of '{target}' is undefined, since truth and predictions are all {only!r}: score more rows",
            )
        return float(cohen_kappa_score(truth, guess, labels=range(len(classes)), weights="quadratic"))

    return Metric(
        name="quadratic_kappa",
        score=score,
        higher_is_better=True,
        bounds=(-1.0, 1.0),
        chance=lambda rows: 0.0,
        options=MetricOptions(
            row_error=lambda rows, predictions: (_truth(rows, target, classes) - predicted(rows, predictions)) ** 2.0,
            classes=tuple(classes),
            decision=of_ordinal(target, classes),
        ),
    )
