"""Prepare windows in a fixed order: moving average over time, z-score, statistics; invalid frames enter nowhere."""

from __future__ import annotations

import numpy as np

from goldfold.errors import GoldfoldError

STATISTICS = ("mean", "sd", "median", "max", "min")
LEAST_SD = 1e-6  # below it a feature is constant, and is divided by 1


def moving_average(features: np.ndarray, valid: np.ndarray, width: int) -> np.ndarray:
    """Average each frame with its valid neighbors in time, float64 (T, F).

    valid: bool (T,). width: frames, odd; the first and the last frame are repeated beyond the ends. A frame without a
    valid neighbor is 0, and frames stay as valid as they are.

    Raises:
        GoldfoldError: `smoothing_even`; `smoothing_too_wide`, the window has fewer frames.
    """
    if width % 2 == 0:
        raise GoldfoldError(
            "smoothing_even", f"smoothing must be odd, so that a frame is in the middle, got {width}: use {width + 1}"
        )
    if width > len(features):
        raise GoldfoldError(
            "smoothing_too_wide",
            f"smoothing over {width} frames needs a window of as many, got one of {len(features)}: lower smoothing",
        )
    if width == 1:
        return np.where(valid[:, None], features, 0.0)
    weights = np.pad(valid.astype(np.float64), width // 2, mode="edge")
    values = np.pad(np.where(valid[:, None], features, 0.0), ((width // 2, width // 2), (0, 0)), mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(values, width, axis=0).sum(-1)
    count = np.lib.stride_tricks.sliding_window_view(weights, width).sum(-1)
    return near / np.maximum(count, 1)[:, None]


def z_scored(features: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Standardize features by the mean and sd of the window's own valid frames, float64 (T, F); 0 in invalid ones."""
    if not valid.any():
        return np.zeros_like(features)
    mean, sd = features[valid].mean(0), features[valid].std(0)
    return np.where(valid[:, None], (features - mean) / np.where(sd < LEAST_SD, 1.0, sd), 0.0)


def statistics(features: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """`STATISTICS` of each feature over valid frames, float64 (5 F,), mean of all features first; else zeros.

    The sd has ddof 0, and the median of an even number of frames is the mean of the middle two, as in NumPy.

    >>> statistics(np.array([[1.0], [2.0], [9.0]]), np.array([True, True, False])).tolist()
    [1.5, 0.5, 1.5, 2.0, 1.0]
    """
    known = features[valid]
    if not len(known):
        return np.zeros(len(STATISTICS) * features.shape[1])
    return np.concatenate([known.mean(0), known.std(0), np.median(known, 0), known.max(0), known.min(0)])
