"""Score pending submissions, one after the other, in judge processes: one process per competition.

A judge is a command with two arguments, the competition's name and its folder on the board. It reads one JSON line
per file, {"path", "name"}, and answers each with one JSON line: {"public", "private"} scores or {"error"}. It ends
when its input ends. A judge that dies or exceeds the time limit is replaced.
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
from typing import IO, Any

from sqlalchemy import select, update

from goldfold.board import catalogue, uploads
from goldfold.board.database import COMPLETE, ERROR, PENDING, Board, Hosted, Submission

JUDGES = 2  # processes kept, each with its competition's modules in memory
LATEST_S = 300  # seconds for an answer; longer than the judge's own time limit
TRIES = 2  # judges that may die on one submission before it gets an error
POLL_S = 1.0  # seconds between checks for submissions that another process, `host-add`, set to pending
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # judges fork

log = logging.getLogger(__name__)


@dataclass
class Judge:
    """A running judge process. solution: hash of the solution it has read."""

    process: subprocess.Popen[str]
    solution: str

    @property
    def input(self) -> IO[str]:
        """Pipe for requests."""
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def output(self) -> IO[str]:
        """Pipe for answers."""
        assert self.process.stdout is not None
        return self.process.stdout


@dataclass
class Scoring:
    """The scoring thread and its judges. command: starts a judge, without its two arguments."""

    board: Board
    command: Sequence[str]
    awake: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    judges: dict[str, Judge] = field(default_factory=dict)
    deaths: Counter = field(default_factory=Counter)
    thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the scoring thread."""
        self.thread = threading.Thread(target=self._run, name="scoring", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Stop the thread and all judges; a submission being scored is scored after the next start."""
        self.stopping.set()
        self.awake.set()
        while self.thread and self.thread.is_alive():
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
                log.exception("scoring failed and continues")
                found = False
            if not found:
                self.awake.wait(POLL_S)

    def _score_next(self) -> bool:
        """Score the oldest pending submission; False if there is none."""
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
        """Answer of the judge; None if it did not start, died or exceeded the time limit."""
        file = uploads.path(self.board, submission.token)
        judge = self._judge(hosted)
        line = _exchange(judge, {"path": str(file), "name": submission.file_name})
        if not line:
            _end(self.judges.pop(hosted.slug))
        return json.loads(line) if line else None

    def _judge(self, hosted: Hosted) -> Judge:
        """The judge that has read the current solution; it is started if there is none."""
        judge = self.judges.pop(hosted.slug, None)
        if judge and (judge.solution != hosted.solution or judge.process.poll() is not None):
            _end(judge)
            judge = None
        while len(self.judges) >= JUDGES:
            _end(self.judges.pop(next(iter(self.judges))))
        if judge is None:
            folder = catalogue.competition_folder(self.board, hosted.slug)
            judge = Judge(_spawn([*self.command, hosted.name, str(folder)]), hosted.solution)
        self.judges[hosted.slug] = judge  # last, so that the first is the least recently used
        return judge

    def _note(self, submission: Submission, hosted: Hosted, answer: Mapping[str, Any] | None) -> None:
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
            if session.scalar(select(Hosted.solution).where(Hosted.slug == hosted.slug)) == hosted.solution:
                values = {"status": status, "error": answer.get("error", ""), **scores}
                session.execute(update(Submission).where(*same).values(values))


def _spawn(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **SINGLE},
        start_new_session=True,  # only the board handles an interrupt from the terminal
        text=True,
        encoding="utf-8",
    )


def _exchange(judge: Judge, message: Mapping[str, Any]) -> str:
    """Line that a judge answers `message` with; empty if it dies or exceeds the time limit."""
    late = threading.Timer(LATEST_S, _kill, [judge])
    late.daemon = True
    late.start()
    try:
        judge.input.write(json.dumps(message) + "\n")
        judge.input.flush()
        return judge.output.readline()
    except BrokenPipeError:
        return ""
    finally:
        late.cancel()


def _end(judge: Judge) -> None:
    _kill(judge)
    judge.process.wait()
    with suppress(BrokenPipeError):
        judge.input.close()
    judge.output.close()


def _kill(judge: Judge) -> None:
    """Kill a judge and its child processes, which share its session."""
    with suppress(ProcessLookupError):
        os.killpg(judge.process.pid, signal.SIGKILL)
