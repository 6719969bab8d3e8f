"""Read image files: single files, many files at one size; content hashes; see `headers` for what a header says."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import resized_images
from goldfold.images.headers import MARKED, NEXT_STEP, is_deep, reason, refusing, unreadable, upright
from goldfold.images.headers import check as check
from goldfold.images.headers import count_modes as count_modes
from goldfold.images.headers import header_problem as header_problem
from goldfold.images.headers import orientation as orientation
from goldfold.images.headers import size as size
from goldfold.images.sizes import Size, height_and_width

LOGGING = cv2.utils.logging
LOGGING.setLogLevel(LOGGING.LOG_LEVEL_SILENT)  # the errors raised here report it once

THREADS = min(8, os.cpu_count() or 1)
MOST_HASHES = 500_000  # kept; about 200 MB
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HASHES: dict[resized_images.Key, str] = {}  # of the files as they were when they were read
TURNING = (b"xif", b"XIf", b"XIF", b"Orientation")  # names of EXIF in JPEG, PNG and WebP; XMP


def read(path: str | Path, gray: bool = False) -> np.ndarray:
    """Read an image file as uint8 (height, width, 3) in RGB order, or as (height, width, 1) if `gray`.

    Grayscale and palette images are converted to three channels, an alpha channel is dropped, 16-bit samples keep their
    upper 8 bits, the first frame of an animation is read, and the EXIF orientation is applied.

    Raises GoldfoldError for a file that is missing, empty, truncated, or in a format that cannot be read, such as float
    TIFF.
    """
    with refusing(path):
        content = Path(path).read_bytes()  # cv2.imread cannot open Unicode paths on Windows
        image = _by_pillow(content, gray) if _needs_pillow(content) else _by_opencv(content, gray)
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


def content_hash(path: str | Path) -> str:
    """Hash a file's content (BLAKE2b, 32 hexadecimal digits); copies under other names have equal hashes.

    Raises GoldfoldError if the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise GoldfoldError(
            "unreadable_file", f"file '{path}' cannot be read ({reason(path, error)}); {NEXT_STEP}"
        ) from error


def content_hashes(paths: Sequence[str | Path]) -> list[str]:
    """Hash the content of each file, in threads; see `content_hash`. This process reads a file again if it changed."""
    if len(_HASHES) + len(paths) > MOST_HASHES:
        _HASHES.clear()
    keys = [resized_images.file_key(path) or (str(path),) for path in paths]  # of none the error follows
    missing = {key: path for key, path in zip(keys, paths, strict=True) if key not in _HASHES}
    if missing:
        with ThreadPoolExecutor(THREADS) as pool:
            _HASHES.update(zip(missing, pool.map(content_hash, missing.values()), strict=True))
    return [_HASHES[key] for key in keys]


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Resize an image uint8 (h, w, c) to the height and width of `size`, without keeping the aspect ratio.

    Area averaging if both sides shrink, else cubic interpolation.
    """
    height, width, channels = image.shape
    rows, columns = height_and_width(size)
    if (height, width) == (rows, columns):
        return image
    shrinks = height >= rows and width >= columns
    resized = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized.reshape(rows, columns, channels)


def load_resized(paths: Sequence[str | Path], size: Size, gray: bool = False) -> np.ndarray:
    """Read and resize all files, in threads: uint8 (n, height, width, 3), or (n, height, width, 1) if `gray`.

    Those that the process keeps (`resized_images`) are not decoded again.
    """
    stacked = np.empty((len(paths), *height_and_width(size), 1 if gray else 3), np.uint8)
    kept = resized_images.kept()
    keys = [resized_images.key_of(path, size, gray) if kept else None for path in paths]

    def load(position: int) -> None:
        stacked[position] = resize(read(paths[position], gray), size)
        if kept and (key := keys[position]):
            kept.write(key, stacked[position])

    missing = [at for at, key in enumerate(keys) if not (kept and key and kept.read(key, stacked[at]))]
    if len(missing) > 1:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(load, missing))  # list: the first error is raised here
    else:
        list(map(load, missing))
    return stacked
