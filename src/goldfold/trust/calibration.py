"""Calibration: how often rows are right, or positive, among those with predictions of about the same probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pandas import DataFrame

BINS = 10
SUM = 1e-3  # by how much the probabilities of a row may miss 1


def reliability(truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> DataFrame:
    """Compare predicted probabilities with what happened: a row per bin of equal width that holds rows.

    truth: (n,) class indices. probabilities: (n,) of the second of two classes, or (n, classes); of these the largest
    of each row, the confidence, is compared with how often that class is right (Guo et al., "On Calibration of Modern
    Neural Networks", 2017).

    Columns: low, high (edges of the bin), rows, probability (their mean), share (of rows that are positive, or right).
    """
    if probabilities.ndim == 1:
        told, happened = probabilities.astype(np.float64), truth == 1
    else:
        told, happened = probabilities.max(axis=1).astype(np.float64), truth == probabilities.argmax(axis=1)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], told)
    rows, sums, hits = (np.bincount(place, weights, bins) for weights in (None, told, happened))
    kept = rows > 0
    return pd.DataFrame(
        {
            "low": edges[:-1][kept],
            "high": edges[1:][kept],
            "rows": rows[kept],
            "probability": sums[kept] / rows[kept],
            "share": hits[kept] / rows[kept],
        }
    )


def expected_error(table: DataFrame) -> float:
    """The expected calibration error: the mean distance of probability and share, weighted by rows, in [0, 1]."""
    return float(((table["probability"] - table["share"]).abs() * table["rows"]).sum() / table["rows"].sum())


def are_probabilities(predictions: np.ndarray, classes: int) -> bool:
    """Whether predictions can be probabilities: (n,) in [0, 1] of two classes, or (n, classes) with sums of 1."""
    if predictions.dtype.kind != "f" or not np.isfinite(predictions).all():
        return False
    if predictions.min(initial=0) < 0 or predictions.max(initial=0) > 1:
        return False
    if predictions.ndim == 1:
        return classes == 2
    return predictions.shape[1:] == (classes,) and bool((np.abs(predictions.sum(axis=1) - 1) <= SUM).all())
