"""Windows pooled into rows: number of valid frames, `STATISTICS` of each feature, perhaps the two numbers of a summary.

Rows are of features before they are scaled, so that they can be cached for all folds.
"""

from __future__ import annotations

import numpy as np

from goldfold.sequences.preparation import STATISTICS
from goldfold.sequences.scaler import Scaler


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Valid frames (n,), means and standard deviations (n, F) of windows, from their rows."""
    features = rows.shape[1] // len(STATISTICS)  # one count and up to two numbers of the summary are fewer than five
    return rows[:, 0], rows[:, 1 : 1 + features], rows[:, 1 + features : 1 + 2 * features]


def scaled(rows: np.ndarray, scaler: Scaler | None) -> np.ndarray:
    """What a network gets of rows: statistics of scaled features, float64 (n, 5 F), perhaps the summary.

    Statistics of (x - mean) / sd are those of x, scaled alike: all but the sd of x are shifted, too. Windows without a
    valid frame stay 0.
    """
    if scaler is None:
        return rows[:, 1:]
    features, known = len(scaler.mean), rows[:, :1] > 0
    of_time = rows[:, 1 : 1 + len(STATISTICS) * features].reshape(len(rows), len(STATISTICS), features)
    shift = np.stack([np.zeros(features) if name == "sd" else np.array(scaler.mean) for name in STATISTICS])
    done = ((of_time - shift) / np.array(scaler.sd)).reshape(len(rows), -1)
    return np.hstack([np.where(known, done, 0.0), rows[:, 1 + done.shape[1] :]])
