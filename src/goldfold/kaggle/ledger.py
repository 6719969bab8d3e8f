"""The submission ledger: one row per attempt to submit, in SQLite, consistent even if the process is killed.

An attempt is first `prepared`, and `sending` before the upload starts. With a reference number it is `received`, with a
score `scored`, and `failed` if it cannot get a score. It is `unknown` if there was no answer and it is not listed yet.
Every change is one transaction on disk. After each, ledger.csv next to the database is rewritten, for reading.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from goldfold.errors import GoldfoldError
from goldfold.io.files import write_text
from goldfold.io.formatting import as_text

State = Literal["prepared", "sending", "received", "scored", "failed", "unknown"]
BEFORE: dict[str, tuple[str, ...]] = {  # state -> allowed previous states; two processes may record the same end
    "sending": ("prepared",),
    "received": ("sending", "unknown"),
    "unknown": ("sending", "unknown"),
    "scored": ("received", "scored"),  # a second time when the private score is released
    "failed": ("prepared", "sending", "unknown", "received", "failed"),
}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One row of the ledger.

    tag: unique, part of the description. began, changed: ISO times, UTC. service: kaggle or local. sha256: hash of the
    file. message: description on the service. cv, cv_sd: mean and standard deviation (ddof=1) over folds, sd None for
    one fold. ref: reference number of the service, None before it is received. public, private: scores. said: last
    message of the service.
    """

    tag: str
    began: str
    changed: str
    competition: str
    slug: str
    service: str
    run: str
    sha256: str
    message: str
    metric: str
    higher_is_better: bool
    cv: float
    cv_sd: float | None = None
    state: State = "prepared"
    ref: int | None = None
    public: float | None = None
    private: float | None = None
    said: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "higher_is_better", bool(self.higher_is_better))  # SQLite stores 0 and 1


COLUMNS = tuple(field.name for field in fields(Attempt))
TABLE = f"""
CREATE TABLE IF NOT EXISTS attempts (
    tag TEXT PRIMARY KEY, began TEXT NOT NULL, changed TEXT NOT NULL, competition TEXT NOT NULL, slug TEXT NOT NULL,
    service TEXT NOT NULL, run TEXT NOT NULL, sha256 TEXT NOT NULL, message TEXT NOT NULL, metric TEXT NOT NULL,
    higher_is_better INTEGER NOT NULL, cv REAL NOT NULL, cv_sd REAL,
    state TEXT NOT NULL CHECK (state IN {get_args(State)}),
    ref INTEGER CHECK (ref > 0), public REAL, private REAL, said TEXT NOT NULL,
    CHECK (state NOT IN ('received', 'scored') OR ref IS NOT NULL)
)"""


def now() -> str:
    """Current time, ISO, UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def add_attempt(database: Path, attempt: Attempt) -> Attempt:
    """Add a new attempt to the ledger `database`, which is created if it does not exist."""
    with _opened(database) as connection:
        connection.execute(f"INSERT INTO attempts VALUES ({', '.join('?' * len(COLUMNS))})", astuple(attempt))
    export(database)
    return attempt


def update_attempt(database: Path, tag: str, state: State, **facts: Any) -> Attempt:
    """Change the state of an attempt; facts: new values of ref, public, private, said. Returns the attempt.

    Raises:
        GoldfoldError: its present state does not allow the change, for example because another process changed it
            (`attempt_state_invalid`).
    """
    facts = {"state": state, "changed": now(), **facts}
    changes = ", ".join(f"{name} = ?" for name in facts)
    allowed = BEFORE[state]
    with _opened(database) as connection:
        done = connection.execute(
            f"UPDATE attempts SET {changes} WHERE tag = ? AND state IN ({', '.join('?' * len(allowed))})",
            (*facts.values(), tag, *allowed),
        )
        if done.rowcount != 1:
            found = connection.execute("SELECT state FROM attempts WHERE tag = ?", (tag,)).fetchone()
            was = f"is '{found[0]}'" if found else "does not exist"
            raise GoldfoldError(
                "attempt_state_invalid",
                f"attempt {tag} {was} in {database} and cannot become '{state}': see make ledger",
            )
    export(database)
    return next(attempt for attempt in read_attempts(database) if attempt.tag == tag)


def read_attempts(database: Path, **wanted: str) -> list[Attempt]:
    """Attempts whose columns have the `wanted` values, oldest first; empty if there is no ledger yet.

    Raises:
        GoldfoldError: `ledger_damaged`.
    """
    if not database.exists():
        return []
    where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
    with _opened(database) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(COLUMNS)} FROM attempts WHERE {where} ORDER BY rowid", tuple(wanted.values())
        ).fetchall()
    return [_attempt(database, number, row) for number, row in enumerate(rows, 1)]


def _attempt(database: Path, number: int, row: Sequence[Any]) -> Attempt:
    """An attempt from its row; a damaged file may hold values that were never written."""
    values = dict(zip(COLUMNS, row, strict=True))
    try:
        datetime.fromisoformat(values["began"])
        numbers = [values[name] for name in ("cv", "cv_sd", "public", "private", "ref") if values[name] is not None]
        whole = values["state"] in get_args(State) and all(isinstance(each, (int, float)) for each in numbers)
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise GoldfoldError(
            "ledger_damaged",
            f"row {number} of the ledger {database} holds what was never written: restore the file from a copy, or "
            f"move it away; {database.with_suffix('.csv').name} beside it has the rows as they were",
        )
    return Attempt(**values)


def export(database: Path) -> Path:
    """Write the ledger as CSV next to the database; a lock makes the last writer write all rows."""
    path = database.with_suffix(".csv")
    with FileLock(f"{path}.lock"):
        write_text(path, table(read_attempts(database)))
    return path


def table(rows: Sequence[Attempt]) -> str:
    """Attempts as CSV text that a spreadsheet can open safely."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = asdict(row).items()
        writer.writerow({name: as_text(cell) if isinstance(cell, str) else cell for name, cell in cells})
    return text.getvalue()


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Connection with one transaction, which is on disk at the end of the block and undone if the block raises."""
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    except sqlite3.Error as error:
        raise GoldfoldError(
            "ledger_unreadable", f"the ledger {database} cannot be opened ({error}): check its permissions"
        ) from error
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(TABLE)
        yield connection
        connection.execute("COMMIT")
    except (sqlite3.Error, OverflowError) as error:
        raise GoldfoldError(
            "ledger_write_failed",
            f"the ledger {database} could not be written ({error}): make room, or move the damaged file away",
        ) from error
    finally:
        connection.close()  # ends an open transaction without its changes
