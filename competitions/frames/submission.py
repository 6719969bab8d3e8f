"""The most similar hidden frames for each of them, ranked by mAP@20; near-duplicates count neither way."""

from __future__ import annotations

from pandas import DataFrame

from competitions.frames.data import RANKING, pairs
from goldfold.competition import Submission
from goldfold.metrics.retrieval import map_at

PROTOCOL = "each frame asks the others of its fold, right 2 to 10 s away, nearer ones left out"
METRIC = map_at(pairs, RANKING.graded, protocol=PROTOCOL)


def grade(submission: DataFrame, solution: DataFrame) -> float:
    return RANKING.grade(submission, solution, pairs(solution))


SUBMISSION = Submission(write=RANKING.write, checks={RANKING.column: RANKING.check})
