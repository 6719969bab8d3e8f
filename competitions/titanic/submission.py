"""Submission of one decision per passenger: 0 or 1, as integers."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame

from goldfold.competition import Submission
from goldfold.submission.checks import one_of


def write(test: DataFrame, predictions: np.ndarray) -> DataFrame:
    """Write 1 if survival is more likely than not; predictions: (n,) probabilities of survival."""
    return DataFrame({"PassengerId": test["id"], "Survived": (predictions > 0.5).astype(int)})


SUBMISSION = Submission(write=write, checks={"Survived": one_of(0, 1)})
