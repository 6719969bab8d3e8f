"""Image files as arrays: read, checked before training, hashed by content, loaded into memory at one size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

LOGGING = cv2.utils.logging
LOGGING.setLogLevel(LOGGING.LOG_LEVEL_SILENT)  # the errors raised here say it once

MODES = {"1": "bilevel", "L": "grey", "LA": "grey with alpha", "I;16": "16-bit grey", "P": "palette"}
THREADS = min(8, os.cpu_count() or 1)
NEXT_STEP = "prepare or download the data again, or take its row out of the table"


def read(path: str | Path, grey: bool = False) -> np.ndarray:
    """An image file as uint8 (height, width, 3) in RGB order, or (height, width, 1) where `grey`.

    Grey and palette images are spread over three channels, an alpha channel is dropped, 16-bit samples keep their upper
    8 bits, and a camera's orientation tag is applied. Raises GoldfoldError for a file that is missing, empty, cut short
    or in no known format (float TIFF is one).
    """
    image = _decoded(path, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB)
    return image[..., None] if grey else image


def read_mask(path: str | Path) -> np.ndarray:
    """A mask file as int32 (height, width): its first channel's 8-bit or 16-bit values, 0 = background.

    Raises GoldfoldError as `read` does.
    """
    mask = _decoded(path, cv2.IMREAD_UNCHANGED)
    return mask.reshape(*mask.shape[:2], -1)[..., 0].astype(np.int32)


def _decoded(path: str | Path, how: int) -> np.ndarray:
    try:
        content = np.fromfile(path, np.uint8)  # cv2.imread knows no Unicode path on Windows
        image = cv2.imdecode(content, how) if content.size else None
    except (OSError, cv2.error) as error:
        raise GoldfoldError(f"image '{path}' cannot be read ({_reason(path, error)}); {NEXT_STEP}") from error
    if image is None:
        raise GoldfoldError(f"image '{path}' cannot be read ({_reason(path, None)}); {NEXT_STEP}")
    return image


def _reason(path: str | Path, error: Exception | None) -> str:
    if not Path(path).is_file():
        return "there is no such file"
    if Path(path).stat().st_size == 0:
        return "it is empty"
    return error.strerror if isinstance(error, OSError) and error.strerror else "it is cut short or no image"


def check(paths: Sequence[str | Path]) -> None:
    """Raise GoldfoldError with the first bad path and their number unless each file exists and has an image's header.

    Headers alone are read, some 0.1 ms a file, so this can stand before every training run.
    """
    bad = [(path, reason) for path in paths if (reason := _header_fault(path))]
    if bad:
        path, reason = bad[0]
        raise GoldfoldError(f"{len(bad)} of {len(paths)} images cannot be read, first '{path}' ({reason}); {NEXT_STEP}")


def _header_fault(path: str | Path) -> str | None:
    from PIL import Image

    try:
        with Image.open(path):
            return None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _reason(path, error)


def modes(paths: Sequence[str | Path]) -> DataFrame:
    """How many images are alike: mode ("grey", "RGB", "RGBA", "16-bit grey" ...), width, height, images; most first.

    All of them can be learnt from together: `read` turns each into 8-bit RGB, and recipes bring it to one size.
    """
    from pandas import DataFrame

    kinds = DataFrame([(_mode(path), *size(path)[::-1]) for path in paths], columns=["mode", "width", "height"])
    return kinds.value_counts(sort=True).rename("images").reset_index()


def size(path: str | Path) -> tuple[int, int]:
    """(height, width) in pixels as `read` would return them, from the file's header."""
    from PIL import Image

    with _opened(path) as image:
        turned = Image.Image.getexif(image).get(0x0112, 1) >= 5  # the camera lay on its side; PNG's own decodes it all
        return image.size if turned else image.size[::-1]


def _mode(path: str | Path) -> str:
    """What an image's header says of its pixels."""
    with _opened(path) as image:
        deep = image.mode in ("RGB", "RGBA") and ";16" in str(image.tile)  # Pillow shows these as 8-bit
        return MODES.get(image.mode, f"16-bit {image.mode}" if deep else image.mode)


def _opened(path: str | Path) -> Image:
    from PIL import Image

    try:
        return Image.open(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise GoldfoldError(f"image '{path}' cannot be read ({_reason(path, error)}); {NEXT_STEP}") from error


def content_hash(path: str | Path) -> str:
    """What a file holds as 32 hexadecimal digits (BLAKE2b); equal for copies under other names."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise GoldfoldError(f"file '{path}' cannot be read ({_reason(path, error)}); {NEXT_STEP}") from error


def content_hashes(paths: Sequence[str | Path]) -> list[str]:
    """`content_hash` of each path, in threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(content_hash, paths))


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (h, w, c) -> (size, size, c), aspect ratio not kept: area averages down, cubic interpolation up."""
    height, width, channels = image.shape
    if (height, width) == (size, size):
        return image
    shrinks = height >= size and width >= size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized.reshape(size, size, channels)


def load_resized(paths: Sequence[str | Path], size: int, grey: bool = False) -> np.ndarray:
    """All files in memory: uint8 (n, size, size, 3), or (n, size, size, 1) where `grey`, read in threads."""
    stacked = np.empty((len(paths), size, size, 1 if grey else 3), np.uint8)

    def load(position: int) -> None:
        stacked[position] = resize(read(paths[position], grey), size)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(load, range(len(paths))))  # list: the first error is raised here
    return stacked
