"""Attacks on a board in a process of its own: what each costs another team, its sender, and the board's memory.

At the end a table is printed, a line per attack.
"""

from __future__ import annotations

import io
import resource
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from served_board import SERVICE, SLUG, Served, add_user, goldfold, make_project, rows, served

pytestmark = pytest.mark.slow
OF = {"competitionName": SLUG}
LIMIT_S = 10.0  # longer than that no attack may delay another team
GROWTH = 100 * 2**20  # bytes by which no attack may raise the peak of the server's memory
AFTER = 5  # submissions of the other team once all of the attack is sent
FILES = 128  # open files of the server while sockets are attacked
Login = tuple[str, str]
HEAD = ("attack", "delay of another team (s)", "status for the sender", "allowance used", "server's peak (MiB)")


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("project"))
    goldfold(project, "host-add", "--comp", "sums", "--daily", "10000")
    with served(project) as running:
        add_user(project, "another team")
        running.scored(running.submit(rows(1.0)))  # the judge is there
        yield running


@pytest.fixture(scope="module")
def table(request) -> Iterator[list[tuple]]:
    found: list[tuple] = []
    yield found
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        for row in ("", HEAD, *found):
            print(" | ".join(map(str, row)))


@pytest.fixture
def measured(request, board, table):
    """A function that measures what another team waits while `attack` is made, and adds a line to the table."""

    def measure(attack: Callable[[], object], sender: Login | None = None, status: Callable[[], str] = str) -> None:
        before, usual, allowed = peak(board), submitted_s(board), sender and allowance(board, sender)
        with ThreadPoolExecutor(1) as pool:
            made, waited = pool.submit(attack), []
            while not made.done():
                waited.append(submitted_s(board))
            waited += [submitted_s(board) for _ in range(AFTER)]  # files of the attack may still be scored
            made.result()
        delay = max(0.0, max(waited) - usual)
        told = status()
        used = allowed - allowance(board, sender) if sender else 0
        name = request.node.name.removeprefix("test_").replace("_", " ")
        table.append((name, f"{delay:.1f}", told, used, f"{peak(board) / 2**20:.0f}"))
        assert delay < LIMIT_S
        assert peak(board) < before + GROWTH
        assert "Traceback" not in (board.project / "host.log").read_text()

    return measure


def submitted_s(board: Served) -> float:
    """Seconds until a good file of the board's owner is scored."""
    began = time.monotonic()
    assert board.scored(board.submit(rows(1.0)))["status"] == "COMPLETE"
    return time.monotonic() - began


def allowance(board: Served, login: Login) -> int:
    return board.ask("GetSubmissionLimits", login, **OF)["numAllowedNow"]


