"""The board speaks Kaggle's protocol: what goes in comes out, scored, once, and nothing that was answered is lost."""

from __future__ import annotations

import io
import signal
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests
from served_board import (
    SERVICE,
    SLUG,
    Served,
    add_user,
    goldfold,
    halves,
    make_project,
    mean_error,
    rows,
    served,
    start,
    stop,
)

OF = {"competitionName": SLUG}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("project"))
    assert "20 public and 20 private ids" in goldfold(project, "host-add", "--comp", "sums", "--daily", "100")
    with served(project) as running:
        yield running


def test_a_submission_is_scored_on_the_public_rows(board):
    found = board.scored(board.submit(rows(5.0), "first «try»"))
    assert (found["status"], found["description"], found["fileName"]) == ("COMPLETE", "first «try»", "my sub.csv")
    public, private = halves(board.project)
    assert (len(public), len(private), public & private) == (20, 20, set())
    assert found["publicScore"] == f"{mean_error(5.0, public):.5f}" != f"{mean_error(5.0, private):.5f}"
    assert found["privateScore"] == "", "the private board is not open yet"


def test_the_competition_tells_what_a_client_asks(board):
    found = board.ask("GetCompetition", **OF)
    assert found["ref"].rpartition("/")[2] == SLUG
    assert (found["evaluationMetric"], found["maxDailySubmissions"]) == ("mean_error", 100)
    assert not found["submissionsDisabled"]
    listed = board.ask("ListCompetitions", page=1)["competitions"]
    assert [each["ref"] for each in listed] == [found["ref"]]
    assert board.ask("ListCompetitions", search="no such word")["competitions"] == []


def test_files_are_listed_in_pages_and_downloaded(board):
    first = board.ask("ListDataFiles", pageSize=3, **OF)
    second = board.ask("ListDataFiles", pageSize=3, pageToken=first["nextPageToken"], **OF)
    names = [file["name"] for file in first["files"] + second["files"]]
    assert names == ["deep/note 1.txt", "sample_submission.csv", "test.csv", "train.csv"]
    assert second["nextPageToken"] == ""
    note = board.call("DownloadDataFile", fileName="deep/note 1.txt", **OF)
    assert (note.history[0].status_code, note.text) == (302, "read me")
    assert note.headers["Accept-Ranges"] == "bytes"
    part = requests.get(note.url, headers={"Range": "bytes=5-", "If-Range": note.headers["ETag"]}, auth=board.login)
    assert (part.status_code, part.text) == (206, "me")
    packed = board.call("DownloadDataFiles", **OF)
    assert packed.url.endswith(f"/{SLUG}.zip")
    assert zipfile.ZipFile(io.BytesIO(packed.content)).namelist() == names


def test_what_is_wrong_with_a_file_is_told_in_one_sentence(board):
    found = board.scored(board.submit(b"id,total\n1,2\n"))
    assert (found["status"], found["publicScore"]) == ("ERROR", "")
    assert "lacks column 'sum'" in found["errorDescription"]
    assert "my sub.csv is not a CSV" in board.scored(board.submit(b""))["errorDescription"]


def test_errors_are_not_counted_as_valid_and_use_up_the_allowance(board):
    before = board.ask("GetSubmissionLimits", **OF)
    board.scored(board.submit(b"id\n"))
    after = board.ask("GetSubmissionLimits", **OF)
    assert (after["numToday"], after["numAllowedNow"]) == (before["numToday"], before["numAllowedNow"] - 1)
    board.scored(board.submit(rows(1.0)))
    last = board.ask("GetSubmissionLimits", **OF)
    assert (last["numToday"], last["numAllowedNow"]) == (before["numToday"] + 1, before["numAllowedNow"] - 2)


def test_submissions_come_newest_first_and_only_ones_own(board):
    refs = [board.submit(rows(value)) for value in (2.0, 3.0)]
    listed = board.ask("ListSubmissions", pageSize=2, **OF)["submissions"]
    assert [each["ref"] for each in listed] == refs[::-1]
    other = add_user(board.project, "others")
    assert board.ask("ListSubmissions", other, **OF) == {"submissions": [], "nextPageToken": ""}
    assert board.call("GetSubmission", other, ref=refs[0]).status_code == 404


def test_the_leaderboard_ranks_the_best_of_each_team(board):
    other = add_user(board.project, "closer")
    for login, values in ((board.login, (7.0, 9.0, 8.0)), (other, (10.0, 4.0))):
        for value in values:
            board.scored(board.submit(rows(value), auth=login), login)
    lines = board.ask("GetLeaderboard", **OF)["submissions"]
    public = halves(board.project)[0]
    assert [(line["teamName"], line["score"]) for line in lines] == [
        ("closer", f"{mean_error(10.0, public):.5f}"),
        ("host", f"{mean_error(9.0, public):.5f}"),
    ]
    packed = zipfile.ZipFile(io.BytesIO(board.call("DownloadLeaderboard", **OF).content))
    assert packed.namelist() == [f"{SLUG}-publicleaderboard.csv"]
    text = packed.read(packed.namelist()[0]).decode().splitlines()
    assert text[0].startswith("Rank,TeamId,TeamName")
    assert text[1].split(",")[2] == "closer"


