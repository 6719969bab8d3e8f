"""Submission of one probability per icon and category; the metric is the mean average precision over categories."""

from __future__ import annotations

import numpy as np
import pandas as pd

from competitions.icons.data import LABELS
from goldfold.competition import Submission
from goldfold.data.fields import field
from goldfold.metrics import average_precision
from goldfold.submission.checks import between

METRIC = average_precision(LABELS)


def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    """Write the probability of each category.

    predictions: (n, 64) probabilities in the order of `LABELS`, or records with them as `score`.
    """
    frame = pd.DataFrame(field(predictions, "score"), columns=list(LABELS))
    return frame.assign(id=test["id"].to_numpy())[["id", *LABELS]]


def grade(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
    """Return the mean average precision of a submission; rows are matched by id."""
    return METRIC.score(solution, submission.set_index("id").loc[solution["id"], list(LABELS)].to_numpy())


SUBMISSION = Submission(write=write, checks=dict.fromkeys(LABELS, between(0, 1)))
