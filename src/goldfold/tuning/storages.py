"""Storages of studies: a journal file by default or a database URL, and a lock that all workers share."""

from __future__ import annotations

import hashlib
import json
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
    """A storage of studies.

    shown: where it is, without password. exclusive: returns a context that one process at a time can enter, on all
        machines that use the storage. shared: whether processes of other machines may use it.
    """

    backend: BaseStorage
    shown: str
    exclusive: Callable[[], Any]
    shared: bool

    @contextmanager
    def reached(self, kept: str) -> Iterator[None]:
        """Turn errors of an unreachable storage into a GoldfoldError; kept: folder where results are meanwhile."""
        try:
            yield
        except UNREACHABLE as error:
            raise _unreachable(self.shown, error, kept) from error


class _FileLock:
    """A lock that the system frees if its holder is killed; Optuna's own lock stays for 30 seconds."""

    def __init__(self, path: Path) -> None:
        self.lock = FileLock(path)

    def acquire(self) -> bool:
        """Wait for the lock."""
        self.lock.acquire()
        return True

    def release(self) -> None:
        """Free the lock."""
        self.lock.release()


def open_storage(wanted: str | None, folder: Path) -> StudyStorage:
    """Open the storage at the URL `wanted`, or the journal in `folder` if it is None.

    Raises:
        GoldfoldError: the URL is invalid, its driver is not installed, or the storage does not answer.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    if not wanted:
        return _journal(folder / "journal.log")
    try:
        url = make_url(wanted)
    except ArgumentError as error:
        raise GoldfoldError(
            "invalid_storage_url",
            f"a storage is a URL such as postgresql://user:password@host/database, and this is '{wanted}': change it, "
            "or leave it out to use a journal file in the study's folder",
        ) from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    shown = url.render_as_string(hide_password=True)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "postgresql":
        options["connect_args"] = {"connect_timeout": 10}
    try:
        exclusive = _exclusive_lock(url, options, folder)
        with exclusive():  # otherwise two processes could both create the tables
            storage = RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
    except (ImportError, NoSuchModuleError) as error:
        raise GoldfoldError(
            "storage_driver_missing",
            f"storage {shown} needs a driver that is not installed ({error}): install it with pip",
        ) from error
    except UNREACHABLE as error:
        raise _unreachable(shown, error, str(folder)) from error
    return StudyStorage(storage, shown, exclusive, shared=url.get_backend_name() != "sqlite")


def _journal(path: Path) -> StudyStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock")
    with FileLock(lock):
        _repair(path)
    backend = JournalFileBackend(str(path), lock_obj=_FileLock(lock))  # type: ignore[arg-type]  # private base class
    storage = JournalStorage(backend)
    return StudyStorage(storage, str(path), lambda: FileLock(path.with_suffix(".alone")), shared=False)


def _repair(path: Path) -> None:
    """Remove an incomplete last line of a killed writer, to which the next line would be appended.

    A journal with a damaged line before that is put aside: the study is filled again from the trials in its folder.
    """
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if not all(map(_is_json, whole.splitlines())):
        path.replace(path.with_name("journal-damaged.log"))
    elif whole != data:
        path.write_bytes(whole)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _exclusive_lock(url: URL, options: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """PostgreSQL's advisory lock across machines; for other databases a file lock on this machine."""
    if url.get_backend_name() != "postgresql":
        folder.mkdir(parents=True, exist_ok=True)
        return lambda: FileLock(folder / "storage.alone")
    engine = create_engine(url, **options)
    key = int.from_bytes(hashlib.blake2b(b"goldfold study", digest_size=7).digest(), "big")

    @contextmanager
    def exclusive() -> Iterator[None]:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    return exclusive


def _unreachable(shown: str, error: Exception, kept: str) -> GoldfoldError:
    """The error for a storage that does not answer."""
    what = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
    return GoldfoldError(
        "storage_unreachable",
        f"storage {shown} cannot be reached ({what}): finished fits are kept in {kept}. Run the same command when the "
        "storage answers again, or with another STORAGE, and they are added to it",
    )
