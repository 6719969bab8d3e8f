"""Write files atomically: to a temporary file in the same folder, then renamed. Read JSON and arrays.

The temporary file of `metrics.json` is `metrics.json.<machine>-<process>.partial`, so that those of killed processes
can be told from those that are being written, see `sweep_partials`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    import numpy as np


PARTIAL = re.compile(r".+\.(?:([0-9a-f]{6})-)?(\d+)\.partial")  # machine, process
ABANDONED_SECONDS = 86_400  # a file of another machine that is so old is no longer being written
KINDS: dict[type, str] = {dict: "an object", list: "a list"}


def write_bytes(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write `data` to `path` atomically; if that fails, a file that was there before stays unchanged.

    durable: wait until the bytes are on the disk, so that a crash of the machine leaves the old or the new file.

    Raises:
        GoldfoldError: `write_failed`, the disk is full or there is no permission.
    """
    partial = path.with_name(f"{path.name}.{_machine()}-{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        if durable:
            with partial.open("r+b") as written:
                os.fsync(written.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise GoldfoldError(
            "write_failed",
            f"could not save {path} ({len(data):,} bytes): {error.strerror}. Free disk space or choose another folder, "
            "then run the same command again; files saved before are complete.",
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, durably; as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"), durable=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, durably; as `write_bytes`."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return `value` as the text of a JSON file."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def write_array(path: Path, array: np.ndarray) -> None:
    """Write `array` as .npy, equal bytes for equal arrays, durably; as `write_bytes`."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    write_bytes(path, buffer.getvalue(), durable=True)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays of numbers or text as .npz without pickles, equal bytes for equal arrays; as `write_bytes`."""
    import numpy as np

    buffer, plain = io.BytesIO(), {name: np.array(array, order="C") for name, array in arrays.items()}
    assert not any(array.dtype.hasobject for array in plain.values()), "Python objects would be pickled"
    np.savez_compressed(buffer, **plain)  # type: ignore[arg-type]  # its stub takes arrays for flags
    write_bytes(path, buffer.getvalue())


def check_writable(folder: Path) -> None:
    """Check that a file can be written into `folder`, or where it will be made; nothing is left there.

    Raises:
        GoldfoldError: `folder_not_writable`.
    """
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise GoldfoldError(
            "folder_not_writable",
            f"nothing can be written into {folder} ({error.strerror}): make {place} a folder that you may write into",
        ) from error


def sweep_partials(folder: Path) -> None:
    """Remove the temporary files below `folder` of processes that are gone; others are left."""
    for path in folder.rglob("*.partial"):
        with suppress(OSError):
            if _is_abandoned(path):
                path.unlink()


def _is_abandoned(partial: Path) -> bool:
    """Whether nobody writes a temporary file any more."""
    written_by = PARTIAL.fullmatch(partial.name)
    if not written_by:
        return False
    if written_by[1] in (None, _machine()) and os.name == "posix":
        return not _is_alive(int(written_by[2]))
    return time.time() - partial.stat().st_mtime > ABANDONED_SECONDS


def _is_alive(process: int) -> bool:
    """Whether a process of this machine exists, whoever owns it."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@cache
def _machine() -> str:
    """A short name of this machine, without telling its own."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def read_json(path: Path, kind: type[dict | list] | None = None) -> Any:
    """Read a JSON file.

    kind: dict or list, what it must hold.

    Raises:
        GoldfoldError: `file_missing`; `file_damaged`, the file is not JSON, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except (ValueError, RecursionError) as error:
        raise GoldfoldError(
            "file_damaged", f"{path} is not JSON ({error}): delete it and run the command that writes it again"
        ) from error
    if kind and not isinstance(found, kind):
        raise GoldfoldError(
            "file_damaged",
            f"{path} must hold {KINDS[kind]} and holds {KINDS.get(type(found), 'a value')}: delete it and run the "
            "command that writes it again",
        )
    return found


def read_array(path: Path) -> np.ndarray:
    """Read an .npy file.

    Raises:
        GoldfoldError: `file_missing`; `file_damaged`, the file is truncated or not an array.
    """
    import numpy as np

    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)  # a damaged shape must not be allocated
        if not isinstance(mapped, np.ndarray):
            raise ValueError("it holds several")
        return np.array(mapped)
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:  # whatever damaged bytes make of the parser
        raise GoldfoldError(
            "file_damaged", f"{path} is not a complete array ({error}): delete it and train again"
        ) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the named arrays of an .npz file; as `read_array`."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:  # whatever damaged bytes make of the parser
        raise GoldfoldError(
            "file_damaged", f"{path} is not a complete set of arrays ({error}): delete it and train again"
        ) from error


def _missing(path: Path) -> GoldfoldError:
    return GoldfoldError("file_missing", f"{path} is missing: run the command that writes it again")


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below `folder`, in order of the path; linked folders are followed.

    Raises:
        GoldfoldError: `link_loop`, a linked folder holds the link itself.
    """
    for parent, folders, files in os.walk(folder, followlinks=True):
        place = Path(parent)
        for link in filter(Path.is_symlink, (place / name for name in folders)):
            if place.resolve().is_relative_to(link.resolve()):
                raise GoldfoldError(
                    "link_loop",
                    f"{link} links to a folder that holds it, so its files have no end: remove the link",
                )
        folders.sort()
        yield from (path for path in (place / name for name in sorted(files)) if path.is_file())
