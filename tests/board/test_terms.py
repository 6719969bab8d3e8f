"""The terms of a hosted competition: who may submit, how often and until when, and what its host may change."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from served_board import SECRET, SLUG, add_user, goldfold, halves, make_project, mean_error, rows, served

from goldfold.board import catalogue, uploads, users
from goldfold.board.database import Hosted, Submission, open_board

OF = {"competitionName": SLUG}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("project"))
    goldfold(project, "host-add", "--comp", "sums")
    with served(project) as running:
        yield running


def refused(project, *arguments: str) -> str:
    """The sentence that ends a command the board cannot carry out."""
    command = [sys.executable, "-m", "goldfold", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("goldfold: ")
    return done.stderr


def test_two_boards_do_not_share_a_folder(board):
    assert "already served" in refused(board.project, "host", "--port", "0")


def test_the_split_is_kept_and_changed_answers_are_scored_again(tmp_path):
    project = make_project(tmp_path)
    goldfold(project, "host-add", "--comp", "sums")
    before = halves(project)
    with served(project) as board:
        first = board.scored(board.submit(rows(1.0)))
        assert "again" not in goldfold(project, "host-add", "--comp", "sums")
        source = project / "competitions" / "sums" / "__init__.py"
        source.write_text(source.read_text("utf-8").replace("31337.25", "100.0"), "utf-8")
        assert "scored again" in goldfold(project, "host-add", "--comp", "sums")
        assert halves(project) == before
        assert float(board.scored(1)["publicScore"]) == pytest.approx(float(first["publicScore"]) - SECRET + 100)


def test_a_linked_file_is_served_like_the_others_and_a_broken_link_is_named(tmp_path):
    project = make_project(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "more").mkdir(parents=True)
    for name in ("a.csv", "more/b.csv"):
        (elsewhere / name).write_text("x")
    public = open_board(project / "board").folder.parent / "data" / "sums" / "public"
    goldfold(project, "prepare", "--comp", "sums")
    before = {path.relative_to(public).as_posix() for path in public.rglob("*") if path.is_file()}
    (public / "linked.csv").symlink_to(elsewhere / "a.csv")
    (public / "linked").symlink_to(elsewhere / "more")
    goldfold(project, "host-add", "--comp", "sums")
    board = open_board(project / "board")
    files = catalogue.data_files(board, SLUG)
    assert files.keys() == before | {"linked.csv", "linked/b.csv"}
    assert files["linked.csv"].read_text() == files["linked/b.csv"].read_text() == "x"
    (elsewhere / "a.csv").unlink()
    assert "linked.csv leads to no file" in refused(project, "host-add", "--comp", "sums")
    assert catalogue.data_files(board, SLUG).keys() == files.keys()  # as it was


def test_the_deadline_closes_the_board_and_opens_the_private_one(tmp_path):
    project = make_project(tmp_path)
    goldfold(project, "host-add", "--comp", "sums", "--daily", "2")
    with served(project) as board:
        refs = [board.submit(rows(value)) for value in (1.0, 50000.0)]
        assert all(board.scored(ref)["privateScore"] == "" for ref in refs)
        full = board.call("StartSubmissionUpload", **OF, contentLength=1, fileName="a.csv")
        assert (full.status_code, full.json()["message"].startswith("Submission not allowed: ")) == (400, True)
        assert "daily Submission allowance (2)" in full.json()["message"]
        goldfold(project, "host-add", "--comp", "sums", "--deadline", "2001-01-01")
        late = board.call("StartSubmissionUpload", **OF, contentLength=1, fileName="a.csv")
        assert "deadline has passed" in late.json()["message"]
        private = halves(project)[1]
        assert board.scored(refs[0])["privateScore"] == f"{mean_error(1.0, private):.5f}"
        best = min(mean_error(1.0, private), mean_error(50000.0, private))
        assert board.ask("GetLeaderboard", **OF)["submissions"][0]["score"] == f"{best:.5f}"
        public = board.ask("GetLeaderboard", **OF, overridePublic=True)["submissions"][0]["score"]
        assert public != f"{best:.5f}"
        assert board.ask("GetCompetition", **OF)["deadline"] == "2001-01-01T00:00:00.000Z"
        goldfold(project, "host-add", "--comp", "sums", "--daily", "0")
        assert board.ask("GetCompetition", **OF)["submissionsDisabled"]
        assert "not accepting" in board.call("StartSubmissionUpload", **OF, fileName="a.csv").json()["message"]


def test_the_board_is_on_this_machine_alone_until_somebody_has_a_key(tmp_path):
    project = make_project(tmp_path)
    assert "make host-user" in refused(project, "host", "--port", "0", "--bind", "0.0.0.0")
    assert "is not an IP address" in refused(project, "host", "--port", "0", "--bind", "everywhere")
    add_user(project, "invited")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "is not free" in refused(project, "host", "--port", str(taken.getsockname()[1]))


def test_a_new_key_ends_the_old_one(board):
    old = add_user(board.project, "Zoë & co")
    assert "team 'Zoë & co' has a key" in refused(board.project, "host-user", "--name", "Zoë & co")
    assert board.call("ListCompetitions", old).status_code == 200
    said = goldfold(board.project, "host-user", "--name", "Zoë & co", "--replace")
    key = said.split("KAGGLE_KEY=")[1].split()[0]
    assert "KAGGLE_USERNAME=zoe-co " in said
    assert board.call("ListCompetitions", old).status_code == 401
    assert board.call("ListCompetitions", ("zoe-co", key)).status_code == 200
    assert key.encode() not in b"".join(path.read_bytes() for path in (board.project / "board").glob("board.sqlite*"))


def test_a_competition_without_hidden_labels_is_not_hosted(toy):
    assert "keeps no hidden labels" in refused(toy, "host-add", "--comp", "neighbors")
    assert "is not a date" in refused(toy, "host-add", "--comp", "blobs", "--deadline", "tomorrow")


def test_the_allowance_is_one_of_utc_days(tmp_path):
    board = open_board(tmp_path)
    user = users.register(board, "anyone")[0]
    about = {"title": "", "description": "", "metric": "", "higher_is_better": True, "added": "", "solution": ""}
    hosted = Hosted(slug=SLUG, name="sums", daily=3, deadline="2026-03-02T00:00:00.000Z", **about)
    made = {"2026-02-28T23:59:59.999Z": "COMPLETE", "2026-03-01T00:00:00.000Z": "COMPLETE"}
    made |= {"2026-03-01T10:00:00.000Z": "PENDING", "2026-03-01T11:00:00.000Z": "ERROR"}
    with board.writing() as session:
        session.add(hosted)
        for date, status in made.items():
            of = {"slug": SLUG, "user_id": user.id, "token": date, "description": "", "file_name": "a", "size": 1}
            session.add(Submission(**of, date=date, status=status))
    with board.reading() as session:
        assert uploads.allowance(session, hosted, user, "2026-03-01T12:00:00.000Z") == (2, 3, 0), "errors use it up"
        assert uploads.allowance(session, hosted, user, "2026-02-28T23:59:59.999Z") == (3, 3, 0)
        assert uploads.allowance(session, hosted, user, "2026-03-02T00:00:00.000Z") == (0, 3, 0), "it is over"
