"""Submission of one motion per window, by name; the metric is accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from competitions.hand_gestures.data import MOTIONS
from goldfold.competition import Submission
from goldfold.metrics import accuracy
from goldfold.submission.checks import one_of

METRIC = accuracy("motion", classes=MOTIONS)


def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    """Write the most probable motion; predictions: (n, 4) probabilities."""
    return pd.DataFrame({"id": test["id"], "motion": np.array(MOTIONS, object)[predictions.argmax(axis=1)]})


def grade(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
    """Return the accuracy of a submission; rows are matched by id."""
    return METRIC.score(solution, submission.set_index("id").loc[solution["id"], "motion"].to_numpy())


SUBMISSION = Submission(write=write, checks={"motion": one_of(*MOTIONS)})
