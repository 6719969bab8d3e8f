"""A database that is damaged, or that is none, ends in one sentence that names the file; so do absurd terms."""

from __future__ import annotations

import errno
import shutil
import sqlite3

import pytest
from error_codes import raises_code

from goldfold.board import users
from goldfold.board.database import Board, Submission, User, open_board
from goldfold.board.hosted import host_competition
from goldfold.cli.main import main
from goldfold.experiment.workspace import Workspace


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of a board with a few pages of submissions."""
    board = open_board(tmp_path_factory.mktemp("board"))
    user = users.register(board, "team")[0]
    with board.writing() as session:
        for number in range(300):
            of = {"slug": "s", "user_id": user.id, "description": "x" * 100, "file_name": "a", "size": 1}
            session.add(Submission(**of, token=f"{number}", date="2001-01-01T00:00:00.000Z"))
    with board.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    board.engine.dispose()
    return board.folder


def flipped(data: bytes) -> bytes:
    """Each 50th byte after the header inverted."""
    return data[:100] + bytes(byte ^ 0xFF if not at % 50 else byte for at, byte in enumerate(data[100:]))


DAMAGE = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "cut in its header": lambda data: data[:50],
    "cut to one page": lambda data: data[:4096],
    "cut to half": lambda data: data[: len(data) // 8192 * 4096],
    "flipped bytes": flipped,
    "a flipped header": lambda data: bytes(byte ^ 0xFF for byte in data[:100]) + data[100:],
    "text": lambda data: b"id,sum\n1,2\n" * 1000,
    "a zip": lambda data: b"PK\x03\x04" + data,
    "zeros": lambda data: bytes(len(data)),
    "a changed time": lambda data: data.replace(b"2001-01", b"2001:01", 1),
    "a changed letter": lambda data: data.replace(b"xxx", b"x\xffx", 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_database_is_named(whole, tmp_path, damage):
    path = shutil.copytree(whole, tmp_path / "board") / "board.sqlite"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    for beside in path.parent.glob("board.sqlite-*"):
        beside.unlink()
    with raises_code("board_damaged", "board.sqlite"):
        open_board(path.parent)


def test_a_database_of_another_program_is_named(tmp_path):
    with sqlite3.connect(tmp_path / "board.sqlite") as other:
        other.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT)")
    with raises_code("board_damaged", "no such column"):
        open_board(tmp_path)


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "board.sqlite").mkdir()
    with raises_code("board_unreadable", "board.sqlite"):
        open_board(tmp_path)


def test_what_is_damaged_or_full_while_it_is_open_is_an_error_of_the_file(whole, tmp_path):
    board = open_board(shutil.copytree(whole, tmp_path / "board"))
    with board.writing() as session:
        pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar()
        session.connection().exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OSError, match="full") as full, board.writing() as session:
        session.add(User(name="n" * 10**5, team="t", key_hash="", created=""))
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(board.folder / "board.sqlite"))
    (board.folder / "board.sqlite").write_bytes(b"x" * 10**5)
    board.engine.dispose()
    with pytest.raises(OSError, match="not a database"), board.reading() as session:
        session.get(Submission, 1)


def test_a_whole_board_opens_again(whole):
    again: Board = open_board(whole)
    with again.reading() as session:
        assert session.get(Submission, 300).description == "x" * 100


@pytest.mark.parametrize("daily", [-1, 10**20, 100_001])
def test_an_absurd_number_of_submissions_is_refused(toy, daily):
    with raises_code("daily_invalid", str(daily)):
        host_competition(Workspace(toy), "blobs", daily=daily)


@pytest.mark.parametrize("number", ["1" + "0" * 20, "9" * 10**4, "-1", "1.5", "nan", "٣" * 20, ""])
def test_absurd_numbers_are_refused_on_the_command_line(toy, capsys, number):
    with pytest.raises(SystemExit) as ended:
        main(["host-add", "--comp", "blobs", f"--daily={number}"])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "expected a whole number" in last
    assert len(last) < 300
