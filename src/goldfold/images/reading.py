"""Read image and mask files: single files, many files at one size, header checks, content hashes."""

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
LOGGING.setLogLevel(LOGGING.LOG_LEVEL_SILENT)  # the errors raised here report it once

MODES = {"1": "bilevel", "L": "gray", "LA": "gray with alpha", "I;16": "16-bit gray", "P": "palette"}
THREADS = min(8, os.cpu_count() or 1)
NEXT_STEP = "prepare or download the data again, or remove its row from the table"


def read(path: str | Path, gray: bool = False) -> np.ndarray:
    """Read an image file as uint8 (height, width, 3) in RGB order, or as (height, width, 1) if `gray`.

    Grayscale and palette images are converted to three channels, an alpha channel is dropped, 16-bit samples keep their
    upper 8 bits, and the EXIF orientation is applied.

    Raises GoldfoldError for a file that is missing, empty, truncated, or in a format that cannot be read, such as float
    TIFF.
    """
    image = _decoded(path, cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB)
    return image[..., None] if gray else image


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask file as int32 (height, width): the 8-bit or 16-bit values of its first channel, 0 is background.

    Raises GoldfoldError as `read` does.
    """
    mask = _decoded(path, cv2.IMREAD_UNCHANGED)
    return mask.reshape(*mask.shape[:2], -1)[..., 0].astype(np.int32)


def _decoded(path: str | Path, flags: int) -> np.ndarray:
    """Read and decode an image file with the `cv2.IMREAD_...` flags."""
    try:
        content = np.fromfile(path, np.uint8)  # cv2.imread cannot open Unicode paths on Windows
        image = cv2.imdecode(content, flags) if content.size else None
    except (OSError, cv2.error) as error:
        raise _unreadable(path, error) from error
    if image is None:
        raise _unreadable(path)
    return image


def _unreadable(path: str | Path, error: Exception | None = None) -> GoldfoldError:
    """The error for an image file that cannot be read."""
    return GoldfoldError("unreadable_image", f"image '{path}' cannot be read ({_reason(path, error)}); {NEXT_STEP}")


def _reason(path: str | Path, error: Exception | None) -> str:
    """Why a file cannot be read, in a few words."""
    if not Path(path).is_file():
        return "the file does not exist"
    if Path(path).stat().st_size == 0:
        return "the file is empty"
    return error.strerror if isinstance(error, OSError) and error.strerror else "it is truncated or not an image"


def check(paths: Sequence[str | Path]) -> None:
    """Check that each file exists and has the header of an image; about 0.1 ms per file.

    Raises GoldfoldError with the number of bad files and the first of them.
    """
    bad = [(path, reason) for path in paths if (reason := _header_problem(path))]
    if bad:
        path, reason = bad[0]
        raise GoldfoldError(
            "unreadable_image",
            f"{len(bad)} of {len(paths)} images cannot be read, first '{path}' ({reason}); {NEXT_STEP}",
        )


def _header_problem(path: str | Path) -> str | None:
    """Why the header cannot be read, or None if it can."""
    from PIL import Image

    try:
        with Image.open(path):
            return None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _reason(path, error)


def count_modes(paths: Sequence[str | Path]) -> DataFrame:
    """Count images by mode and size: columns mode ("gray", "RGB", "16-bit gray", ...), width, height, images.

    Sorted by `images`, most first. Different modes and sizes can be trained on together: `read` converts each image to
    8-bit RGB, and recipes resize it.
    """
    from pandas import DataFrame

    kinds = DataFrame([(_mode(path), *size(path)[::-1]) for path in paths], columns=["mode", "width", "height"])
    return kinds.value_counts(sort=True).rename("images").reset_index()


def size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) in pixels as `read` returns them, from the file's header alone."""
    from PIL import Image

    with _opened(path) as image:
        # PNG's own getexif would decode the whole image
        turned = Image.Image.getexif(image).get(0x0112, 1) >= 5  # orientations 5 to 8 swap height and width
        return image.size if turned else image.size[::-1]


def _mode(path: str | Path) -> str:
    """The color mode and bit depth of an image, from its header."""
    with _opened(path) as image:
        sixteen_bit = image.mode in ("RGB", "RGBA") and ";16" in str(
            getattr(image, "tile", "")
        )  # Pillow shows these as 8-bit
        return MODES.get(image.mode, f"16-bit {image.mode}" if sixteen_bit else image.mode)


def _opened(path: str | Path) -> Image:
    """Open an image with Pillow, which reads its header only."""
    from PIL import Image

    try:
        return Image.open(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error


def content_hash(path: str | Path) -> str:
    """Hash a file's content (BLAKE2b, 32 hexadecimal digits); copies under other names have equal hashes.

    Raises GoldfoldError if the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise GoldfoldError(
            "unreadable_file", f"file '{path}' cannot be read ({_reason(path, error)}); {NEXT_STEP}"
        ) from error


def content_hashes(paths: Sequence[str | Path]) -> list[str]:
    """Hash the content of each file, in threads; see `content_hash`."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(content_hash, paths))


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize an image uint8 (h, w, c) to (size, size, c) without keeping the aspect ratio.

    Area averaging if both sides shrink, else cubic interpolation.
    """
    height, width, channels = image.shape
    if (height, width) == (size, size):
        return image
    shrinks = height >= size and width >= size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized.reshape(size, size, channels)


def load_resized(paths: Sequence[str | Path], size: int, gray: bool = False) -> np.ndarray:
    """Read and resize all files, in threads: uint8 (n, size, size, 3), or (n, size, size, 1) if `gray`."""
    stacked = np.empty((len(paths), size, size, 1 if gray else 3), np.uint8)

    def load(position: int) -> None:
        stacked[position] = resize(read(paths[position], gray), size)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(load, range(len(paths))))  # list: the first error is raised here
    return stacked
