"""Which pending submission is scored next: teams take turns, in a quick lane and a slow one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from sqlalchemy import select

from goldfold.board.database import PENDING, Board, Hosted, Submission

Waiting = tuple[int, int]  # (reference number, user) of a submission


@dataclass
class FairQueue:
    """Pending submissions of a board; safe to use from several threads.

    A team has at most one file at a time in each lane. Every file starts in the quick lane; one that takes too long
    there moves to the slow lane, where it keeps only slow files waiting.
    """

    board: Board
    slow: set[int] = field(default_factory=set)
    running: dict[int, int] = field(default_factory=dict)  # reference number -> user
    turns: dict[int, int] = field(default_factory=dict)  # user -> number of the latest turn
    number: count = field(default_factory=count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, *, slow: bool) -> tuple[Submission, Hosted] | None:
        """Submission whose turn it is in a lane; None if none may run. `give_back` ends its run."""
        with self.lock, self.board.reading() as session:
            pending = select(Submission.ref, Submission.user_id).where(Submission.status == PENDING)
            chosen = self._next([(ref, user) for ref, user in session.execute(pending)], slow)
            if chosen is None:
                return None
            ref, user = chosen
            both = select(Submission, Hosted).join(Hosted, Hosted.slug == Submission.slug).where(Submission.ref == ref)
            submission, hosted = session.execute(both).one()
            self.running[ref], self.turns[user] = user, next(self.number)
            return submission, hosted

    def give_back(self, ref: int, *, slow: bool) -> None:
        """Forget a submission that is scored, or that waits again: for the slow lane, or for the lane it was in."""
        with self.lock:
            self.running.pop(ref)
            (self.slow.add if slow else self.slow.discard)(ref)

    def _next(self, pending: Sequence[Waiting], slow: bool) -> Waiting | None:
        """The oldest file of the team whose latest turn is the longest ago; teams with a slow file come last."""
        busy = {user for ref, user in self.running.items() if (ref in self.slow) == slow}
        free = [(ref, user) for ref, user in pending if (ref in self.slow) == slow]
        free = [(ref, user) for ref, user in free if ref not in self.running and user not in busy]
        last = {user for ref, user in pending if ref in self.slow}
        return min(free, key=lambda each: (each[1] in last, self.turns.get(each[1], -1), each[0]), default=None)
