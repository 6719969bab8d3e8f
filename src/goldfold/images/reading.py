"""Read image and mask files: single files, many files at one size, header checks, content hashes."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

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
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION = 0x0112  # EXIF tag
TURNING = (b"xif", b"XIf", b"XIF", b"Orientation")  # names of EXIF in JPEG, PNG and WebP; XMP
MARKED = 2**17  # bytes at both ends of a file where these are
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, OverflowError)
NEXT_STEP = "prepare or download the data again, or remove its row from the table"


def read(path: str | Path, gray: bool = False) -> np.ndarray:
    """Read an image file as uint8 (height, width, 3) in RGB order, or as (height, width, 1) if `gray`.

    Grayscale and palette images are converted to three channels, an alpha channel is dropped, 16-bit samples keep their
    upper 8 bits, the first frame of an animation is read, and the EXIF orientation is applied.

    Raises GoldfoldError for a file that is missing, empty, truncated, or in a format that cannot be read, such as float
    TIFF.
    """
    try:
        content = Path(path).read_bytes()  # cv2.imread cannot open Unicode paths on Windows
        image = _by_pillow(content, gray) if _needs_pillow(content) else _by_opencv(content, gray)
    except (*PILLOW_ERRORS, cv2.error) as error:
        raise unreadable(path, error) from error
    if image is None or image.dtype != np.uint8 or image.ndim != (2 if gray else 3):
        raise unreadable(path)
    return image[..., None] if gray else image


def _by_opencv(content: bytes, gray: bool) -> np.ndarray | None:
    """Decode to 8 bits, (h, w) if `gray`, else (h, w, 3); None if OpenCV cannot."""
    if not content:
        return None
    flags = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    ends = content[:MARKED] + content[-MARKED:]  # opening it costs 0.2 ms, which most files need not pay
    if image is None or content[:4] in TIFF or not any(mark in ends for mark in TURNING):
        return image  # OpenCV turns TIFF itself, whatever the flags
    return upright(image, orientation(io.BytesIO(content)))


def _by_pillow(content: bytes, gray: bool) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content)) as image:
        image.load()  # turns TIFF, and removes its tag
        return np.array(ImageOps.exif_transpose(image).convert("L" if gray else "RGB"))


def _needs_pillow(content: bytes) -> bool:
    """Whether OpenCV reads other pixels: AVIF without its orientation, JPEG 2000 in YCC, TIFF darkened by its alpha."""
    from PIL import Image

    if content[:4] in TIFF:
        with Image.open(io.BytesIO(content)) as image:
            return image.mode in ("RGBA", "RGBX", "LA") and not is_deep(image)
    return content[4:8] in (b"ftyp", b"jP  ") or content[:4] == b"\xff\x4f\xff\x51"


def orientation(source: str | Path | BinaryIO) -> int | None:
    """Return the EXIF orientation that an image file carries, 1 to 8, or None; 5 to 8 swap height and width."""
    from PIL import Image

    try:
        with Image.open(source) as image:
            return tag(image)
    except PILLOW_ERRORS:
        return None


def tag(image: Image) -> int | None:
    """Return the EXIF orientation of an image that Pillow has opened, as `orientation` does."""
    from PIL import Image

    file = getattr(image, "fp", None)
    if image.format == "PNG" and "exif" not in image.info and file is not None and _late_exif(file):
        image.load()  # reads what follows the pixels
    found = Image.Image.getexif(image).get(ORIENTATION)  # PNG's own getexif would decode all of it
    return found if found in range(1, 9) else None


def _late_exif(file: Any) -> bool:
    """Whether an opened PNG file has EXIF behind its pixels; the position in the file stays."""
    position, end = file.tell(), file.seek(0, os.SEEK_END)
    file.seek(max(0, end - MARKED))
    found = b"eXIf" in file.read()
    file.seek(position)
    return found


def upright(pixels: np.ndarray, orientation: int | None) -> np.ndarray:
    """Turn stored pixels (h, w, ...) as their EXIF orientation says; None and 1 leave them as they are."""
    if orientation in (None, 1):
        return pixels
    swapped = np.swapaxes(pixels, 0, 1) if orientation >= 5 else pixels
    down, right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(swapped[:: -1 if down else 1, :: -1 if right else 1])


def unreadable(path: str | Path, error: Exception | None = None) -> GoldfoldError:
    """The error for an image file that cannot be read, with the reason."""
    return GoldfoldError("unreadable_image", f"image '{path}' cannot be read ({_reason(path, error)}); {NEXT_STEP}")


def _reason(path: str | Path, error: Exception | None) -> str:
    """Why a file cannot be read, in a few words."""
    if not Path(path).is_file():
        return "the file does not exist"
    if Path(path).stat().st_size == 0:
        return "the file is empty"
    if type(error).__name__ == "DecompressionBombError":
        return "it has more pixels than Pillow opens"
    return error.strerror if isinstance(error, OSError) and error.strerror else "it is truncated or not an image"


def check(paths: Sequence[str | Path]) -> None:
    """Raise GoldfoldError for files without an image's header, with their number and the first; 0.1 ms per file."""
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
    except (*PILLOW_ERRORS, Image.DecompressionBombError) as error:
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
    with opened(path) as image:
        stored = image.size
        turned = image.format != "TIFF" and (tag(image) or 1) >= 5  # Pillow turns the size of TIFF itself
    return stored if turned else stored[::-1]


def _mode(path: str | Path) -> str:
    """The color mode and bit depth of an image, from its header."""
    with opened(path) as image:
        return MODES.get(image.mode, f"16-bit {image.mode}" if is_deep(image) else image.mode)


def is_deep(image: Image) -> bool:
    """Whether a color image has 16-bit samples, which Pillow shows as 8-bit."""
    return image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", ""))


def opened(path: str | Path) -> Image:
    """Open an image with Pillow, which reads its header only.

    Raises GoldfoldError if it cannot be opened.
    """
    from PIL import Image

    try:
        return Image.open(path)
    except (*PILLOW_ERRORS, Image.DecompressionBombError) as error:
        raise unreadable(path, error) from error


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
