"""A small project with a hosted competition, and the real board serving it in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from goldfold.board import users
from goldfold.board.database import open_board

# Lower is better; ids repeat; some values make grade() misbehave as no checked file should.
SUMS = '''"""Sums of two numbers."""
import os
import time

import numpy as np
import pandas as pd

from goldfold.competition import Competition, Metric, Submission, Tables
from goldfold.errors import GoldfoldError

SECRET = 31337.25


def prepare(raw, public, private):
    rows = pd.DataFrame({"id": [f"数{n // 2}" for n in range(80)], "a": np.arange(80.0)})
    rows.to_csv(public / "train.csv", index=False)
    rows.to_csv(public / "test.csv", index=False)
    (public / "deep").mkdir()
    (public / "deep" / "note 1.txt").write_text("read me", encoding="utf-8")
    rows[["id"]].assign(sum=0.0).to_csv(public / "sample_submission.csv", index=False)
    rows[["id"]].assign(sum=SECRET + rows["a"]).to_csv(private / "solution.csv", index=False)


def load(public):
    return Tables(**{name: pd.read_csv(public / f"{name}.csv") for name in ("train", "test", "sample_submission")})


def grade(submission, solution):
    value = submission["sum"].max()
    if value == 1e6:
        while True:
            pass
    if value == 2e6:
        return float(np.ones(2**40).sum())
    if value == 3e6:
        raise KeyError(f"row {solution['sum'].iloc[0]}")
    if value == 4e6:
        raise GoldfoldError("row_wrong", f"row {solution['sum'].iloc[0]}")
    if value == 5e6:
        os.kill(os.getppid(), 9)
        os._exit(1)
    if value == 7e6:
        time.sleep(1000)
    if value == 6e6:
        return float("nan")
    with open("graded", "a") as file:
        file.write(f"{len(solution)}\\n")
    return float(abs(submission["sum"].to_numpy() - solution["sum"].to_numpy()).mean())


COMPETITION = Competition(
    slug="sums-of-two",
    metric=Metric(name="mean_error", score=None, higher_is_better=False, bounds=(0, np.inf), chance=None),
    targets=(), prepare=prepare, load=load, split=None, recipes={}, grade=grade,
    submission=Submission(write=None, many_per_id=True),
)
'''
SLUG, SECRET = "sums-of-two", 31337.25
IDS = [f"数{n // 2}" for n in range(80)]
SERVICE = "/v1/competitions.CompetitionApiService"


@dataclass
class Served:
    """A board that answers, and the user whose requests `call` makes."""

    address: str
    user: str
    key: str
    project: Path
    process: subprocess.Popen

    @property
    def login(self) -> tuple[str, str]:
        return self.user, self.key

    def call(self, method: str, auth: Any = None, **fields: Any) -> requests.Response:
        return requests.post(f"{self.address}{SERVICE}/{method}", json=fields, auth=auth or self.login, timeout=60)

    def ask(self, method: str, auth: Any = None, **fields: Any) -> dict[str, Any]:
        answer = self.call(method, auth, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, data: bytes, description: str = "", auth: Any = None) -> int:
        about = {"competitionName": SLUG, "contentLength": len(data), "fileName": "my sub.csv"}
        upload = self.ask("StartSubmissionUpload", auth, **about)
        assert requests.put(upload["createUrl"], data=data, timeout=60).status_code == 200
        token = {"competitionName": SLUG, "blobFileTokens": upload["token"], "submissionDescription": description}
        return self.ask("CreateSubmission", auth, **token)["ref"]

    def scored(self, ref: int, auth: Any = None, limit_s: float = 60) -> dict[str, Any]:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            found = self.ask("GetSubmission", auth, ref=ref)
            if found["status"] != "PENDING":
                return found
            time.sleep(0.05)
        raise AssertionError(f"submission {ref} was not scored within {limit_s} s")


def rows(value: float, ids: list[str] = IDS) -> bytes:
    """A submission whose every sum is `value`."""
    return ("id,sum\n" + "".join(f"{id_},{value}\n" for id_ in ids)).encode()


def mean_error(value: float, half: set[str]) -> float:
    """The score of `rows(value)` on the ids of a half, worked out anew."""
    truth = [SECRET + n for n, id_ in enumerate(IDS) if id_ in half]
    return sum(abs(value - each) for each in truth) / len(truth)


def halves(project: Path) -> tuple[set[str], set[str]]:
    """The ids of the public and of the private half."""
    lines = (project / "board" / "competitions" / SLUG / "private" / "usage.csv").read_text("utf-8").splitlines()[1:]
    sides = dict(line.split(",") for line in lines)
    return tuple({id_ for id_, side in sides.items() if side == name} for name in ("public", "private"))


def make_project(folder: Path) -> Path:
    """A project with one competition, `sums`, that hosts itself."""
    (folder / "competitions" / "sums").mkdir(parents=True)
    (folder / "competitions" / "sums" / "__init__.py").write_text(SUMS, encoding="utf-8")
    return folder


def goldfold(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "goldfold", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def add_user(project: Path, team: str) -> tuple[str, str]:
    """(name, key) of a new team."""
    user, key = users.register(open_board(project / "board"), team)
    return user.name, key


def start(project: Path, *arguments: str) -> Served:
    """The board of `project`, when it answers; `stop` ends it."""
    log = (project / "host.log").open("ab")
    command = [sys.executable, "-m", "goldfold", "host", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    line = process.stdout.readline()
    assert line.startswith("board at "), (project / "host.log").read_text()
    client = json.loads((project / "board" / "client.json").read_text())
    return Served(line.split()[-1], client["username"], client["key"], project, process)


def stop(board: Served, number: int = signal.SIGTERM) -> int:
    board.process.send_signal(number)
    code = board.process.wait(timeout=30)
    board.process.stdout.close()
    return code


@contextmanager
def served(project: Path, *arguments: str) -> Iterator[Served]:
    board = start(project, *arguments)
    try:
        yield board
    finally:
        if board.process.poll() is None:
            stop(board)
