"""Submission of the most similar hidden frames per hidden frame; the metric is mAP@20 without near-duplicates."""

from __future__ import annotations

from pandas import DataFrame

from competitions.frames.data import LISTS, pairs
from goldfold.competition import Submission
from goldfold.metrics.retrieval import map_at

PROTOCOL = "each frame against the others of its fold; relevant: 2 to 10 s away; nearer ones left out"
METRIC = map_at(pairs, LISTS.depth, protocol=PROTOCOL)


def grade(submission: DataFrame, solution: DataFrame) -> float:
    """Return the mAP@20 of the submitted lists."""
    return LISTS.grade(submission, solution, pairs(solution))


SUBMISSION = Submission(write=LISTS.write, checks={LISTS.column: LISTS.check}, whole_gallery=True)
