"""Features of a table as the inputs of a network: scaled numbers, flags of gaps, one-hot categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from goldfold.recipes.tables.columns import FittedColumns

ROWS_PER_QUANTILE = 30
QUANTILES = (10, 1000)  # fewest and most
LARGEST = 10.0  # standard deviations of a scaled number; farther ones of unseen rows are cut


@dataclass(frozen=True)
class Scaling:
    """Numbers scaled by training rows; their gaps become the median, with a flag where training rows have gaps.

    numbers: positions of the features that are numbers. flagged: of these, those with gaps. categories: positions of
    codes. sizes: inputs of each category, one of which is for gaps and unseen values.
    """

    scaler: Any
    medians: np.ndarray
    numbers: np.ndarray
    flagged: np.ndarray
    categories: np.ndarray
    sizes: tuple[int, ...]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Inputs of a network, float32 (n, inputs), of features (n, f) with NaN."""
        values = features[:, self.numbers]
        gaps = np.isnan(values)
        scaled = np.where(gaps, self.medians, values)
        scaled = self.scaler.transform(scaled) if len(self.numbers) else scaled
        parts = [np.clip(scaled, -LARGEST, LARGEST), gaps[:, self.flagged]]
        for at, size in zip(self.categories, self.sizes, strict=True):
            codes = np.nan_to_num(features[:, at], nan=size - 1).astype(int)
            parts.append(codes[:, None] == np.arange(size))
        return np.hstack(parts).astype(np.float32)


def fit(columns: FittedColumns, features: np.ndarray, how: Literal["quantile", "standard"], seed: int) -> Scaling:
    """Fit on the features (n, f) of training rows. quantile: to a normal distribution; standard: mean 0, sd 1."""
    numbers, categories = np.flatnonzero(~columns.is_category), np.flatnonzero(columns.is_category)
    values = features[:, numbers]
    known = [column[~np.isnan(column)] for column in values.T]
    medians = np.array([np.median(column) if len(column) else 0.0 for column in known])
    quantiles = min(len(features), max(QUANTILES[0], min(QUANTILES[1], len(features) // ROWS_PER_QUANTILE)))
    scaler = (
        StandardScaler()
        if how == "standard"
        else QuantileTransformer(
            n_quantiles=quantiles, output_distribution="normal", subsample=None, random_state=seed % 2**32
        )
    )
    if len(numbers):
        scaler.fit(np.where(np.isnan(values), medians, values))
    flagged = np.flatnonzero(np.isnan(values).any(axis=0))
    return Scaling(scaler, medians, numbers, flagged, categories, tuple(size + 1 for size in columns.sizes))
