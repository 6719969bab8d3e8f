"""Thresholds of probabilities and the number of labels of a row; probabilities are shifted so that 0.5 decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.data.columns import binary_columns
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import Decision, DecisionParameter

if TYPE_CHECKING:
    from pandas import DataFrame

DEFAULT = 0.5
GRID = (0.01, 0.02, 0.03, *(round(0.05 * step, 2) for step in range(1, 20)))
MOST_LABELS = (1, 2, 3, 4, 5)


def not_a_share(value: Any) -> str:
    """What is wrong with a threshold; empty for a number in [0, 1)."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "" if number and 0 <= value < 1 else "a threshold is a number from 0 to below 1"


def _not_a_count(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return "" if whole or value is None else "a number of labels is 1 or more"


def of_one_label() -> Decision:
    """The threshold of the second of two classes, for (n,) probabilities of it or (n, 2) of both."""

    def apply(rows: DataFrame, predictions: np.ndarray, values: Mapping[str, Any]) -> np.ndarray:
        if predictions.ndim == 1 and predictions.dtype.kind == "f":
            return at_one_half(predictions, values["threshold"])
        if predictions.shape[1:] != (2,):
            raise GoldfoldError(
                "decision_unsuitable",
                f"a threshold needs probabilities (n,) or (n, 2) of two classes, got {predictions.dtype} of the shape "
                f"{predictions.shape}: leave `decide:` out",
            )
        second = at_one_half(predictions[:, 1], values["threshold"])
        return np.stack([1 - second, second], axis=1)

    return Decision(parameters={"threshold": DecisionParameter(DEFAULT, GRID, not_a_share)}, apply=apply)


def of_labels(targets: Sequence[str], exact: bool = False) -> Decision:
    """The threshold of each label, or the number of most probable labels that each row gets (`top_k`).

    exact: whether the metric is the mean of the labels' F1, whose best thresholds `best_f1` knows.
    """

    def search(rows: DataFrame, predictions: np.ndarray) -> tuple[float, ...]:
        return tuple(best_f1(binary_columns(rows, targets), probabilities_of(predictions)).tolist())

    def apply(rows: DataFrame, predictions: np.ndarray, values: Mapping[str, Any]) -> np.ndarray:
        if probabilities_of(predictions).shape[1:] != (len(targets),):
            raise GoldfoldError(
                "decision_unsuitable",
                f"labels are decided from probabilities (n, {len(targets)}), got the shape {predictions.shape}: leave "
                "`decide:` out",
            )
        if values["top_k"] is not None:
            return shifted(predictions, lambda found: _most_probable(found, values["top_k"]))
        return shifted(predictions, lambda found: at_one_half(found, np.asarray(values["threshold"])))

    found = search if exact else None
    threshold = DecisionParameter(DEFAULT, GRID, not_a_share, per_column=True, search=found)
    most = tuple(count for count in MOST_LABELS if count < len(targets))
    return Decision(
        parameters={"threshold": threshold, "top_k": DecisionParameter(None, most, _not_a_count)},
        apply=apply,
        columns=tuple(map(str, targets)),
    )


def probabilities_of(predictions: np.ndarray) -> np.ndarray:
    """The predictions of labels: the field `score` of records, or plain predictions."""
    return predictions["score"] if "score" in (predictions.dtype.names or ()) else predictions


def shifted(predictions: np.ndarray, shift: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The predictions, or records, with other probabilities."""
    if predictions.dtype.names is None:
        return shift(predictions)
    found = predictions.copy()
    found["score"] = shift(predictions["score"])
    return found


def _most_probable(probabilities: np.ndarray, count: int) -> np.ndarray:
    """Shift probabilities (n, labels) so that the `count` largest of a row, the first of equal ones, exceed 0.5."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    chosen = np.zeros(probabilities.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    above = np.maximum(DEFAULT + probabilities / 2, np.nextafter(DEFAULT, 1))
    return np.where(chosen, above, np.minimum(probabilities / 2, DEFAULT))


def best_f1(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The threshold in [0, 1) with the highest F1 of each label, (labels,); a label is predicted at p > threshold.

    truth: (n, labels) of 0 and 1. probabilities: (n, labels). A threshold lies in the middle between two neighboring
    probabilities; of equally good ones the highest counts. A label without a positive row keeps 0.5.
    """
    pairs = zip(truth.T, probabilities.T, strict=True)
    return np.array([_best_of_one(known > 0, scores) for known, scores in pairs])


def _best_of_one(known: np.ndarray, scores: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    ranked = np.append(scores[order], 0.0)
    cuts = np.flatnonzero(ranked[:-1] > ranked[1:])  # behind these ranks, which have a probability above 0
    if not known.any() or not len(cuts):
        return DEFAULT
    f1 = 2 * known[order].cumsum()[cuts] / (cuts + 1 + known.sum())
    at = cuts[int(f1.argmax())]
    middle = float((ranked[at] + ranked[at + 1]) / 2)
    return middle if middle < ranked[at] else float(ranked[at + 1])


def at_one_half(probabilities: np.ndarray, thresholds: np.ndarray | float) -> np.ndarray:
    """Shift probabilities (n, labels) so that exactly those above their threshold are above 0.5; the order stays.

    thresholds: (labels,) or one for all, in [0, 1). Below and above the threshold the shift is linear, 0 and 1 stay.
    """
    thresholds = np.asarray(thresholds, np.float64)
    below = probabilities / np.where(thresholds > 0, 2 * thresholds, 1)
    above = 0.5 + (probabilities - thresholds) / (2 * (1 - thresholds))
    return np.where(probabilities > thresholds, np.maximum(above, np.nextafter(DEFAULT, 1)), np.minimum(below, DEFAULT))
