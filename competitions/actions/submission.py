"""Submission of one action per recording, by name; the metric is accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from competitions.actions.data import ACTIONS
from goldfold.competition import Submission
from goldfold.metrics import accuracy
from goldfold.submission.checks import one_of

METRIC = accuracy("action", classes=ACTIONS)


def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    """Write the most probable action; predictions: (n, 20) probabilities."""
    return pd.DataFrame({"id": test["id"], "action": np.array(ACTIONS, object)[predictions.argmax(axis=1)]})


def grade(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
    """Return the accuracy of a submission; rows are matched by id."""
    return METRIC.score(solution, submission.set_index("id").loc[solution["id"], "action"].to_numpy())


SUBMISSION = Submission(write=write, checks={"action": one_of(*ACTIONS)})
