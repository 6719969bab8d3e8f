"""Score pending submissions in judge processes, in a quick lane and a slow one."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from goldfold.board import uploads
from goldfold.board.database import COMPLETE, ERROR, PENDING, Board, Hosted, Submission
from goldfold.board.fair_queue import FairQueue
from goldfold.board.judges import Judges

QUICK_S = 4  # seconds that a file may take in the quick lane
SLOW_S = 120  # and in the slow lane
LANES = (False, False, True)  # threads, each with one file at a time; True: of the slow lane
TRIES = 2  # judges that may die on one submission before it gets an error
POLL_S = 1.0  # seconds between checks for submissions that another process, `host-add`, set to pending

log = logging.getLogger(__name__)


class Scoring:
    """The scoring threads, their queue and their judges. command: starts a judge, see `judges.Judges`."""

    def __init__(self, board: Board, command: Sequence[str]) -> None:
        self.board = board
        self.queue, self.judges = FairQueue(board), Judges(board, command)
        self.awake = [threading.Event() for _ in LANES]
        self.stopping = threading.Event()
        self.deaths: Counter[int] = Counter()
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the scoring threads."""
        for slow, awake in zip(LANES, self.awake, strict=True):
            self.threads.append(threading.Thread(target=self._run, args=(slow, awake), name="scoring", daemon=True))
            self.threads[-1].start()

    def wake(self) -> None:
        """Look for pending submissions now."""
        for awake in self.awake:
            awake.set()

    def stop(self) -> None:
        """Stop the threads and all judges; a submission being scored is scored after the next start."""
        self.stopping.set()
        self.wake()
        while any(thread.is_alive() for thread in self.threads):
            self.judges.kill()
            self.threads[0].join(0.05)
            self.threads[-1].join(0.05)
        self.judges.end()

    def _run(self, slow: bool, awake: threading.Event) -> None:
        while not self.stopping.is_set():
            awake.clear()
            try:
                found = self._score_next(slow)
            except (OSError, SQLAlchemyError) as error:
                log.warning("scoring waits for the disk: %s", str(error).splitlines()[0])
                found = False
            except Exception:
                log.exception("scoring failed and continues")
                found = False
            if not found:
                awake.wait(POLL_S)

    def _score_next(self, slow: bool) -> bool:
        """Score the submission whose turn it is; False if there is none."""
        taken = self.queue.take(slow=slow)
        if taken is None:
            return False
        submission, hosted = taken
        late = False
        try:
            path, wall_s = uploads.path(self.board, submission.token), SLOW_S if slow else QUICK_S
            asked = {"path": str(path), "name": submission.file_name, "wall_s": wall_s}
            answer = self.judges.ask(hosted, asked)
            late = not slow and answer is not None and "late" in answer
            if not self.stopping.is_set() and not late:
                self._note(submission, hosted, answer)
        finally:
            self.queue.give_back(submission.ref, slow=late)
            self.wake()
        return True

    def _note(self, submission: Submission, hosted: Hosted, answer: Mapping[str, Any] | None) -> None:
        """Record scores or an error; a file that is at fault itself is removed, since nothing could ever score it."""
        at_fault = answer is not None and "error" in answer and "internal" not in answer
        if answer is None:
            log.warning("the judge of '%s' died over submission %d", hosted.slug, submission.ref)
            self.deaths[submission.ref] += 1
            if self.deaths[submission.ref] < TRIES:
                return
            answer = {"error": "The board could not score this file; see the terminal of the board for the reason."}
        scores = {"public_score": answer.get("public"), "private_score": answer.get("private")}
        status = ERROR if "error" in answer else COMPLETE
        same = (Submission.ref == submission.ref, Submission.status == PENDING)
        with self.board.writing() as session:
            # if the solution changed meanwhile, the score is outdated and the submission stays pending
            if session.scalar(select(Hosted.solution).where(Hosted.slug == hosted.slug)) != hosted.solution:
                return
            values = {"status": status, "error": answer.get("error", ""), **scores}
            session.execute(update(Submission).where(*same).values(values))
        if at_fault:
            uploads.path(self.board, submission.token).unlink(missing_ok=True)