def peak(board: Served) -> int:
    """Largest resident memory of the server so far, bytes."""
    status = Path(f"/proc/{board.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def bomb(board: Served, measured, data: bytes, expected: str, times: int = 3, teams: int = 1) -> None:
    """Send a file several times while another team waits; each costs its sender, and is told in a sentence."""
    logins = [add_user(board.project, f"{expected} {number} {time.monotonic_ns()}") for number in range(teams)]
    refs: list[tuple[int, Login]] = []

    def send() -> None:
        refs.extend((board.submit(data, auth=login), login) for _ in range(times) for login in logins)

    def status() -> str:
        found = [board.scored(ref, login, limit_s=300) for ref, login in refs]
        assert {each["status"] for each in found} == {"ERROR"}
        assert expected in found[0]["errorDescription"]
        return f"ERROR: ...{expected}..."

    before = allowance(board, logins[0])
    measured(send, logins[0], status)
    assert allowance(board, logins[0]) == before - times


def zipped(size: int, unit: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.csv", "w", force_zip64=True) as member:
        for _ in range(size // 2**20):
            member.write(unit * (2**20 // len(unit)))
    return made.getvalue()


def test_a_million_columns(board, measured):
    bomb(board, measured, b",".join(b"c%d" % n for n in range(10**6)) + b"\n", "header is longer than")


def test_rows_without_end(board, measured):
    bomb(board, measured, b"id,sum\n" + b"x,1\n" * (25 * 10**6), "as many lines as the sample")


def test_one_line_of_100_mb(board, measured):
    bomb(board, measured, b"id,sum\nx," + b"1" * 10**8, "the longest line has")


def test_a_header_of_100_mb(board, measured):
    bomb(board, measured, b"c" * 10**8, "header is longer than")


def test_a_zip_of_a_gigabyte(board, measured):
    bomb(board, measured, zipped(2**30, bytes(2**10)), "more than")


def test_a_zip_of_empty_lines(board, measured):
    bomb(board, measured, zipped(200 * 2**20, b"\n"), "as many lines")


def test_quotes_without_end(board, measured):
    bomb(board, measured, b"id,sum\n" + b'"\n' * 60_000, "not a CSV")


def test_a_file_that_takes_for_ever(board, measured):
    bomb(board, measured, rows(7e6), "took more than", times=1)


def test_files_of_three_teams_that_take_for_ever(board, measured):
    logins = [add_user(board.project, f"sleeper {number}") for number in range(3)]

    def send() -> None:
        for login in logins:
            for _ in range(3):
                board.submit(rows(7e6), auth=login)

    measured(send, logins[0], lambda: "PENDING in the slow lane")


@contextmanager
def few_files(board: Served) -> Iterator[None]:
    """The server may open FILES files meanwhile."""
    before = resource.prlimit(board.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(board.process.pid, resource.RLIMIT_NOFILE, (FILES, before[1]))
    try:
        yield
    finally:
        resource.prlimit(board.process.pid, resource.RLIMIT_NOFILE, before)


def sockets(board: Served, count: int, head: bytes, piece: bytes, seconds: float) -> str:
    """Open connections, send `head` on each, then a `piece` a second; how many the board has closed."""
    place = urlsplit(board.address)
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            made.append(stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=30)))
            with suppress(OSError):
                made[-1].sendall(head)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1)
            for each in made:
                with suppress(OSError):
                    each.sendall(piece)
        return f"{sum(map(is_closed, made))} of {count} closed"


def is_closed(client: socket.socket) -> bool:
    """Whether the other side has closed a connection on which it has sent nothing."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


SOCKETS = {
    "200 idle sockets": (200, b"", b""),
    "200 slow headers": (200, b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"),
    "100 slow bodies": (
        100,
        f"POST {SERVICE}/ListCompetitions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode(),
        b" ",
    ),
}


@pytest.mark.parametrize("attack", SOCKETS)
def test_sockets(board, measured, attack):
    told: list[str] = []
    with few_files(board):
        measured(lambda: told.append(sockets(board, *SOCKETS[attack], seconds=8)), None, lambda: told[0])


def test_slow_uploads(board, measured):
    """A drip into announced files, on as many connections as the board takes from one address."""
    sender = add_user(board.project, "drips")
    place, told = urlsplit(board.address), []

    def attack() -> None:
        with ExitStack() as stack:
            made = []
            for _ in range(60):
                upload = board.ask("StartSubmissionUpload", sender, **OF, contentLength=10**6, fileName="a.csv")
                client = stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=30))
                path = urlsplit(upload["createUrl"]).path
                head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
                client.sendall(head.encode())
                made.append(client)
            for _ in range(5):
                time.sleep(1)
                for client in made:
                    with suppress(OSError):
                        client.sendall(b"1")
        told.append("connections dropped, nothing recorded")

    with few_files(board):
        measured(attack, sender, lambda: told[0])


def test_requests_without_a_key(board, measured):
    """Eight clients that ask for pages and guess keys as fast as they can."""
    ending = threading.Event()

    def ask() -> None:
        while not ending.is_set():
            requests.post(f"{board.address}{SERVICE}/ListCompetitions", json={}, auth=("host", "guess"), timeout=60)

    def attack() -> None:
        with ThreadPoolExecutor(8) as pool:
            threading.Timer(5, ending.set).start()
            for _ in range(8):
                pool.submit(ask)

    measured(attack, None, lambda: "401")
