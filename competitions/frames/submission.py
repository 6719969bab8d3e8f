"""The most similar hidden frames for each of them, ranked by mAP@20; near-duplicates count neither way."""

from __future__ import annotations

from pandas import DataFrame

from competitions.frames.data import LISTS, pairs
from goldfold.competition import Submission
from goldfold.metrics.retrieval import map_at

PROTOCOL = "each frame asks the others of its fold, right 2 to 10 s away, nearer ones left out"
METRIC = map_at(pairs, LISTS.depth, protocol=PROTOCOL)


def grade(submission: DataFrame, solution: DataFrame) -> float:
    return LISTS.grade(submission, solution, pairs(solution))


SUBMISSION = Submission(write=LISTS.write, checks={LISTS.column: LISTS.check})
