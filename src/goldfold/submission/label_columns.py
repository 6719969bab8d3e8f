"""Submissions of several labels per row: a column of probabilities per label, or one column of label sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.competition import Metric, Submission
from goldfold.data.fields import field
from goldfold.submission.checks import between, one_of_each

if TYPE_CHECKING:
    from goldfold.submission.score_per_row import Grade


def submission(targets: Sequence[str]) -> Submission:
    """Describe a file with `id` and a column of probabilities per label.

    Predictions are (n, labels) in the order of `targets`, or records with them as `score`.

    >>> submission(["Drama", "War"]).write(pd.DataFrame({"id": ["a"]}), np.array([[0.75, 0.5]])).to_dict("list")
    {'id': ['a'], 'Drama': [0.75], 'War': [0.5]}
    """
    names = list(targets)

    def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
        probabilities = pd.DataFrame(field(predictions, "score"), test.index, names)
        return pd.concat([test[["id"]], probabilities], axis=1)

    return Submission(write=write, checks=dict.fromkeys(names, between(0, 1)))


def label_sets(column: str, targets: Sequence[str], *, separator: str = " ", at_thresholds: bool = True) -> Submission:
    """Describe a file with `id` and `column`: the names of the labels with a probability above 0.5; none is empty.

    Predictions are (n, labels) in the order of `targets`.
    at_thresholds: shift probabilities before, so that 0.5 is the threshold of each label with the highest F1 on all
        out-of-fold predictions; False: as they are predicted.

    >>> labels = label_sets("genres", ["Drama", "War"], separator="|")
    >>> labels.write(pd.DataFrame({"id": ["a", "b"]}), np.array([[0.75, 0.9], [0.5, 0.2]])).to_dict("list")
    {'id': ['a', 'b'], 'genres': ['Drama|War', '']}
    """
    names = np.array(targets, dtype=object)

    def write(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(
            {"id": test["id"], column: [separator.join(names[row > 0.5]) for row in field(predictions, "score")]}
        )

    checks = {column: one_of_each(targets, separator)}
    return Submission(write=write, checks=checks, may_be_empty=(column,), at_thresholds=at_thresholds)


def grade(metric: Metric, targets: Sequence[str]) -> Grade:
    """Return a function for `Competition.grade`: the metric of the label columns, with rows matched by id."""

    def graded(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
        found = submission.set_index("id").loc[solution["id"], list(targets)]
        return metric.score(solution, found.to_numpy(np.float64))

    return graded
