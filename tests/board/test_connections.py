"""Connections that keep the board waiting end, and new clients are heard whatever others do."""

from __future__ import annotations

import resource
import socket
import threading
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn
from served_board import SERVICE, SLUG, goldfold, make_project, rows, served

from goldfold.board.database import open_board
from goldfold.board.scoring import Scoring
from goldfold.board.web import connections
from goldfold.board.web.application import application

OF = {"competitionName": SLUG}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("project"))
    goldfold(project, "host-add", "--comp", "sums", "--daily", "1000")
    with served(project) as running:
        yield running


@pytest.fixture
def impatient(tmp_path, monkeypatch):
    """(host, port) of a board in this process that waits a tenth of a second."""
    monkeypatch.setattr(connections, "HEAD_S", 0.1)
    monkeypatch.setattr(connections, "STALL_S", 0.1)
    monkeypatch.setattr(connections, "SWEEP_S", 0.02)
    board, ready = open_board(tmp_path), threading.Event()
    app = application(board, Scoring(board, ["false"]))
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=connections.Connection, log_level="error")
    server = connections.Server(config, ready.set)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    assert ready.wait(30)
    yield listening.getsockname()
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST /v1/security.OAuthService/IntrospectToken HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["nothing", "half a line", "half of the headers", "half of a body"],
)
def test_a_request_that_does_not_go_on_ends(impatient, sent):
    with socket.create_connection(impatient, timeout=30) as client:
        client.sendall(sent)
        assert ended(client, b"")
    assert requests.get("http://{}:{}/".format(*impatient), timeout=30).status_code == 200


def test_pieces_of_headers_do_not_keep_a_connection(impatient):
    with socket.create_connection(impatient, timeout=0.03) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert any(ended(client, b"X: y\r\n") for _ in range(100)), "3 s, where a tenth of a second is allowed"


def ended(client: socket.socket, piece: bytes) -> bool:
    """Send a piece where the connection is open after the client's timeout."""
    try:
        return client.recv(1000) == b""
    except TimeoutError:
        client.sendall(piece)
        return False
    except ConnectionError:
        return True


@pytest.mark.slow
def test_idle_connections_beyond_the_limit_of_open_files_keep_nobody_out(board):
    before = (board.project / "host.log").stat().st_size
    resource.prlimit(board.process.pid, resource.RLIMIT_NOFILE, (128, 128))
    place = urlsplit(board.address)
    with ExitStack() as idle:
        for _ in range(200):
            idle.enter_context(socket.create_connection((place.hostname, place.port), timeout=30))
        assert board.scored(board.submit(rows(1.0)))["status"] == "COMPLETE"
    assert (board.project / "host.log").stat().st_size == before


def test_a_full_disk_is_a_refusal_in_a_sentence(board):
    data = rows(1.0) * 100
    upload = board.ask("StartSubmissionUpload", **OF, contentLength=len(data), fileName="a.csv")
    resource.prlimit(board.process.pid, resource.RLIMIT_FSIZE, (len(data) // 2, resource.RLIM_INFINITY))
    answer = requests.put(upload["createUrl"], data=data, timeout=60)
    started = board.call("StartSubmissionUpload", **OF, contentLength=1, fileName="a.csv")
    resource.prlimit(board.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert (answer.status_code, answer.json()["code"]) == (507, 507)
    assert "disk is full" in answer.json()["message"]
    assert started.status_code in (200, 503, 507)
    assert requests.put(upload["createUrl"], data=data, timeout=60).status_code == 200
    assert "Traceback" not in (board.project / "host.log").read_text()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "", "[", "a@b"])
@pytest.mark.parametrize("place", ["/", f"/competitions/{SLUG}", "/users/host", f"{SERVICE}/ListCompetitions"])
def test_another_name_is_refused(board, host, place):
    answer = requests.get(board.address + place, headers={"Host": host}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (421, 421)


def test_names_of_this_machine_and_those_that_are_added_are_served(tmp_path):
    project = make_project(tmp_path)
    with served(project, "--host-names", "Board.lan", "b") as board:
        for host in ("localhost", "127.0.0.1:1", "[::1]:8321", "LOCALHOST", "board.lan:8321", "b"):
            assert requests.get(board.address, headers={"Host": host}, timeout=30).status_code == 200, host
        assert requests.get(board.address, headers={"Host": "c"}, timeout=30).status_code == 421
