"""Ranks on the public and the private board; the private one as on Kaggle if a team selects no submissions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from goldfold.board.database import COMPLETE, Hosted, Submission, User

SELECTED = 2  # submissions of a team that count on the private board


@dataclass(frozen=True)
class Standing:
    """One line of a board: a team's counted submission, its rank, and the number of its submissions."""

    rank: int
    user: User
    score: float
    date: str
    entries: int


def board(session: Session, hosted: Hosted, *, private: bool) -> list[Standing]:
    """Rank the teams of a competition, best first; for equal scores the earlier submission ranks higher.

    Public board: each team's best public score. Private board: of each team's two submissions with the best public
    scores, the one with the better private score.
    """
    by_team = defaultdict(list)
    done = select(Submission).where(Submission.slug == hosted.slug, Submission.status == COMPLETE)
    for submission in session.scalars(done):
        by_team[submission.user_id].append(submission)
    on_board = []
    for made in by_team.values():
        selected = best_first(made, hosted, public_score)[:SELECTED]
        on_board.append(best_first(selected, hosted, private_score)[0] if private else selected[0])
    score = private_score if private else public_score
    return [
        Standing(rank, each.user, score(each), each.date, len(by_team[each.user_id]))
        for rank, each in enumerate(best_first(on_board, hosted, score), 1)
    ]


def best_first(
    submissions: Iterable[Submission], hosted: Hosted, score: Callable[[Submission], float]
) -> list[Submission]:
    """Sort scored submissions by a score, best first; equal scores by time of submission."""
    sign = -1 if hosted.higher_is_better else 1
    return sorted(submissions, key=lambda each: (sign * score(each), each.ref))


def public_score(submission: Submission) -> float:
    """Public score of a scored submission."""
    assert submission.public_score is not None, "only scored submissions have a score"
    return submission.public_score


def private_score(submission: Submission) -> float:
    """Private score of a scored submission."""
    assert submission.private_score is not None, "only scored submissions have a score"
    return submission.private_score


def shake_up(rises: list[int]) -> float:
    """Mean absolute change of rank between the boards, divided by the number of teams; 0 without teams."""
    return sum(map(abs, rises)) / len(rises) ** 2 if rises else 0.0
