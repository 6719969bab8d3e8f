"""Predictions of several things at once: an image's score and its map, say, as records with named fields."""

from __future__ import annotations

import numpy as np

from goldfold.errors import unknown


def records(**fields: np.ndarray) -> np.ndarray:
    """Arrays of one length n, (n, ...) each, as (n,) records: `records(score=..., map=...)["map"]` is the second."""
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in fields.items()]
    together = np.empty(len(next(iter(fields.values()))), kinds)
    for name, values in fields.items():
        together[name] = values
    return together


def field(predictions: np.ndarray, name: str) -> np.ndarray:
    """The field `name` of records; predictions that are no records are the thing itself, and come back as they are.

    Raises:
        GoldfoldError: there are records without such a field.
    """
    predictions = np.asarray(predictions)
    if predictions.dtype.names is None:
        return predictions
    if name not in predictions.dtype.names:
        raise unknown("field of the predictions", name, predictions.dtype.names, code="unknown_field")
    return predictions[name]


def parts(predictions: np.ndarray) -> list[np.ndarray]:
    """The arrays predictions consist of: each field of records, else the predictions themselves."""
    names = predictions.dtype.names
    return [predictions] if names is None else [predictions[name] for name in names]


def mean(predictions: np.ndarray) -> np.ndarray:
    """Several fits' records for the same rows, (fits, n), as (n,) records of each field's arithmetic mean.

    What is no float, a class name say, becomes the value most fits agree on, the earliest of equals.
    """
    return records(**{name: _agreed(predictions[name]) for name in predictions.dtype.names})


def _agreed(fits: np.ndarray) -> np.ndarray:
    if fits.dtype.kind == "f":
        return fits.mean(axis=0)
    votes = (fits[:, None] == fits[None]).sum(axis=1)
    return np.take_along_axis(fits, votes.argmax(axis=0)[None], axis=0)[0]
