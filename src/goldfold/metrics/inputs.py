"""Checks of the rows and predictions that metrics score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.data import columns
from goldfold.errors import GoldfoldError
from goldfold.metrics.row_by_row import RowByRow

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

PART = 1 << 24  # values that are looked at together
ROUNDING = 1e-6  # a mean of float32 probabilities may lie this far outside [0, 1]


def labels(rows: DataFrame, target: str) -> np.ndarray:
    """The column `target` of `rows`, (n,); GoldfoldError if it is absent or has missing values."""
    columns.require(rows, target, "target column")
    missing = int(rows[target].isna().sum())
    if missing:
        raise GoldfoldError(
            "values_missing", f"target '{target}' is missing in {missing} of {len(rows)} rows: drop or fill them first"
        )
    return rows[target].to_numpy()


def numeric_target(rows: DataFrame, target: str) -> np.ndarray:
    """The column `target` of `rows` as finite float64, (n,); GoldfoldError for anything else."""
    values = labels(rows, target)
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise GoldfoldError(
            "target_not_numeric", f"target '{target}' must hold numbers, got {values.dtype}: convert it in `load`"
        ) from None
    if not np.isfinite(values).all():
        raise GoldfoldError(
            "target_not_finite", f"target '{target}' must be finite, but holds an infinity: fix it in `load`"
        )
    return values


def class_indices(values: ArrayLike, classes: Sequence, source: str) -> np.ndarray:
    """Class indices of `values`: their positions in `classes`, int64 (n,); True equals 1 and False equals 0.

    source: what the values are, for the message. Raises GoldfoldError for a value that is not among the classes, so
    that labels that match nothing give no score.
    """
    position = {label: index for index, label in enumerate(classes)}
    given = np.asarray(values).tolist()
    found = np.fromiter((_position(position, value) for value in given), np.int64, len(given))
    if (found < 0).any():
        stranger, count = given[int((found < 0).argmax())], int((found < 0).sum())
        alike = str(stranger) in map(str, classes)
        cure = "make labels and classes numbers, or both text, in load()" if alike else "list every class"
        raise GoldfoldError(
            "unknown_class",
            f"{source} holds {stranger!r}, which is not among the classes {list(classes)} ({count} of {len(given)} "
            f"values are not): {cure}",
        )
    return found


def _position(known: Mapping, value: object) -> int:
    try:
        return known.get(value, -1)
    except TypeError:  # a list, which has no hash
        return -1


def check_predictions(predictions: np.ndarray, rows: DataFrame, *shapes: tuple[int, ...]) -> np.ndarray:
    """`predictions` as an array with one entry per row, of one of `shapes` behind the first axis, and finite.

    Without `shapes` any shape will do. Raises GoldfoldError for anything else, and for no rows.
    """
    decided = isinstance(predictions, RowByRow)  # from predictions that were checked; never copied as a whole
    predictions = predictions if decided else np.asarray(predictions)
    if not len(rows):
        raise GoldfoldError("no_rows", "a metric needs at least one row, got none: check the split")
    if predictions.ndim == 0 or len(predictions) != len(rows):
        raise GoldfoldError(
            "predictions_wrong_length",
            f"{len(rows)} rows need {len(rows)} predictions, got shape {predictions.shape}: check `Plan.predict`",
        )
    if predictions.dtype.names is not None or (shapes and predictions.shape[1:] not in shapes):
        wanted = f" of shape {' or '.join(map(shape_of_rows, shapes))}" if shapes else ""
        records = f"records with the fields {', '.join(predictions.dtype.names or ())}"
        got = records if predictions.dtype.names else f"shape {shape_of_rows(predictions.shape[1:])}"
        raise GoldfoldError(
            "wrong_prediction_shape", f"predictions must be an array{wanted}, got {got}: check `Plan.predict`"
        )
    bad = _rows_not_finite(predictions) if predictions.dtype.kind == "f" and not decided else 0
    if bad:
        raise GoldfoldError(
            "predictions_not_finite",
            f"predictions must be finite, but {bad} of {len(rows)} hold NaN or infinity: lower the learning rate or "
            "check the inputs",
        )
    return predictions


def _rows_not_finite(predictions: np.ndarray) -> int:
    """Number of rows with NaN or infinity; looked at in parts, since predicted masks may fill the memory."""
    step = max(1, PART * len(predictions) // max(1, predictions.size))
    parts = (predictions[start : start + step] for start in range(0, len(predictions), step))
    return sum(int((~np.isfinite(part)).reshape(len(part), -1).any(axis=1).sum()) for part in parts)


def shape_of_rows(shape: Sequence[int]) -> str:
    """The shape of predictions for n rows, as text; shape: of one row.

    >>> shape_of_rows(()), shape_of_rows((10,))
    ('(n,)', '(n, 10)')
    """
    return f"(n{''.join(f', {size}' for size in shape) or ','})"


def uniform_probabilities(rows: int, classes: Sequence) -> np.ndarray:
    """Equal probabilities as classifiers return them: (rows,) of the second of two classes, else (rows, classes)."""
    return np.full(rows if len(classes) == 2 else (rows, len(classes)), 1 / len(classes))


def scores(predictions: np.ndarray, rows: DataFrame, *shapes: tuple[int, ...]) -> np.ndarray:
    """Predictions as float64, after `check_predictions`; GoldfoldError if they are not numbers."""
    predictions = check_predictions(predictions, rows, *shapes)
    if predictions.dtype.kind not in "fiub":
        raise GoldfoldError(
            "predictions_not_numeric", f"predictions must be numbers, got {predictions.dtype}: check `Plan.predict`"
        )
    return predictions.astype(np.float64)


def probabilities(predictions: np.ndarray, rows: DataFrame, *shapes: tuple[int, ...]) -> np.ndarray:
    """Predictions as float64 in [0, 1], after `scores`; GoldfoldError for logits and other values outside."""
    predictions = scores(predictions, rows, *shapes)
    low, high = predictions.min(), predictions.max()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise GoldfoldError(
            "not_probabilities",
            f"probabilities must lie in [0, 1], got {low:.4g} to {high:.4g}: apply sigmoid or softmax",
        )
    return predictions.clip(0, 1)
