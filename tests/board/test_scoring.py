"""No submission stops the board: it ends with a score or with one sentence, and its judge goes on or is replaced."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import time
import zipfile
from collections.abc import AsyncIterator

import pytest
from served_board import IDS, SECRET, SLUG, goldfold, make_project, rows
from sqlalchemy import select, update

from goldfold.board import sandbox, scoring, uploads, users
from goldfold.board.database import Board, Hosted, Submission, open_board
from goldfold.board.fair_queue import FairQueue
from goldfold.board.sandbox import Limits

JUDGE = [sys.executable, "-m", "goldfold.board.judge", "--cpu", "1", "--memory", str(2**28)]


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("project"))
    goldfold(project, "host-add", "--comp", "sums", "--daily", "1000")
    before = os.getcwd()
    os.chdir(project)
    yield open_board(project / "board")
    os.chdir(before)


@pytest.fixture
def scores(board, monkeypatch):
    """A function that submits files and returns what became of them, in order."""
    running = scoring.Scoring(board, JUDGE)
    running.start()
    user = users.register(board, "anyone", replace=True)[0]

    def scored(*files: bytes) -> list[Submission]:
        refs = [submitted(board, user, file) for file in files]
        running.wake()
        return [finished(board, ref) for ref in refs]

    scored.running = running
    yield scored
    running.stop()


def submitted(board: Board, user, data: bytes) -> int:
    async def body() -> AsyncIterator[bytes]:
        yield data

    token = uploads.start(board, SLUG, user, "a.csv", len(data))
    asyncio.run(uploads.receive(board, token, body()))
    return uploads.submit(board, SLUG, user, token, "")[0]


def finished(board: Board, ref: int) -> Submission:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with board.reading() as session:
            found = session.get(Submission, ref)
        if found.status != "PENDING":
            return found
        time.sleep(0.02)
    raise AssertionError(f"submission {ref} was not scored")


HOSTILE = {
    "loops": (rows(1e6), "more than 1 s of CPU time"),
    "eats memory": (rows(2e6), "more than 0.25 GiB of memory"),
    "fails": (rows(3e6), "failed (KeyError)"),
    "refuses": (rows(4e6), "failed (RuntimeError)"),
    "scores as nothing": (rows(6e6), "is nan"),
    "has endless rows": (b"id,sum\n" + b"x,1.5\n" * 8_000_000, "as many lines as the sample"),
    "is one long line": (b"," * 30_000_000, "header is longer than"),
    "has endless columns": (b"id,sum," + b"a,b,c," * 1_000_000 + b"\n1,2\n", "header is longer than"),
    "has other columns": (b"id,total\n" + b"x,1.5\n" * 8_000_000, "lacks column 'sum'"),
    "has an endless row": (b"id,sum\nx," + b"1" * 7_000_000 + b"\n", "longest line has 7,000,002"),
    "is no text": (bytes(range(256)) * 1000, "not a CSV"),
    "is a formula": (rows("=cmd|' /C calc'!A0"), "must be numbers"),
    "has endless digits": (rows("9" * 100_000), "longest line"),
}


@pytest.mark.parametrize("file", HOSTILE)
def test_a_hostile_file_ends_in_one_sentence_and_the_next_is_scored(scores, file):
    data, sentence = HOSTILE[file]
    bad, good = scores(data, rows(1.0))
    assert (bad.status, good.status) == ("ERROR", "COMPLETE")
    assert sentence in bad.error
    assert bad.error.count("\n") == 0
    assert (bad.public_score, bad.private_score) == (None, None)
    assert not any(str(SECRET + n) in bad.error for n in range(80)), "the answers stay here"
    assert str(scores.running.board.folder) not in bad.error, "so do paths"


def test_the_file_of_an_error_is_removed_and_that_of_a_failed_grade_kept(board, scores):
    bad, failed, good = scores(b"id\n", rows(3e6), rows(1.0))
    kept = [uploads.path(board, each.token).exists() for each in (bad, failed, good)]
    assert kept == [False, True, True]


def test_a_zip_of_a_csv_is_scored_like_the_csv(scores):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("any name.csv", rows(7.0))
    zipped, plain = scores(packed.getvalue(), rows(7.0))
    assert (zipped.status, zipped.public_score) == ("COMPLETE", plain.public_score)


def test_a_slow_file_waits_in_its_own_lane(board, scores, monkeypatch):
    monkeypatch.setattr(scoring, "QUICK_S", 1)
    slow, others = users.register(board, "slow", replace=True)[0], users.register(board, "others", replace=True)[0]
    bombs = [submitted(board, slow, rows(7e6)) for _ in range(3)]
    scores.running.wake()
    assert finished(board, submitted(board, others, rows(1.0))).status == "COMPLETE"
    with board.reading() as session:
        assert [session.get(Submission, ref).status for ref in bombs] == ["PENDING"] * 3


def test_teams_take_turns(board):
    many, one = (users.register(board, team, replace=True)[0] for team in ("many", "one"))
    refs = [submitted(board, many, rows(1.0)) for _ in range(3)] + [submitted(board, one, rows(1.0))]
    queue = FairQueue(board)
    with board.writing() as session:
        session.execute(update(Submission).where(Submission.ref.not_in(refs)).values(status="ERROR"))
    first, second = queue.take(slow=False)[0].ref, queue.take(slow=False)[0].ref
    assert (first, second) == (refs[0], refs[3])
    assert queue.take(slow=False) is None, "each team has a file in this lane"
    queue.give_back(first, slow=True)
    assert queue.take(slow=True)[0].ref == first
    queue.give_back(second, slow=False)
    refs.append(submitted(board, one, rows(1.0)))
    with board.writing() as session:
        session.execute(update(Submission).where(Submission.ref == second).values(status="COMPLETE"))
    assert queue.take(slow=False)[0].ref == refs[-1], "the other team has a slow file"
    assert queue.take(slow=False)[0].ref == refs[1]
    with board.writing() as session:
        session.execute(update(Submission).where(Submission.ref.in_(refs)).values(status="ERROR"))


def test_a_judge_that_dies_is_replaced(scores):
    bad, good = scores(rows(5e6), rows(1.0))
    assert (bad.status, good.status) == ("ERROR", "COMPLETE")
    assert "could not score this file" in bad.error


def test_what_waited_is_scored_after_a_restart_and_once(board):
    user = users.register(board, "patient", replace=True)[0]
    counted = board.folder.parent / "graded"
    counted.unlink(missing_ok=True)
    refs = [submitted(board, user, rows(2.0)) for _ in range(4)]
    running = scoring.Scoring(board, JUDGE)
    running.start()
    found = [finished(board, ref) for ref in refs]
    running.stop()
    assert [each.status for each in found] == ["COMPLETE"] * 4
    assert len(counted.read_text().split()) == 2 * 4  # a public and a private half each


def test_a_competition_that_cannot_be_imported_leaves_the_others_alone(board, scores):
    with board.writing() as session:
        whole = session.scalar(select(Hosted).where(Hosted.slug == SLUG))
        about = {name: getattr(whole, name) for name in ("title", "description", "metric", "higher_is_better", "added")}
        session.add(Hosted(**about, slug="broken", name="absent", daily=5, deadline=None, solution=""))
        user = users.User(name="unlucky", team="unlucky", key_hash="-", created="")
        session.add(user)
        session.flush()
        lost = Submission(slug="broken", user_id=user.id, token="-", date="", description="", file_name="a", size=1)
        session.add(lost)
    (good,) = scores(rows(1.0))
    assert finished(board, lost.ref).status == "ERROR"
    assert good.status == "COMPLETE"


def test_rows_of_one_id_are_on_one_side(board):
    lines = (board.folder / "competitions" / SLUG / "private" / "usage.csv").read_text("utf-8").splitlines()[1:]
    assert sorted(line.split(",")[0] for line in lines) == sorted(set(IDS))


def test_the_wall_clock_ends_what_sleeps():
    answer = sandbox.call(lambda: time.sleep(60) or {}, Limits(wall_s=1))
    assert answer == {"error": "Scoring this file took more than 1 s.", "late": True}


def test_a_process_that_leaves_says_so():
    assert sandbox.call(lambda: os._exit(3), Limits()) == {"error": "Scoring this file ended without a result."}
    assert sandbox.call(lambda: {"public": 0.5}, Limits()) == {"public": 0.5}


def test_memory_comes_back(board, scores):
    scores(*[rows(1.0)] * 5)
    (judge,) = scores.running.judges.idle

    def resident() -> int:
        return int(open(f"/proc/{judge.process.pid}/statm").read().split()[1])

    before = resident()
    scores(*[rows(1.0)] * 20)
    assert resident() <= before * 1.02
