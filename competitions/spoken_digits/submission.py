"""Submission of one digit per recording; the metric is accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from competitions.spoken_digits.data import DIGITS
from goldfold.competition import Submission
from goldfold.metrics import accuracy
from goldfold.submission.checks import one_of

METRIC = accuracy("label", classes=DIGITS)


def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    """Write the most probable digit; predictions: (n, 10) probabilities."""
    return pd.DataFrame({"id": test["id"], "label": predictions.argmax(axis=1)})


def grade(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
    """Return the accuracy of a submission; rows are matched by id."""
    return METRIC.score(solution, submission.set_index("id").loc[solution["id"], "label"].to_numpy())


SUBMISSION = Submission(write=write, checks={"label": one_of(*DIGITS)})
