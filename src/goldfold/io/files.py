"""Files that are either whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    import numpy as np


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step; a full disk leaves what was there before.

    Raises:
        GoldfoldError: the file system refused (disk full, no permission).
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
            f"could not save {path} ({len(data):,} bytes): {error.strerror}; make room or choose another folder and "
            "start the same command again, what was saved before is whole"
        ) from error


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_array(path: Path, array: np.ndarray) -> None:
    """Save as .npy; equal arrays make equal bytes."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GoldfoldError(f"{path} is missing: start the command that writes it again") from None
    except ValueError as error:
        raise GoldfoldError(f"{path} is not JSON ({error}): remove it and start the command that writes it") from error


def read_array(path: Path) -> np.ndarray:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise GoldfoldError(f"{path} is missing: start the command that writes it again") from None
    except (ValueError, EOFError) as error:
        raise GoldfoldError(f"{path} is not a whole array ({error}): remove it and train again") from error
