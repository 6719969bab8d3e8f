"""What an image file says before it is decoded: size, mode, EXIF orientation, frames, and why it cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import numpy as np

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

MODES = {"1": "bilevel", "L": "gray", "LA": "gray with alpha", "I;16": "16-bit gray", "P": "palette"}
UNSUITABLE = {"F": "its samples are floats", "I": "its samples have 32 bits"}
ORIENTATION = 0x0112  # EXIF tag
MARKED = 2**17  # bytes at both ends of a file where EXIF and XMP are
NEXT_STEP = "prepare or download the data again, or remove its row from the table"


@contextmanager
def refusing(path: str | Path) -> Iterator[None]:
    """Raise the error for an image file that cannot be read, whatever a decoder raises for a damaged one."""
    try:
        yield
    except (GoldfoldError, MemoryError):
        raise
    except Exception as error:
        raise unreadable(path, error) from error


@contextmanager
def opened(path: str | Path) -> Iterator[Image]:
    """Open an image with Pillow, which reads its header only; raises GoldfoldError for what cannot be read."""
    from PIL import Image

    with refusing(path), Image.open(path) as image:
        image.filename = ""  # Pillow maps uncompressed TIFF from a named file, and does not turn what it maps
        yield image


def size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) in pixels as `read` returns them, from the file's header alone."""
    with opened(path) as image:
        stored = image.size
        turned = image.format != "TIFF" and (tag(image) or 1) >= 5  # Pillow turns the size of TIFF itself
    return stored if turned else stored[::-1]


def orientation(source: str | Path | BinaryIO) -> int | None:
    """Return the EXIF orientation that an image file carries, 1 to 8, or None; 5 to 8 swap height and width."""
    from PIL import Image

    try:
        with Image.open(source) as image:
            return tag(image)
    except Exception:  # decoders raise many kinds for damaged files
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


def is_deep(image: Image) -> bool:
    """Whether a color image has 16-bit samples, which Pillow shows as 8-bit."""
    return image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", ""))


def _mode(path: str | Path) -> str:
    """The color mode and bit depth of an image, from its header."""
    with opened(path) as image:
        return MODES.get(image.mode, f"16-bit {image.mode}" if is_deep(image) else image.mode)


def count_modes(paths: Sequence[str | Path]) -> DataFrame:
    """Count images by mode and size: columns mode ("gray", "RGB", "16-bit gray", ...), width, height, images.

    Sorted by `images`, most first. Different modes and sizes can be trained on together: `read` converts each image to
    8-bit RGB, and recipes resize it.
    """
    from pandas import DataFrame

    kinds = DataFrame([(_mode(path), *size(path)[::-1]) for path in paths], columns=["mode", "width", "height"])
    return kinds.value_counts(sort=True).rename("images").reset_index()


def frames_and_depth(path: str | Path) -> dict[str, int]:
    """Return the number of `frames` of an image, and the `largest` sample if it has 16 bits, decoding that again."""
    with opened(path) as image:
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if not image.mode.startswith("I;16") and not is_deep(image):
            return {"frames": frames}
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return {"frames": frames}
    return {"frames": frames, "largest": int(pixels.reshape(*pixels.shape[:2], -1)[..., :3].max())}


def check(paths: Sequence[str | Path]) -> None:
    """Raise GoldfoldError for files without an image's header, with their number and the first; 0.1 ms per file."""
    bad = [(path, reason) for path in paths if (reason := header_problem(path))]
    if bad:
        path, reason = bad[0]
        raise GoldfoldError(
            "unreadable_image",
            f"{len(bad)} of {len(paths)} images cannot be read, first '{path}' ({reason}); {NEXT_STEP}",
        )


def header_problem(path: str | Path) -> str | None:
    """Return why the header cannot be read, or None if it can."""
    try:
        with opened(path):
            return None
    except GoldfoldError as error:
        return reason(path, error.__cause__)


def unreadable(path: str | Path, error: Exception | None = None) -> GoldfoldError:
    """The error for an image file that cannot be read, with the reason."""
    return GoldfoldError("unreadable_image", f"image '{path}' cannot be read ({reason(path, error)}); {NEXT_STEP}")


def reason(path: str | Path, error: BaseException | None) -> str:
    """Return why a file cannot be read, in a few words."""
    if not Path(path).is_file():
        return "the file does not exist"
    if Path(path).stat().st_size == 0:
        return "the file is empty"
    if type(error).__name__ == "DecompressionBombError":
        return "it has more pixels than Pillow opens"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _unsuitable(path) or "it is truncated or not an image"


def _unsuitable(path: str | Path) -> str | None:
    """Which samples an image has that are not 8-bit or 16-bit, or None."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return UNSUITABLE.get(image.mode)
    except Exception:  # as above
        return None
