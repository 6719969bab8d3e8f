"""Database of the board: users, hosted competitions, uploads and submissions, in one SQLite file."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from filelock import FileLock
from sqlalchemy import Engine, ForeignKey, RowMapping, create_engine, event, select
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from goldfold.errors import GoldfoldError

PENDING, COMPLETE, ERROR = "PENDING", "COMPLETE", "ERROR"  # Kaggle's words
TIMES = {"date", "deadline", "added"}  # columns that pages show
SMALLEST = 512  # bytes of an SQLite page


class Table(DeclarativeBase):
    """Base of all tables. Times are texts (see `times`); scores are unrounded results of grade()."""


class User(Table):
    """A user. name: login name of the client; team: name on the board; key_hash: see `users`."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    team: Mapped[str] = mapped_column(unique=True)
    key_hash: Mapped[str] = mapped_column(unique=True)
    created: Mapped[str]


class Hosted(Table):
    """A competition on the board.

    name: folder below competitions/; daily: submissions per user and day, 0 if closed; solution: hash of solution and
    split.
    """

    __tablename__ = "competitions"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    metric: Mapped[str]
    higher_is_better: Mapped[bool]
    daily: Mapped[int]
    deadline: Mapped[str | None]
    added: Mapped[str]
    solution: Mapped[str]

    def is_over(self, now: str) -> bool:
        return self.deadline is not None and self.deadline <= now


class Upload(Table):
    """An announced file. size: bytes; received: whether all are on disk."""

    __tablename__ = "uploads"
    token: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    slug: Mapped[str]
    file_name: Mapped[str]
    size: Mapped[int]
    received: Mapped[bool] = mapped_column(default=False)
    created: Mapped[str]


class Submission(Table):
    """A submission. token: of its upload, which is removed."""

    __tablename__ = "submissions"
    __table_args__ = ({"sqlite_autoincrement": True},)  # reference numbers are never reused
    ref: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    token: Mapped[str] = mapped_column(unique=True)
    date: Mapped[str]
    description: Mapped[str]
    file_name: Mapped[str]
    size: Mapped[int]
    status: Mapped[str] = mapped_column(default=PENDING, index=True)
    public_score: Mapped[float | None]  # None until it is scored
    private_score: Mapped[float | None]
    error: Mapped[str] = mapped_column(default="")
    user: Mapped[User] = relationship(lazy="joined")


@dataclass(frozen=True)
class Board:
    """The board's folder and its database; safe to use from several threads."""

    folder: Path
    engine: Engine
    _writes: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Session for reading; its objects stay usable after the block. Raises OSError as `writing`."""
        with self._as_os_error(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Session for one transaction without other writers; on disk after the block, undone if it raises.

        Raises:
            OSError: the disk is full, or the database cannot be read.
        """
        engine = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        # waiting processes poll in SQLite; threads of one process wait for this lock instead, without delay
        with (
            self._as_os_error(),
            self._writes,
            Session(engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        """Errors of the database's file as those of any other file, with its name."""
        try:
            yield
        except IntegrityError:
            raise
        except DatabaseError as error:
            number = errno.ENOSPC if "is full" in str(error.orig) else errno.EIO
            raise OSError(number, str(error.orig), str(self.folder / "board.sqlite")) from error


def open_board(folder: Path) -> Board:
    """Open the board in `folder`; it is created if there is none.

    Raises:
        GoldfoldError: the database is damaged, or is none of a board (`board_damaged`), or the disk refuses
            (`board_unreadable`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "board.sqlite"
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 60}, pool_size=5, max_overflow=5)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with FileLock(folder / ".opening"):  # of two processes, the second must not find the file of the first empty
            _create_or_check(engine, path)
    except OperationalError as error:
        if _is_full_or_locked(error):
            raise GoldfoldError(
                "board_unreadable",
                f"{path} cannot be opened ({error.orig}): free disk space or fix permissions, then run the same "
                "command again",
            ) from error
        raise _damaged(path, str(error.orig)) from error
    except DatabaseError as error:
        raise _damaged(path, str(error.orig)) from error
    except (ValueError, TypeError) as error:  # of a cell
        raise _damaged(path, str(error)) from error
    return Board(folder, engine)


def _create_or_check(engine: Engine, path: Path) -> None:
    """Create the tables of a new board; of an old one, read its structure and all its rows."""
    if path.exists() and path.stat().st_size < SMALLEST:  # SQLite would take it for a new one
        raise _damaged(path, f"it has {path.stat().st_size} bytes")
    with engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
        fault = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if fault != "ok":
            raise _damaged(path, str(fault))
        Table.metadata.create_all(connection)
        for table in Table.metadata.sorted_tables:
            _check_times(connection.execute(select(table)).mappings())


def _check_times(rows: Iterable[RowMapping]) -> None:
    """Raise a ValueError or TypeError at a time that is none, as in a row whose bytes were changed."""
    for row in rows:
        for name in TIMES & row.keys():
            if row[name]:
                datetime.fromisoformat(row[name])


def _is_full_or_locked(error: OperationalError) -> bool:
    return any(word in str(error.orig) for word in ("is full", "locked", "unable to open", "readonly"))


def _damaged(path: Path, fault: str) -> GoldfoldError:
    told = " ".join(fault.split())
    return GoldfoldError(
        "board_damaged",
        f"{path} is not a whole database of a board ({told}): restore it, or move it away to start an empty board",
    )


def _configure(connection, record) -> None:
    connection.isolation_level = None  # otherwise pysqlite begins transactions itself, and too late
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # every commit is on disk before the board answers
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
