"""Write files atomically: to a temporary file in the same folder, then renamed. Read JSON and arrays."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    import numpy as np


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically; if that fails, a file that was there before stays unchanged.

    Raises:
        GoldfoldError: `write_failed`, the disk is full or there is no permission.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
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
    """Write `text` as UTF-8; as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; as `write_bytes`."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_array(path: Path, array: np.ndarray) -> None:
    """Write `array` as .npy, equal bytes for equal arrays; as `write_bytes`."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays of numbers or text as .npz without pickles, equal bytes for equal arrays; as `write_bytes`."""
    import numpy as np

    buffer, plain = io.BytesIO(), {name: np.array(array, order="C") for name, array in arrays.items()}
    assert not any(array.dtype.hasobject for array in plain.values()), "Python objects would be pickled"
    np.savez_compressed(buffer, **plain)  # type: ignore[arg-type]  # its stub takes arrays for flags
    write_bytes(path, buffer.getvalue())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        GoldfoldError: `file_missing`; `file_damaged`, the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GoldfoldError("file_missing", f"{path} is missing: run the command that writes it again") from None
    except ValueError as error:
        raise GoldfoldError(
            "file_damaged", f"{path} is not JSON ({error}): delete it and run the command that writes it again"
        ) from error


def read_array(path: Path) -> np.ndarray:
    """Read an .npy file.

    Raises:
        GoldfoldError: `file_missing`; `file_damaged`, the file is truncated or not an array.
    """
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise GoldfoldError("file_missing", f"{path} is missing: run the command that writes it again") from None
    except (ValueError, EOFError) as error:
        raise GoldfoldError(
            "file_damaged", f"{path} is not a complete array ({error}): delete it and train again"
        ) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the named arrays of an .npz file; as `read_array`."""
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except FileNotFoundError:
        raise GoldfoldError("file_missing", f"{path} is missing: run the command that writes it again") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise GoldfoldError(
            "file_damaged", f"{path} is not a complete set of arrays ({error}): delete it and train again"
        ) from error


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
