"""Training rows of a fold that are kept back, to monitor a loss that is neither trained on nor that of the fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldfold.recipes.tables import labels
from goldfold.recipes.targets import Targets

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.recipes.targets.one_value import OneValue

MONITORED = "stopping_loss"  # the name of the loss of the rows kept back


def which(targets: Targets | OneValue, rows: DataFrame, share: float, seed: int, group: str | None) -> np.ndarray:
    """Which of a fold's training rows are kept back, bool (n,): about `share` of each class, none if it is 0.

    group: a column of which each value is on one side as a whole; None: rows are kept back one by one.

    Raises:
        GoldfoldError: `too_few_rows_to_stop`.
    """
    if not share:
        return np.zeros(len(rows), bool)
    found = targets.labels(rows)
    strata = found if found.ndim == 1 else found[:, 0]
    groups = rows[group].to_numpy() if group else None
    return labels.held_back(strata, share, seed, groups, ("monitor_share", "leave it out"))
