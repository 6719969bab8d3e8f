"""Read masks whose colors are classes, by a declared table of colors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import headers, masks

Color = tuple[int, int, int]


class Table(NamedTuple):
    """Colors of classes, RGB of 0 to 255.

    colors: of class 0, 1, ... void: the color of pixels that count nowhere, read as `void_index`; None: there is none.
    """

    colors: Sequence[Color]
    void: Color | None = None
    void_index: int = 255


def read(path: str | Path, table: Table, image: str | Path | None = None) -> np.ndarray:
    """Read a color mask as class indices, int32 (height, width), turned and sized as its image (see `masks.read`).

    Palette images have the colors of their palette, gray ones equal channels; an alpha channel is ignored.

    Raises:
        GoldfoldError: `mask_color_unknown`, a pixel has a color that is not in the table, as after compression with
            loss; the file cannot be read; the size is not the image's.
    """
    with headers.opened(path) as opened:
        turn = masks.orientation(path, opened, image)
        pixels = np.asarray(opened.convert("RGB"))
    return headers.upright(_indices(path, pixels, table), turn)


def _indices(path: str | Path, pixels: np.ndarray, table: Table) -> np.ndarray:
    numbers = {_packed(np.array(color)): index for index, color in enumerate(table.colors)}
    if table.void is not None:
        numbers[_packed(np.array(table.void))] = table.void_index
    packed, places, counts = np.unique(_packed(pixels), return_inverse=True, return_counts=True)
    strange = [at for at, value in enumerate(packed.tolist()) if value not in numbers]
    if strange:
        most = max(strange, key=lambda at: counts[at])
        value = int(packed[most])
        raise GoldfoldError(
            "mask_color_unknown",
            f"mask '{path}' has {len(strange)} colors that are not in the table of {len(numbers)}, most often "
            f"({value >> 16}, {value >> 8 & 255}, {value & 255}) in {counts[most]:,} pixels: add the color, or save "
            "the mask without loss and without smoothing",
        )
    return np.array([numbers[value] for value in packed.tolist()], np.int32)[places].reshape(pixels.shape[:2])


def _packed(colors: np.ndarray) -> np.ndarray:
    """Colors (..., 3) as single numbers."""
    return colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
