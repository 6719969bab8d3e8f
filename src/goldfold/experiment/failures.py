"""Turn exceptions of a competition's own code into messages: what failed, in which file and line, and why."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.data import columns
from goldfold.errors import GoldfoldError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame

TRACEBACK = "GOLDFOLD_TRACEBACK"  # environment variable: print tracebacks of errors, too
OF_MEMORY = ("out_of_memory",)  # codes of errors
OF_MACHINE = (*OF_MEMORY, "write_failed", "data_workers_failed")
MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO}
LOADING = (
    r"\bshm\b|[Ss]hared memory|[Bb]us error|DataLoader worker .*(killed|exited)|Too many open files|received 0 items"
)


@contextmanager
def explained(what: str, name: str, rows: DataFrame | None = None) -> Iterator[None]:
    """Raise every exception of the block as a GoldfoldError that names competition, file and line.

    what: what failed, such as `load()` or `fold 0 seed 0`. rows: whose columns it reads, to suggest a near miss. Errors
    of the machine (disk full, no permission, no memory) pass unchanged, since no line of the competition is wrong.

    Raises:
        GoldfoldError: `competition_failed`; `unknown_column` or `column_not_a_name` for a column that `rows` lacks;
            `data_workers_failed` where processes that load data cannot run.
    """
    try:
        yield
    except (GoldfoldError, MemoryError, BrokenPipeError):
        raise
    except Exception as error:
        told = " ".join(f"{type(error).__name__}, {error}".split())
        if re.search(LOADING, told):
            raise GoldfoldError(
                "data_workers_failed",
                f"{what} of competition '{name}' failed in the processes that load data ({told}): load in the training "
                "process with --data-workers 0, or allow more shared memory and open files",
            ) from error
        if isinstance(error, OSError) and error.errno in MACHINE:
            raise
        if rows is not None and (absent := absent_column(error, rows)):
            told = f"{what} of competition '{name}' failed, {place(error)}: {absent.message}"
            raise GoldfoldError(absent.code, told) from error
        raise GoldfoldError(
            "competition_failed",
            f"{what} of competition '{name}' failed, {place(error)}: {told} ({TRACEBACK}=1 prints the traceback)",
        ) from error


def of_machine(error: Exception) -> bool:
    """Whether the machine failed (disk, memory, permissions), which says nothing of the parameters of a fit."""
    if isinstance(error, GoldfoldError):
        return error.code in OF_MACHINE
    return isinstance(error, (OSError, MemoryError))


def of_memory(error: Exception) -> bool:
    """Whether memory ran out."""
    return isinstance(error, MemoryError) or (isinstance(error, GoldfoldError) and error.code in OF_MEMORY)


def absent_column(error: Exception, rows: DataFrame) -> GoldfoldError | None:
    """The error that suggests the near miss, if pandas raised `error` since `rows` lacks a column; else None."""
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    raised_by = traceback.extract_tb(error.__traceback__)[-1].filename
    if not isinstance(key, (str, tuple)) or "pandas" not in Path(raised_by).parts or "not in index" in str(key):
        return None
    try:
        columns.require(rows, key, "column in the train table")
    except GoldfoldError as known:
        return known
    return None


def carried_out(name: str, part: Callable[..., Any], *arguments: Any) -> Any:
    """`part(*arguments)`, a function of a competition; see `explained` for its errors."""
    with explained(f"{getattr(part, '__name__', 'a function')}()", name):
        return part(*arguments)


def not_importable(name: str, error: Exception) -> GoldfoldError:
    """The error for a competition whose import failed; suggests the near miss for a name its module does not have."""
    if isinstance(error, ImportError):
        wanted = re.search(r"cannot import name '(\w+)'", str(error))
        known = getattr(sys.modules.get(error.name or ""), "__all__", ())
        if wanted and known:
            return unknown(f"name in {error.name}", wanted[1], known, code="unknown_import")
    return GoldfoldError(
        "competition_import",
        f"competition '{name}' cannot be imported, {place(error)}: {type(error).__name__}, {error}",
    )


def place(error: Exception) -> str:
    """File and line of the competition's own code where `error` was raised, else where goldfold called a library."""
    frames = traceback.extract_tb(error.__traceback__)
    file, line = frames[-1].filename, frames[-1].lineno
    for owner in ("competitions", "goldfold"):
        own = [frame for frame in frames if owner in Path(frame.filename).parts and not _installed(frame.filename)]
        if own:
            file, line = own[-1].filename, own[-1].lineno
            break
    if isinstance(error, SyntaxError):
        file, line = error.filename or file, error.lineno
    parts = Path(file).parts
    start = parts.index("competitions") if "competitions" in parts else -1
    return f"{'/'.join(parts[start:])} line {line}"


def _installed(file: str) -> bool:
    """Whether a file is of an installed package other than goldfold."""
    return "site-packages" in Path(file).parts and f"{os.sep}goldfold{os.sep}" not in file
