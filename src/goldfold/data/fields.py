"""Predictions with several named fields per row, such as an image's score and its anomaly map (structured arrays)."""

from __future__ import annotations

import numpy as np

from goldfold.errors import unknown


def records(**fields: np.ndarray) -> np.ndarray:
    """Combine arrays of equal length n into (n,) records with one field per array.

    >>> records(score=np.array([0.5, 2.0]), map=np.zeros((2, 8, 8)))["map"].shape
    (2, 8, 8)
    """
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in fields.items()]
    together = np.empty(len(next(iter(fields.values()))), kinds)
    for name, values in fields.items():
        together[name] = values
    return together


def field(predictions: np.ndarray, name: str) -> np.ndarray:
    """Return the field `name` of records; predictions that are not records are returned unchanged.

    Raises:
        GoldfoldError: `unknown_field`, the records have no such field.
    """
    predictions = np.asarray(predictions)
    if predictions.dtype.names is None:
        return predictions
    if name not in predictions.dtype.names:
        raise unknown("field of the predictions", name, predictions.dtype.names, code="unknown_field")
    return predictions[name]


def parts(predictions: np.ndarray) -> list[np.ndarray]:
    """Return the arrays that predictions consist of: every field of records, or the plain array itself."""
    names = predictions.dtype.names
    return [predictions] if names is None else [predictions[name] for name in names]


def mean(predictions: np.ndarray) -> np.ndarray:
    """Average the records of several fits field by field, or plain arrays: (fits, n, ...) -> (n, ...).

    Float fields get the arithmetic mean. Other fields, such as class names, get the majority vote; of equally frequent
    values that of the earliest fit.
    """
    if predictions.dtype.names is None:
        return predictions.mean(axis=0)
    return records(**{name: _mean_or_vote(predictions[name]) for name in _names(predictions)})


def _names(predictions: np.ndarray) -> tuple[str, ...]:
    return predictions.dtype.names or ()


def _mean_or_vote(fits: np.ndarray) -> np.ndarray:
    if fits.dtype.kind == "f":
        return fits.mean(axis=0)
    votes = (fits[:, None] == fits[None]).sum(axis=1)
    return np.take_along_axis(fits, votes.argmax(axis=0)[None], axis=0)[0]
