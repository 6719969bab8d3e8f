"""Submissions with one score per row, and grading them by a metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from goldfold.competition import Metric, Submission
from goldfold.data.fields import field
from goldfold.submission.checks import number

if TYPE_CHECKING:
    import numpy as np

    Grade = Callable[[pd.DataFrame, pd.DataFrame], float]


def submission(column: str) -> Submission:
    """Describe a file with `id` and `column` (any finite number).

    Predictions are (n,) scores, or records with a field `score`.

    >>> import numpy as np
    >>> submission("defect").write(pd.DataFrame({"id": ["a", "b"]}), np.array([0.5, 2])).to_dict("list")
    {'id': ['a', 'b'], 'defect': [0.5, 2.0]}
    """

    def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"id": test["id"], column: field(predictions, "score").astype(float)})

    return Submission(write=write, checks={column: number()})


def grade(metric: Metric, column: str) -> Grade:
    """Return a function for `Competition.grade`: the metric of the submission's `column`, with rows matched by id."""

    def graded(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
        return metric.score(solution, submission.set_index("id").loc[solution["id"], column].to_numpy())

    return graded
