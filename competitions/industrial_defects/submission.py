"""A score for each test image, larger the surer of a defect; any finite number, since the leaderboard ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from goldfold.competition import Submission
from goldfold.fields import field
from goldfold.submission_checks import number


def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"id": test["id"], "prediction": field(predictions, "score").astype(float)})


SUBMISSION = Submission(write=write, checks={"prediction": number()})
