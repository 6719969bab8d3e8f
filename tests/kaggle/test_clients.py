"""The unmodified `kaggle` command line of three lines of the client, against the board; each in its own environment."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from faults import Fault, proxy, says
from served_board import SECRET, SLUG, Served, add_user, goldfold, make_project, rows, served

from goldfold.errors import GoldfoldError
from goldfold.kaggle import service
from goldfold.kaggle.service import Lost
from goldfold.kaggle.submission_requests import SubmissionRequest
from goldfold.kaggle.tracking import SubmissionContext, Timeouts
from goldfold.kaggle.upload import outcome, submit

pytestmark = pytest.mark.slow
ENVIRONMENTS = Path(__file__).parents[2] / "data" / "cache" / "clients"
VERSIONS = ("1.8.4", "2.0.0", "2.2.4")
NOWHERE = "http://127.0.0.1:9"  # nothing answers there


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def table(self) -> list[dict[str, str]]:
        """The CSV that `-v` prints."""
        assert self.code == 0, self.out + self.err
        return list(csv.DictReader(io.StringIO(self.out)))


@pytest.fixture(scope="session", params=VERSIONS)
def client(request) -> Path:
    """The `kaggle` command of one version, installed where that has not happened before."""
    place = ENVIRONMENTS / f"kaggle-{request.param}"
    command = place / "bin" / "kaggle"
    if not command.exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # without the guard
        wanted = [f"kaggle=={request.param}", "six"]
        done = subprocess.run([*pip, *wanted], env=outside, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(place)
            pytest.skip(f"kaggle {request.param} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return command


@pytest.fixture
def board(tmp_path):
    project = make_project(tmp_path / "project")
    goldfold(project, "host-add", "--comp", "sums", "--daily", "3")
    with served(project) as running:
        yield running


@pytest.fixture
def kaggle(client, board, tmp_path) -> Callable[..., Said]:
    """Runs `kaggle competitions ...` as a user of the board, in an environment with nothing else in it."""
    empty = tmp_path / "home"
    empty.mkdir()

    def run(*arguments: str, login: tuple[str, str] = board.login, token: str | None = None) -> Said:
        who = {"KAGGLE_API_TOKEN": token} if token else {"KAGGLE_USERNAME": login[0], "KAGGLE_KEY": login[1]}
        place = {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "http_proxy": board.address, "https_proxy": NOWHERE}
        bare = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(empty), "KAGGLE_CONFIG_DIR": str(empty)}
        done = subprocess.run(
            [str(client), "competitions", *arguments],
            env={**bare, **place, **who, "PYTHONPATH": os.environ["PYTHONPATH"]},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


def refs(board: Served, login: tuple[str, str] | None = None) -> list[int]:
    return [row["ref"] for row in board.ask("ListSubmissions", login, competitionName=SLUG)["submissions"]]


def test_competitions_and_files_are_listed_and_downloaded(kaggle, tmp_path):
    assert [row["ref"].rpartition("/")[2] for row in kaggle("list", "-v").table] == [SLUG]
    names = {row["name"] for row in kaggle("files", SLUG, "-v").table}
    assert names == {"deep/note 1.txt", "sample_submission.csv", "test.csv", "train.csv"}
    assert kaggle("download", SLUG, "-f", "test.csv", "-p", "one").code == 0
    public = tmp_path / "project" / "board" / "competitions" / SLUG / "public"
    assert (tmp_path / "one" / "test.csv").read_bytes() == (public / "test.csv").read_bytes()
    assert kaggle("download", SLUG, "-p", "all").code == 0
    packed = zipfile.ZipFile(tmp_path / "all" / f"{SLUG}.zip")
    assert set(packed.namelist()) == names
    assert packed.read("deep/note 1.txt") == b"read me"


def test_a_submission_is_sent_scored_and_on_the_leaderboard(kaggle, board, tmp_path):
    (tmp_path / "sub.csv").write_bytes(rows(SECRET))
    sent = kaggle("submit", SLUG, "-f", "sub.csv", "-m", 'mine cv=0.93±0.01 "quoted" [gf-3f2a]')
    assert (sent.code, sent.out.splitlines()[-1]) == (0, "Successfully submitted to Sums")
    score = board.scored(refs(board)[0])["publicScore"]
    (row,) = kaggle("submissions", SLUG, "-v").table
    assert (row["status"], row["publicScore"]) == ("SubmissionStatus.COMPLETE", score)
    assert (row["description"], row["fileName"]) == ('mine cv=0.93±0.01 "quoted" [gf-3f2a]', "sub.csv")
    shown = kaggle("leaderboard", SLUG, "-s", "-v").table
    assert [(line["teamName"], line["score"]) for line in shown] == [("host", score)]
    assert kaggle("leaderboard", SLUG, "-d", "-p", "board").code == 0
    packed = zipfile.ZipFile(tmp_path / "board" / f"{SLUG}.zip")
    assert packed.read(packed.namelist()[0]).decode().splitlines()[1].split(",")[2] == "host"


def test_what_is_wrong_with_a_file_comes_with_its_score(kaggle, board, tmp_path):
    for data in (b"id,total\n1,2\n", b""):
        (tmp_path / "sub.csv").write_bytes(data)
        assert kaggle("submit", SLUG, "-f", "sub.csv", "-m", "wrong").code == 0
        assert board.scored(refs(board)[0])["status"] == "ERROR"
    listed = kaggle("submissions", SLUG, "-v").table
    assert [row["status"] for row in listed] == ["SubmissionStatus.ERROR"] * 2
    assert "publicScore" in listed[0]


def test_the_client_says_what_the_board_refuses(kaggle, board, tmp_path):
    (tmp_path / "sub.csv").write_bytes(rows(1.0))
    stranger = kaggle("submit", SLUG, "-f", "sub.csv", "-m", "m", login=("host", "wrong"))
    assert stranger.code == 1
    mistyped = kaggle("submit", "sums-of-three", "-f", "sub.csv", "-m", "m")
    assert (mistyped.code, "competitions.participate" in mistyped.err + mistyped.out) == (1, True)
    absent = kaggle("download", SLUG, "-f", "solution.csv")
    assert (absent.code, "There is no file 'solution.csv'" in absent.err + absent.out) == (1, True)
    assert refs(board) == []


def test_the_daily_limit_is_kept(kaggle, board, tmp_path):
    (tmp_path / "sub.csv").write_bytes(rows(1.0))
    for _ in range(3):
        assert kaggle("submit", SLUG, "-f", "sub.csv", "-m", "m").code == 0
    over = kaggle("submit", SLUG, "-f", "sub.csv", "-m", "m")
    assert (over.code, "daily Submission allowance (3)" in over.err + over.out) == (1, True)
    assert len(refs(board)) == 3


def test_the_private_board_comes_after_the_deadline(kaggle, board, tmp_path):
    (tmp_path / "sub.csv").write_bytes(rows(SECRET))
    kaggle("submit", SLUG, "-f", "sub.csv", "-m", "m")
    public = board.scored(refs(board)[0])["publicScore"]
    assert kaggle("submissions", SLUG, "-v").table[0]["privateScore"] == ""
    goldfold(board.project, "host-add", "--comp", "sums", "--deadline", "2001-01-01")
    row = kaggle("submissions", SLUG, "-v").table[0]
    assert row["privateScore"] not in ("", public)
    assert kaggle("leaderboard", SLUG, "-s", "-v").table[0]["score"] == row["privateScore"]
    late = kaggle("submit", SLUG, "-f", "sub.csv", "-m", "m")
    assert (late.code, "deadline has passed" in late.err + late.out) == (1, True)


def test_a_key_alone_is_a_login(kaggle, board):
    key = add_user(board.project, "token bearers")[1]
    assert [row["ref"].rpartition("/")[2] for row in kaggle("list", "-v", token=key).table] == [SLUG]


START, CREATE = "StartSubmissionUpload", "CreateSubmission"
FAULTS = {
    "nothing": (None, "scored", 1),
    "401": (says("GetCompetition", 401, "Unauthenticated"), "refused", 0),
    "403 rules": (says(START, 403, "You cannot submit until you accept the competition rules"), "refused", 0),
    "404": (says("GetCompetition", 404, "Not found"), "refused", 0),
    "400": (says(CREATE, 400, "Submission not allowed"), "refused", 0),
    "429": (says(CREATE, 429, "Too many requests"), "refused", 0),
    "500": (says(CREATE, 500, "Oops"), "unknown", 0),
    "upload dropped once": (Fault("PUT", "cut", length=100), "scored", 1),
    "upload stalled": (Fault("PUT", "stall"), "failed", 0),
    "request dropped": (Fault(CREATE, "drop"), "unknown", 0),
    "reply lost": (Fault(CREATE, "lose"), "scored", 1),
    "slow": (Fault(CREATE, "late"), "unknown", 0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_make_submit_tells_the_truth_through_each_client(client, board, tmp_path, name):
    fault, wanted, recorded = FAULTS[name]
    path = tmp_path / "sub.csv"
    path.write_bytes(rows(1.0))
    facts = {"metric": "mean_error", "higher_is_better": False, "cv": 1.0, "cv_sd": None}
    submission_request = SubmissionRequest(competition="sums", slug=SLUG, run="r1", path=path, **facts)
    with proxy(board.address) as line:
        line.faults = [replace(fault)] if fault else []  # a fault counts how often it is to happen
        direct = service.local(board.project / "board")
        through = replace(
            direct, python=str(client.parent / "python"), environment={**direct.environment, "http_proxy": line.url}
        )
        timeouts = Timeouts(call_s=20, upload_s=6, search_pauses_s=(0,), wait_s=30, poll_s=0.5)
        try:
            found = outcome(
                submit(
                    submission_request,
                    SubmissionContext(through, tmp_path / "ledger.sqlite", timeouts, lambda told: None),
                )
            )
        except Lost as lost:
            found = "unknown" if lost.sent else "failed"
        except GoldfoldError:
            found = "refused"
        assert (found, len(refs(board))) == (wanted, recorded)
