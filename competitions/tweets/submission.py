"""The mean rating of a tweet; the metric is the RMSE."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame

from competitions.tweets.data import TARGET
from goldfold.competition import Submission
from goldfold.metrics import rmse
from goldfold.submission.checks import between

METRIC = rmse(TARGET)
SCALE = (-4.0, 4.0)  # of the ratings


def write(test: DataFrame, predictions: np.ndarray) -> DataFrame:
    """Write ratings within their scale; predictions: (n,)."""
    return DataFrame({"id": test["id"], TARGET: np.clip(predictions, *SCALE)})


def grade(submission: DataFrame, solution: DataFrame) -> float:
    """RMSE of a submission, against the true ratings."""
    both = solution.merge(submission, on="id", suffixes=("", "_predicted"))
    return METRIC.score(both, both[f"{TARGET}_predicted"].to_numpy(float))


SUBMISSION = Submission(write=write, checks={TARGET: between(*SCALE)})
