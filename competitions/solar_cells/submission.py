"""A probability or another score of a defect for each cell, ranked by the area under the ROC curve."""

from __future__ import annotations

import numpy as np
import pandas as pd

from goldfold.competition import Submission
from goldfold.fields import field
from goldfold.metrics import auroc
from goldfold.submission_checks import number

METRIC = auroc("defect")


def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"id": test["id"], "defect": field(predictions, "score").astype(float)})


def grade(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
    return METRIC.score(solution, submission.set_index("id").loc[solution["id"], "defect"].to_numpy())


SUBMISSION = Submission(write=write, checks={"defect": number()})