def test_an_upload_must_be_whole_and_makes_one_submission(board):
    data = rows(1.0)
    about = {**OF, "contentLength": len(data), "fileName": "a.csv"}
    upload = board.ask("StartSubmissionUpload", **about)
    create = {**OF, "blobFileTokens": upload["token"]}
    assert board.call("CreateSubmission", **create).status_code == 400, "no byte has come"
    assert requests.put(upload["createUrl"], data=data[:-1]).status_code == 308
    assert requests.put(upload["createUrl"], data=data + b"1").status_code == 400
    assert board.call("CreateSubmission", **create).status_code == 400
    assert requests.put(upload["createUrl"], data=data).status_code == 200
    other = add_user(board.project, "thief")
    assert board.call("CreateSubmission", other, **create).status_code == 400
    assert board.ask("CreateSubmission", **create)["message"] == "Successfully submitted to Sums"
    again = board.call("CreateSubmission", **create)
    assert (again.status_code, again.json()["code"]) == (400, 400)
    assert requests.put(upload["createUrl"], data=data).status_code == 404, "a submission never changes"


def test_chunked_uploads_and_absolute_addresses_are_understood(board):
    data = rows(1.0)
    upload = board.ask("StartSubmissionUpload", **OF, contentLength=len(data), fileName="a.csv")
    chunks = (data[start : start + 100] for start in range(0, len(data), 100))
    assert requests.put(upload["createUrl"], data=chunks).status_code == 200
    through = {"http": board.address}
    answer = requests.post(
        "http://localhost/api/v1/competitions.CompetitionApiService/GetCompetition",
        json=OF,
        auth=board.login,
        proxies=through,
    )
    assert answer.json()["title"] == "Sums"


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_both_prefixes_and_both_kinds_of_login_work(board, prefix):
    address = f"{board.address}{prefix}{SERVICE}/ListCompetitions"
    assert requests.post(address, json={}, headers={"Authorization": f"Bearer {board.key}"}).status_code == 200
    assert requests.post(address, json={}, auth=(board.user, "wrong")).json()["code"] == 401
    assert requests.post(address, json={}, auth=("closer", board.key)).status_code == 401
    assert requests.post(address, json={}).status_code == 401
    introspect = f"{board.address}{prefix}/v1/security.OAuthService/IntrospectToken"
    assert requests.post(introspect, json={"token": board.key}).json()["username"] == board.user
    assert requests.post(introspect, json={"token": "x"}).json() == {"active": False}


def test_refusals_have_kaggles_words(board):
    unknown = board.call("GetSubmissionLimits", competitionName="sums-of-three")
    assert (unknown.status_code, unknown.json()["code"]) == (403, 403)
    assert unknown.json()["message"] == "Permission 'competitions.participate' was denied"
    assert board.call("DownloadDataFile", fileName="none.csv", **OF).status_code == 404
    assert board.call("NoSuchMethod").json()["code"] == 404
    assert board.call("StartSubmissionUpload", **OF, contentLength=2**40, fileName="a.csv").status_code == 400
    assert board.call("GetSubmission", ref="seven").json()["message"].startswith("ref: ")


@pytest.mark.slow
def test_every_answered_submission_survives_a_kill_and_is_scored_once(tmp_path):
    """Four clients send without a pause, so that each kill strikes whatever the board is at just then."""
    project = make_project(tmp_path)
    goldfold(project, "host-add", "--comp", "sums", "--daily", "1000")
    board, answered, more = start(project), [], threading.Semaphore(0)

    def send(board: Served) -> None:
        with suppress(requests.RequestException):
            while True:
                answered.append(board.submit(rows(1.0)))
                more.release()

    for answers in (1, 5, 12, 3):
        with ThreadPoolExecutor(4) as clients:
            for _ in range(4):
                clients.submit(send, board)
            assert all(more.acquire(timeout=60) for _ in range(answers))
            stop(board, signal.SIGKILL)
        board, more = start(project), threading.Semaphore(0)
    try:
        assert all(board.scored(ref)["status"] == "COMPLETE" for ref in answered)
        listed = [each["ref"] for each in board.ask("ListSubmissions", pageSize=1000, **OF)["submissions"]]
        assert len(answered) >= 21
        assert set(answered) <= set(listed), "what was recorded and not answered may be there too"
        assert len(set(listed)) == len(listed)
        assert stop(board, signal.SIGINT) == 0
    finally:
        board.process.kill()
