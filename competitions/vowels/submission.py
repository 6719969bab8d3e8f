"""Submission of one speaker per utterance; the metric is accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from competitions.vowels.data import SPEAKERS
from goldfold.competition import Submission
from goldfold.metrics import accuracy
from goldfold.submission.checks import one_of

METRIC = accuracy("speaker", classes=SPEAKERS)


def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    """Write the most probable speaker; predictions: (n, 9) probabilities."""
    return pd.DataFrame({"id": test["id"], "speaker": np.array(SPEAKERS)[predictions.argmax(axis=1)]})


def grade(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
    """Return the accuracy of a submission; rows are matched by id."""
    return METRIC.score(solution, submission.set_index("id").loc[solution["id"], "speaker"].to_numpy())


SUBMISSION = Submission(write=write, checks={"speaker": one_of(*SPEAKERS)})
