"""Masks as PNG files in a zip archive, one `<id>.png` per test image: writing and checking."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.files import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

OLDEST = (1980, 1, 1, 0, 0, 0)  # the time of every file, so that equal masks give equal archives


def write(path: Path, masks: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write an archive atomically.

    masks: id and (height, width) mask of each image, as it is to be read: bool is written as 0 and 255, integers as
        they are, in 8 bits or, above 255, in 16.

    Raises:
        GoldfoldError: `mask_invalid`; `png_repeated`, an id comes twice.
    """
    held, seen = io.BytesIO(), set()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed already
        for id_, mask in masks:
            if id_ in seen:
                raise _invalid("png_repeated", f"every image must have one mask, and {id_}.png comes twice")
            seen.add(id_)
            archive.writestr(zipfile.ZipInfo(f"{id_}.png", OLDEST), _encoded(mask))
    write_bytes(path, held.getvalue())


def check(path: Path, sizes: Mapping[str, tuple[int, int]], values: Collection[int]) -> None:
    """Check an archive as a host would read it.

    sizes: id -> (height, width) of every test image. values: those that a pixel may have, such as (0, 255).

    Raises:
        GoldfoldError: the first fault: `png_archive_unreadable`; `png_` with absent, unknown, repeated, unreadable,
            size_differs or value_unknown.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names([each.filename for each in archive.infolist() if not each.is_dir()], sizes)
            for id_, size in sizes.items():
                _check_mask(f"{id_}.png", archive.read(f"{id_}.png"), size, values)
    except (OSError, zipfile.BadZipFile) as error:
        raise GoldfoldError(
            "png_archive_unreadable", f"{path} is not a zip archive that can be read ({error}): write it again"
        ) from error


def _encoded(mask: np.ndarray) -> bytes:
    import cv2

    pixels = np.asarray(mask)
    if pixels.ndim != 2 or pixels.dtype.kind not in "biu" or pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        raise GoldfoldError(
            "mask_invalid",
            f"a mask must be (height, width) of bool or integers in 0 to 65535, not {pixels.shape} of {pixels.dtype}: "
            "threshold probabilities first",
        )
    whole = pixels * np.uint8(255) if pixels.dtype.kind == "b" else pixels
    return cv2.imencode(".png", whole.astype(np.uint8 if whole.max(initial=0) < 256 else np.uint16))[1].tobytes()


def _check_names(names: list[str], sizes: Mapping[str, tuple[int, int]]) -> None:
    wanted, found = {f"{id_}.png" for id_ in sizes}, set(names)
    faults = {
        "png_absent": ("every test image must have a mask", sorted(wanted - found)),
        "png_unknown": ("every file must be the mask of a test image", sorted(found - wanted)),
        "png_repeated": ("every image must have one mask", sorted({name for name in names if names.count(name) > 1})),
    }
    for code, (rule, wrong) in faults.items():
        if wrong:
            raise _invalid(code, f"{rule}; wrong for {len(wrong):,} of {len(wanted):,}, first {wrong[0]}")


def _check_mask(name: str, content: bytes, size: tuple[int, int], values: Collection[int]) -> None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
            pixels = _values(name, opened)
    except (OSError, SyntaxError, ValueError) as error:
        raise _invalid("png_unreadable", f"{name} must be a PNG image ({error})") from error
    if pixels.shape != tuple(size):
        (height, width), (other_height, other_width) = size, pixels.shape
        rule = f"{name} must have {width} x {height} pixels as its image, not {other_width} x {other_height}"
        raise _invalid("png_size_differs", rule)
    strange = np.setdiff1d(pixels, list(values))
    if len(strange):
        known = ", ".join(map(str, sorted(values)[:9]))
        raise _invalid("png_value_unknown", f"{name} must hold the values {known} only, found {strange[0]}")


def _values(name: str, opened: Image) -> np.ndarray:
    pixels = np.asarray(opened)
    if pixels.ndim != 2:
        raise _invalid("png_unreadable", f"{name} must have one channel, not the mode {opened.mode}")
    return pixels.astype(np.int64) * (255 if opened.mode == "1" else 1)


def _invalid(code: str, rule: str) -> GoldfoldError:
    return GoldfoldError(code, f"invalid submission: {rule}. Write the archive again.")
