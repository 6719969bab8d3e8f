"""The local leaderboard under load: 20 clients with 25 submissions each, all at once; what was lost, how long it took.

    python benchmarks/board_load.py [--clients 20] [--each 25] [--rows 10000]

Prints one JSON line, and fails where a submission is lost or scored twice, or the 95th percentile of accepting one (all
three requests of it) reaches a second. The memory is the board's own, without the judge that scores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

from goldfold.board import users
from goldfold.board.database import open_board

LIMIT_S = 1.0
COMPETITION = '''"""Numbers between 0 and 1; every graded half leaves a line in the file `graded`."""
import numpy as np
import pandas as pd
from goldfold.competition import Competition, Metric, Submission, Tables

def prepare(raw, public, private):
    rows = pd.DataFrame({{"id": np.arange({rows})}})
    for name in ("train", "test"):
        rows.to_csv(public / f"{{name}}.csv", index=False)
    rows.assign(value=0.5).to_csv(public / "sample_submission.csv", index=False)
    rows.assign(value=np.random.default_rng(0).random({rows})).to_csv(private / "solution.csv", index=False)

def load(public):
    return Tables(**{{name: pd.read_csv(public / f"{{name}}.csv") for name in ("train", "test", "sample_submission")}})

def grade(submission, solution):
    with open("graded", "a") as file:
        file.write("graded\\n")
    return float(abs(submission["value"].to_numpy() - solution["value"].to_numpy()).mean())

COMPETITION = Competition(
    slug="numbers",
    metric=Metric(name="mean_error", score=None, higher_is_better=False, bounds=(0, 1), chance=None),
    targets=(), prepare=prepare, load=load, split=None, recipes={{}}, grade=grade, submission=Submission(write=None),
)
'''
RPC = "/v1/competitions.CompetitionApiService"


@dataclass(frozen=True)
class Client:
    """One user of the board, who keeps a connection open as the real client does."""

    address: str
    login: tuple[str, str]
    session: requests.Session

    def ask(self, method: str, **fields) -> dict:
        answer = self.session.post(f"{self.address}{RPC}/{method}", json=fields, auth=self.login, timeout=120)
        answer.raise_for_status()
        return answer.json()

    def submit(self, data: bytes) -> tuple[int, float]:
        """The reference number, and the seconds it took to get it."""
        began = time.perf_counter()
        about = {"competitionName": "numbers", "contentLength": len(data), "fileName": "submission.csv"}
        upload = self.ask("StartSubmissionUpload", **about)
        self.session.put(upload["createUrl"], data=data, timeout=120).raise_for_status()
        ref = self.ask("CreateSubmission", competitionName="numbers", blobFileTokens=upload["token"])["ref"]
        return ref, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--each", type=int, default=25)
    parser.add_argument("--rows", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), arguments.rows)
        board, address = start(project)
        try:
            figures = measure(project, board.pid, address, arguments)
        finally:
            board.send_signal(signal.SIGTERM)
            board.wait()
    print(json.dumps(figures))
    wanted = arguments.clients * arguments.each
    assert figures["answered"] == figures["listed"] == figures["complete"] == wanted, "submissions were lost"
    assert figures["gradings"] == 2 * wanted, "a submission has two halves, each graded once"
    assert figures["accept_p95_s"] < LIMIT_S, "accepting takes too long"


def make_project(folder: Path, rows: int) -> Path:
    (folder / "competitions" / "numbers").mkdir(parents=True)
    (folder / "competitions" / "numbers" / "__init__.py").write_text(COMPETITION.format(rows=rows))
    command = [sys.executable, "-m", "goldfold", "host-add", "--comp", "numbers", "--daily", "100000"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (folder / "graded").unlink()  # host-add grades the truth itself
    return folder


def start(project: Path) -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-m", "goldfold", "host", "--port", "0"]
    board = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True)
    return board, board.stdout.readline().split()[-1]


def measure(project: Path, board: int, address: str, arguments: argparse.Namespace) -> dict:
    storage = open_board(project / "board")
    logins = [users.register(storage, f"team {number}") for number in range(arguments.clients)]
    clients = [Client(address, (user.name, key), requests.Session()) for user, key in logins]
    data = b"id,value\n" + b"".join(b"%d,%.6f\n" % (row, random.random()) for row in range(arguments.rows))
    clients[0].ask("ListCompetitions")
    memory, began = [resident(board)], time.perf_counter()
    watching = threading.Event()
    watcher = threading.Thread(target=watch, args=(board, memory, watching))
    watcher.start()
    with ThreadPoolExecutor(arguments.clients) as pool:
        made = list(pool.map(lambda client: [client.submit(data) for _ in range(arguments.each)], clients))
    accepted_s = time.perf_counter() - began
    listed = wait_for_scores(clients, arguments.each)
    watching.set()
    watcher.join()
    seconds = sorted(taken for of_client in made for _, taken in of_client)
    half = memory[len(memory) // 2 :]
    return {
        "answered": len({ref for of_client in made for ref, _ in of_client}),
        "listed": len({row["ref"] for row in listed}),
        "complete": sum(row["status"] == "COMPLETE" for row in listed),
        "gradings": len((project / "graded").read_text().split()),
        "accept_median_s": round(seconds[len(seconds) // 2], 3),
        "accept_p95_s": round(seconds[int(len(seconds) * 0.95)], 3),
        "accept_all_s": round(accepted_s, 1),
        "scored_all_s": round(time.perf_counter() - began, 1),
        "memory_mib": {"before": memory[0], "most": max(memory), "second_half_grew": max(half) - half[0]},
        "file_bytes": len(data),
        "load_average": os.getloadavg()[0],
    }


def wait_for_scores(clients: list[Client], each: int) -> list[dict]:
    """Every submission the clients are shown, when none waits any more."""
    while True:
        listed = []
        for client in clients:
            answer = client.ask("ListSubmissions", competitionName="numbers", pageSize=2 * each)
            listed += answer["submissions"]
        if all(row["status"] != "PENDING" for row in listed):
            return listed
        time.sleep(1)


def watch(process: int, memory: list[int], stop: threading.Event) -> None:
    while not stop.wait(0.25):
        memory.append(resident(process))


def resident(process: int) -> int:
    """MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


if __name__ == "__main__":
    main()
