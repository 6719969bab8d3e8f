"""Means of classes of which some are absent."""

from __future__ import annotations

import numpy as np


def mean_of_known(values: np.ndarray, of_none: float = 1.0) -> np.ndarray:
    """Mean over the last axis without NaN; `of_none` where all values are."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    return np.where(count, np.where(known, values, 0).sum(axis=-1) / np.maximum(count, 1), of_none)
