"""Where a study is kept: a journal file by default or a database by its URL, and a lock that all workers share."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from goldfold.errors import GoldfoldError

UNREACHABLE = (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError)


@dataclass(frozen=True)
class StudyStorage:
    """A storage, and what people may read of where it is: no password."""

    storage: BaseStorage
    shown: str
    alone: Callable[[], Any]
    shared: bool

    @contextmanager
    def reached(self, kept: str) -> Iterator[None]:
        """Raise a sentence where the storage does not answer; kept: where results lie meanwhile."""
        try:
            yield
        except UNREACHABLE as error:
            raise GoldfoldError(_lost(self.shown, error, kept)) from error


class _FileLock:
    """A lock the system frees when its holder is killed; Optuna's own stays for 30 seconds."""

    def __init__(self, path: Path) -> None:
        self.lock = FileLock(path)

    def acquire(self) -> bool:
        self.lock.acquire()
        return True

    def release(self) -> None:
        self.lock.release()


def open_storage(wanted: str | None, folder: Path) -> StudyStorage:
    """The storage at the URL `wanted`, or the journal in `folder`.

    `alone()` of the place is a context that one process at a time is in, on all machines that use the storage.
    `shared`: whether processes of other machines may use it too.

    Raises:
        GoldfoldError: the URL is none, its driver is absent, or nothing answers there.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    if not wanted:
        return _journal(folder / "journal.log")
    try:
        url = make_url(wanted)
    except ArgumentError as error:
        raise GoldfoldError(
            f"a storage is a URL such as postgresql://user:password@host/database, this is '{wanted}': change it, or "
            "leave it out for a file of the study's own"
        ) from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    shown = url.render_as_string(hide_password=True)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "postgresql":
        options["connect_args"] = {"connect_timeout": 10}
    try:
        alone = _alone(url, options, folder)
        with alone():  # two that begin at once would both make the tables
            storage = RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
    except (ImportError, NoSuchModuleError) as error:
        raise GoldfoldError(f"storage {shown} needs a driver that is absent ({error}): pip install it") from error
    except UNREACHABLE as error:
        raise GoldfoldError(_lost(shown, error, str(folder))) from error
    return StudyStorage(storage, shown, alone, shared=url.get_backend_name() != "sqlite")


def _journal(path: Path) -> StudyStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock")
    with FileLock(lock):
        _whole(path)
    storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_FileLock(lock)))
    return StudyStorage(storage, str(path), lambda: FileLock(path.with_suffix(".alone")), shared=False)


def _whole(path: Path) -> None:
    """Cut a last line that a writer did not finish: the next one written would be joined to it and unreadable."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)


def _alone(url: URL, options: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """PostgreSQL's own lock across machines; elsewhere a file's, across the processes of this one."""
    if url.get_backend_name() != "postgresql":
        folder.mkdir(parents=True, exist_ok=True)
        return lambda: FileLock(folder / "storage.alone")
    engine = create_engine(url, **options)
    key = int.from_bytes(hashlib.blake2b(b"goldfold study", digest_size=7).digest(), "big")

    @contextmanager
    def alone() -> Iterator[None]:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    return alone


def _lost(shown: str, error: Exception, kept: str) -> str:
    what = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
    return (
        f"storage {shown} cannot be reached ({what}): what was trained is kept in {kept}; start the same command when "
        "it answers again, or with another STORAGE, and either takes in what is kept there"
    )
