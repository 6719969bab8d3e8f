"""Submissions of several labels: probabilities by column, or sets of names that are checked against the labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold import metrics
from goldfold.submission import label_columns, writing

NAMES = ("Drama", "War", "Science Fiction")
TEST = pd.DataFrame({"id": ["a", "b", "c"]}, index=[4, 7, 9])
GUESS = np.array([[0.9, 0.2, 0.7], [0.1, 0.5, 0.2], [0.2, 0.8, 0.1]])


def test_probabilities_have_a_column_per_label_and_are_graded_by_id() -> None:
    made = label_columns.submission(NAMES)
    frame = made.write(TEST, GUESS)
    sample = pd.DataFrame({"id": ["a", "b", "c"], **dict.fromkeys(NAMES, 0.5)})
    writing.check(frame, sample, TEST, made)
    assert frame.loc[7, list(NAMES)].tolist() == [0.1, 0.5, 0.2]
    solution = pd.DataFrame({"id": ["c", "b", "a"], **{name: [0, 0, 1] for name in NAMES}, "War": [1, 0, 0]})
    metric = metrics.hamming_loss(NAMES)
    assert label_columns.grade(metric, NAMES)(frame, solution) == metric.score(solution, GUESS[::-1]) == 0
    with raises_code("submission_value_invalid", "'War'", "must lie in"):
        writing.check(frame.assign(War=1.5), sample, TEST, made)


@pytest.mark.parametrize("separator", ["|", ", "])
def test_sets_of_labels_are_those_above_one_half(separator: str) -> None:
    made = label_columns.label_sets("genres", NAMES, separator=separator)
    frame = made.write(TEST, GUESS)
    assert frame["genres"].tolist() == [f"Drama{separator}Science Fiction", "", "War"]
    sample = pd.DataFrame({"id": ["a", "b", "c"], "genres": f"Drama{separator}War"})
    writing.check(frame, sample, TEST, made)
    with raises_code("submission_value_invalid", "'genres'", "1 of 3 rows", "Wars"):
        writing.check(frame.assign(genres=["Drama", "", f"Drama{separator}Wars"]), sample, TEST, made)
