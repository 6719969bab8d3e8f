"""Metrics of a decision between classes, given as labels or as probabilities.

All of them take `target`, the column of the true labels (strings, numbers or bools), and `classes`, every label that
may occur, in the order of the probability columns; a label outside them is an error. Predictions are

- (n, classes) probabilities: the largest decides, the first of equals;
- (n,) floats where there are two classes: the probability of the second, which is chosen strictly above `threshold`;
- (n,) labels in any other case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics.inputs import checked, codes, labels, probabilities, scores
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame


def _truth(rows: DataFrame, target: str, classes: Sequence) -> np.ndarray:
    return codes(labels(rows, target), classes, f"target '{target}'")


def _shares(rows: DataFrame, target: str, classes: Sequence) -> np.ndarray:
    return np.bincount(_truth(rows, target, classes), minlength=len(classes)) / len(rows)


def _are_probabilities(predictions: np.ndarray, classes: Sequence) -> bool:
    return predictions.ndim == 2 or (predictions.dtype.kind == "f" and len(classes) == 2)


def _per_class(predictions: np.ndarray, rows: DataFrame, classes: Sequence) -> np.ndarray:
    """Probabilities as (n, classes) float64, also where only that of the second of two classes is given."""
    shapes = [(len(classes),), *([()] if len(classes) == 2 else [])]
    predictions = probabilities(predictions, rows, *shapes)
    return predictions if predictions.ndim == 2 else np.stack([1 - predictions, predictions], axis=1)


def _decided(predictions: np.ndarray, rows: DataFrame, classes: Sequence, threshold: float = 0.5) -> np.ndarray:
    """Positions of the predicted classes, (n,) int64."""
    predictions = checked(predictions, rows, (), (len(classes),))
    if not _are_probabilities(predictions, classes):
        return codes(predictions, classes, "the prediction")
    if predictions.ndim == 1:
        return (probabilities(predictions, rows) > threshold).astype(np.int64)
    if threshold != 0.5:
        raise GoldfoldError(
            f"threshold {threshold} needs predictions of shape (n,), got {predictions.shape}: give one column"
        )
    return probabilities(predictions, rows).argmax(axis=1)


def _error(rows: DataFrame, predictions: np.ndarray, target: str, classes: Sequence) -> np.ndarray:
    """1 - the probability of the true class; for labels 1 where they are wrong, else 0."""
    truth, predictions = _truth(rows, target, classes), np.asarray(predictions)
    if not _are_probabilities(predictions, classes):
        return (_decided(predictions, rows, classes) != truth).astype(np.float64)
    return 1 - _per_class(predictions, rows, classes)[np.arange(len(rows)), truth]


def _named(name: str, threshold: float) -> str:
    return name if threshold == 0.5 else f"{name}_at_{threshold:g}"


def accuracy(target: str, *, classes: Sequence = (0, 1), threshold: float = 0.5) -> Metric:
    """Share of rows with the right class. Chance is the share of the most frequent class."""

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return (_decided(predictions, rows, classes, threshold) == _truth(rows, target, classes)).astype(np.float64)

    return Metric(
        name=_named("accuracy", threshold),
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: float(_shares(rows, target, classes).max()),
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: _error(rows, predictions, target, classes),
            classes=tuple(classes),
        ),
    )


def log_loss(target: str, *, classes: Sequence = (0, 1)) -> Metric:
    """Mean of -ln(probability of the true class); takes probabilities only, whose rows sum to 1 within 1e-3.

    As in scikit-learn a probability counts at least the float64 epsilon, so that one row costs at most 36.04.
    Chance is the entropy of the class shares.
    """
    epsilon = np.finfo(np.float64).eps

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        predictions = _per_class(predictions, rows, classes)
        sums = predictions.sum(axis=1, keepdims=True)
        if (worst := np.abs(sums - 1).max()) > 1e-3:
            raise GoldfoldError(f"probabilities of a row must sum to 1, found a sum {worst:.3g} away: apply softmax")
        true_class = (predictions / sums)[np.arange(len(rows)), _truth(rows, target, classes)]
        return -np.log(true_class.clip(epsilon, 1 - epsilon))

    def chance(rows: DataFrame) -> float:
        shares = _shares(rows, target, classes)
        return float(-(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))).sum())

    return Metric(
        name="log_loss",
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=False,
        bounds=(0.0, float("inf")),
        chance=chance,
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: _error(rows, predictions, target, classes),
            classes=tuple(classes),
        ),
    )


def f1(
    target: str,
    *,
    classes: Sequence = (0, 1),
    average: Literal["macro", "micro"] = "macro",
    threshold: float = 0.5,
) -> Metric:
    """F1 = 2 TP / (2 TP + FP + FN), as mean over `classes` ("macro") or of the summed counts ("micro" = accuracy).

    A class that is neither present nor predicted counts 0. Chance is the best that knows only the class shares p_c.
    Micro: the largest share. Macro: one over the number of classes, since predicting c at random with rate q_c gives it
    2 p_c q_c / (p_c + q_c) in the limit of many rows, whose sum is greatest at q = p, where it is 1.
    """
    if average not in ("macro", "micro"):
        raise unknown("average of F1", average, ("macro", "micro"))

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        from sklearn.metrics import f1_score

        truth, decided = _truth(rows, target, classes), _decided(predictions, rows, classes, threshold)
        return float(f1_score(truth, decided, labels=range(len(classes)), average=average, zero_division=0))

    def chance(rows: DataFrame) -> float:
        return 1 / len(classes) if average == "macro" else float(_shares(rows, target, classes).max())

    return Metric(
        name=_named(f"f1_{average}", threshold),
        score=score,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        options=MetricOptions(
            row_error=lambda rows, predictions: _error(rows, predictions, target, classes), classes=tuple(classes)
        ),
    )


def quadratic_kappa(target: str, *, classes: Sequence) -> Metric:
    """Cohen's kappa with weights (i - j)^2 over positions in `classes`, which must be in their natural order.

    Predictions: labels, (n, classes) probabilities, or (n,) floats on the scale of numeric classes, each of which
    becomes the nearest class (the earlier of two equally near): for consecutive integers that rounds and clips.
    Chance is 0, the score of any constant. Undefined where truth and predictions are one and the same class:
    GoldfoldError. `row_error` is the squared distance in positions.
    """

    def decided(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        predictions = np.asarray(predictions)
        if predictions.dtype.kind != "f" or predictions.ndim != 1:
            return _decided(predictions, rows, classes)
        scale = np.asarray(classes)
        if scale.dtype.kind not in "fiu":
            raise GoldfoldError(f"float predictions need numeric classes, got {list(classes)}: predict labels instead")
        return np.abs(scores(predictions, rows, ())[:, None] - scale).argmin(axis=1)

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        from sklearn.metrics import cohen_kappa_score

        truth, guess = _truth(rows, target, classes), decided(rows, predictions)
        if len(np.union1d(truth, guess)) < 2:
            only = classes[truth[0]]
            raise GoldfoldError(
                f"kappa of '{target}' is undefined, as truth and predictions are all {only!r}: use more rows"
            )
        return float(cohen_kappa_score(truth, guess, labels=range(len(classes)), weights="quadratic"))

    return Metric(
        name="quadratic_kappa",
        score=score,
        higher_is_better=True,
        bounds=(-1.0, 1.0),
        chance=lambda rows: 0.0,
        options=MetricOptions(
            row_error=lambda rows, predictions: (_truth(rows, target, classes) - decided(rows, predictions)) ** 2.0,
            classes=tuple(classes),
        ),
    )
