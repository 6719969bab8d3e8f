"""Submission of the most similar hidden images per hidden image; the metric is mAP@R."""

from __future__ import annotations

from pandas import DataFrame

from competitions.lookalikes.data import LISTS, pairs
from goldfold.competition import Submission
from goldfold.metrics.retrieval import map_at_r

PROTOCOL = "each image against the others of its fold; relevant: the same class, unseen in training"
METRIC = map_at_r(pairs, protocol=PROTOCOL)


def grade(submission: DataFrame, solution: DataFrame) -> float:
    """Return the mAP@R of the submitted lists."""
    return LISTS.grade(submission, solution, pairs(solution))


SUBMISSION = Submission(write=LISTS.write, checks={LISTS.column: LISTS.check}, whole_gallery=True)
