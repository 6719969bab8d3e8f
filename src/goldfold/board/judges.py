"""Judge processes: started when they are needed, kept while they are used, replaced when they die.

A judge is a command with two arguments, the competition's name and its folder on the board. It reads one JSON line
per file, {"path", "name", "wall_s"}, and answers each with one JSON line: {"public", "private"} scores or {"error"},
with "late" if "wall_s" were not enough and "internal" if grade() failed. It ends when its input ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from goldfold.board import catalogue
from goldfold.board.database import Board, Hosted

KEPT = 3  # idle processes, each with its competition's modules in memory
LATEST_S = 300  # seconds for an answer; longer than the judge's own time limit
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # judges fork


@dataclass
class Judge:
    """A running judge process. slug: its competition; solution: hash of the solution it has read."""

    process: subprocess.Popen[str]
    slug: str
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
class Judges:
    """The judges of a board; safe to use from several threads. command: starts one, without its two arguments.

    idle: longest unused first.
    """

    board: Board
    command: Sequence[str]
    idle: list[Judge] = field(default_factory=list)
    asked: list[Judge] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, hosted: Hosted, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Answer of a judge; None if it did not start, died or exceeded LATEST_S."""
        judge = self._take(hosted)
        line = _exchange(judge, message)
        with self.lock:
            self.asked.remove(judge)
            if line:
                self.idle.append(judge)
            surplus = [self.idle.pop(0) for _ in range(len(self.idle) - KEPT)]
        for each in surplus if line else [judge, *surplus]:
            _end(each)
        return json.loads(line) if line else None

    def kill(self) -> None:
        """Kill all judges; `ask` in other threads returns None."""
        with self.lock:
            for judge in (*self.asked, *self.idle):
                _kill(judge)

    def end(self) -> None:
        """End the idle judges."""
        with self.lock:
            ended, self.idle = self.idle, []
        for judge in ended:
            _end(judge)

    def _take(self, hosted: Hosted) -> Judge:
        """A judge that has read the current solution; it is started if none is idle."""
        with self.lock:
            own = [judge for judge in self.idle if judge.slug == hosted.slug]
            outdated = [judge for judge in own if judge.solution != hosted.solution or judge.process.poll() is not None]
            usable = [judge for judge in own if judge not in outdated][-1:]
            self.idle = [judge for judge in self.idle if judge not in [*outdated, *usable]]
            folder = catalogue.competition_folder(self.board, hosted.slug)
            judge = usable[0] if usable else _spawn([*self.command, hosted.name, str(folder)], hosted)
            self.asked.append(judge)
        for each in outdated:
            _end(each)
        return judge


def _spawn(command: Sequence[str], hosted: Hosted) -> Judge:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **SINGLE},
        start_new_session=True,  # only the board handles an interrupt from the terminal
        text=True,
        encoding="utf-8",
    )
    return Judge(process, hosted.slug, hosted.solution)


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
