"""What every metric asks of rows and predictions before it scores them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.errors import GoldfoldError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame

ROUNDING = 1e-6  # how far a mean of float32 probabilities may stray outside [0, 1]


def labels(rows: DataFrame, target: str) -> np.ndarray:
    """The column `target` of `rows`, (n,), without missing values."""
    if target not in rows.columns:
        raise unknown("target column", target, map(str, rows.columns))
    missing = int(rows[target].isna().sum())
    if missing:
        raise GoldfoldError(f"target '{target}' is missing in {missing} of {len(rows)} rows: drop or fill them first")
    return rows[target].to_numpy()


def numbers(rows: DataFrame, target: str) -> np.ndarray:
    """The column `target` of `rows` as finite float64, (n,)."""
    values = labels(rows, target)
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise GoldfoldError(
            f"target '{target}' must hold numbers, found {values.dtype}: convert it in `load`"
        ) from None
    if not np.isfinite(values).all():
        raise GoldfoldError(f"target '{target}' must be finite, but holds an infinity: mend it in `load`")
    return values


def codes(values: Iterable, classes: Sequence, of: str) -> np.ndarray:
    """Positions of `values` in `classes`, (n,) int64; True is 1 and False is 0.

    Raises GoldfoldError for a value that is not among the classes, so that labels which match nothing give no score.
    """
    position = {label: index for index, label in enumerate(classes)}
    values = np.asarray(values).tolist()
    found = np.fromiter((position.get(value, -1) for value in values), np.int64, len(values))
    if (found < 0).any():
        stranger = values[int((found < 0).argmax())]
        raise GoldfoldError(
            f"{of} holds {stranger!r}, which is not among the classes {list(classes)}: give all classes"
        )
    return found


def checked(predictions: np.ndarray, rows: DataFrame, *shapes: tuple[int, ...]) -> np.ndarray:
    """`predictions` as an array of one row per row, of one of `shapes` behind the first axis, and finite."""
    predictions = np.asarray(predictions)
    if not len(rows):
        raise GoldfoldError("a metric needs at least one row, got none: look at the split")
    if predictions.ndim == 0 or len(predictions) != len(rows):
        raise GoldfoldError(f"{len(rows)} rows need {len(rows)} predictions, got shape {predictions.shape}")
    if shapes and predictions.shape[1:] not in shapes:
        wanted = " or ".join(str((len(rows), *shape)) for shape in shapes)
        raise GoldfoldError(f"predictions must have shape {wanted}, got {predictions.shape}: look at `Plan.predict`")
    if predictions.dtype.kind == "f" and not np.isfinite(predictions).all():
        bad = int((~np.isfinite(predictions)).reshape(len(rows), -1).any(axis=1).sum())
        raise GoldfoldError(f"predictions must be finite, but {bad} of {len(rows)} hold NaN or infinity")
    return predictions


def scores(predictions: np.ndarray, rows: DataFrame, *shapes: tuple[int, ...]) -> np.ndarray:
    """`checked` predictions that must be numbers, as float64."""
    predictions = checked(predictions, rows, *shapes)
    if predictions.dtype.kind not in "fiub":
        raise GoldfoldError(f"predictions must be numbers, got {predictions.dtype}: look at `Plan.predict`")
    return predictions.astype(np.float64)


def probabilities(predictions: np.ndarray, rows: DataFrame, *shapes: tuple[int, ...]) -> np.ndarray:
    """`scores` that must lie in [0, 1], which raw network outputs do not."""
    predictions = scores(predictions, rows, *shapes)
    low, high = predictions.min(), predictions.max()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise GoldfoldError(
            f"probabilities must lie in [0, 1], found {low:.4g} to {high:.4g}: apply sigmoid or softmax"
        )
    return predictions.clip(0, 1)
