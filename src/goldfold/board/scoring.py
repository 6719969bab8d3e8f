"""Submissions that wait are scored one after the other by judges: processes that have imported one competition each.

The judge of a competition is a command that is given its folder's name and its folder on the board. It
reads one JSON line per file, {"path", "name"}, and answers each with one: {"public", "private"} scores or {"error"}.
It ends when its input does. A judge that dies or is late is replaced.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update

from goldfold.board import catalogue, uploads
from goldfold.board.database import COMPLETE, ERROR, PENDING, Board, Hosted, Submission

JUDGES = 2  # that are kept, each as large as what its competition imports
LATEST_S = 300  # for an answer; beyond any limit a judge keeps itself
TRIES = 2  # of judges that die over one submission
POLL_S = 1.0  # to notice what another process, `host-add`, has left to be scored
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # judges fork

log = logging.getLogger(__name__)


@dataclass
class Judge:
    """A running judge; `solution` tells which answers it has read."""

    process: subprocess.Popen
    solution: str


@dataclass
class Scoring:
    """The thread that scores, and the judges it has started. command: of a judge, without its two arguments."""

    board: Board
    command: Sequence[str]
    awake: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    judges: dict[str, Judge] = field(default_factory=dict)
    deaths: Counter = field(default_factory=Counter)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="scoring", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Return when no judge is left; what was being scored is scored after the next start."""
        self.stopping.set()
        self.awake.set()
        while self.thread.is_alive():
            for judge in list(self.judges.values()):
                _kill(judge)
            self.thread.join(0.1)
        for judge in self.judges.values():
            _end(judge)

    def _run(self) -> None:
        while not self.stopping.is_set():
            self.awake.clear()
            try:
                found = self._score_next()
            except Exception:
                log.exception("scoring stumbled and goes on")
                found = False
            if not found:
                self.awake.wait(POLL_S)

    def _score_next(self) -> bool:
        """Score the oldest waiting submission; False where none waits."""
        with self.board.reading() as session:
            waiting = select(Submission, Hosted).join(Hosted, Hosted.slug == Submission.slug)
            row = session.execute(waiting.where(Submission.status == PENDING).order_by(Submission.ref).limit(1)).first()
        if row is None:
            return False
        submission, hosted = row
        answer = self._ask(submission, hosted)
        if not self.stopping.is_set():
            self._note(submission, hosted, answer)
        return True

    def _ask(self, submission: Submission, hosted: Hosted) -> Mapping[str, Any] | None:
        """The judge's answer; None where the judge did not start, died or was late."""
        file = uploads.path(self.board, submission.token)
        judge = self._judge(hosted)
        line = _exchange(judge, {"path": str(file), "name": submission.file_name})
        if not line:
            _end(self.judges.pop(hosted.slug))
        return json.loads(line) if line else None

    def _judge(self, hosted: Hosted) -> Judge:
        """The judge that has read the present answers, started where there is none."""
        judge = self.judges.pop(hosted.slug, None)
        if judge and (judge.solution != hosted.solution or judge.process.poll() is not None):
            _end(judge)
            judge = None
        while len(self.judges) >= JUDGES:
            _end(self.judges.pop(next(iter(self.judges))))
        if judge is None:
            folder = catalogue.competition_folder(self.board, hosted.slug)
            judge = Judge(_spawn([*self.command, hosted.name, str(folder)]), hosted.solution)
        self.judges[hosted.slug] = judge  # last in, so that the first is the one unused for longest
        return judge

    def _note(self, submission: Submission, hosted: Hosted, answer: Mapping[str, Any] | None) -> None:
        if answer is None:
            log.warning("the judge of '%s' died over submission %d", hosted.slug, submission.ref)
            self.deaths[submission.ref] += 1
            if self.deaths[submission.ref] < TRIES:
                return
            answer = {"error": "The board could not score this file; its host's terminal says why."}
        scores = {"public_score": answer.get("public"), "private_score": answer.get("private")}
        status = ERROR if "error" in answer else COMPLETE
        same = (Submission.ref == submission.ref, Submission.status == PENDING)
        with self.board.writing() as session:
            # answers that changed meanwhile make the score one of another competition: it stays waiting
            if session.scalar(select(Hosted.solution).where(Hosted.slug == hosted.slug)) == hosted.solution:
                values = {"status": status, "error": answer.get("error", ""), **scores}
                session.execute(update(Submission).where(*same).values(values))


def _spawn(command: Sequence[str]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **SINGLE},
        start_new_session=True,  # an interrupt at the terminal is the board's to handle
        text=True,
        encoding="utf-8",
    )


def _exchange(judge: Judge, message: Mapping[str, Any]) -> str:
    """The line a judge answers `message` with; empty where it dies or is late."""
    late = threading.Timer(LATEST_S, _kill, [judge])
    late.daemon = True
    late.start()
    try:
        judge.process.stdin.write(json.dumps(message) + "\n")
        judge.process.stdin.flush()
        return judge.process.stdout.readline()
    except BrokenPipeError:
        return ""
    finally:
        late.cancel()


def _end(judge: Judge) -> None:
    _kill(judge)
    judge.process.wait()
    with suppress(BrokenPipeError):
        judge.process.stdin.close()
    judge.process.stdout.close()


def _kill(judge: Judge) -> None:
    """With all it has started: its session is its own."""
    with suppress(ProcessLookupError):
        os.killpg(judge.process.pid, signal.SIGKILL)
