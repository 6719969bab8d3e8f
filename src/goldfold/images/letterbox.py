"""Fit images into one size with their aspect ratio kept: scaled, centered, and padded with gray."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from goldfold.images import reading
from goldfold.images.sizes import Size, height_and_width

GRAY = 128  # of the padding


class Window(NamedTuple):
    """Where the scaled image lies in the padded one, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of the window."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def window(shape: tuple[int, int], size: Size) -> Window:
    """Return where an image of (height, width) lies in an image of `size`: as large as fits, centered.

    >>> window((50, 200), 64)
    Window(top=24, left=0, height=16, width=64)
    """
    rows, columns = height_and_width(size)
    scale = min(rows / shape[0], columns / shape[1])
    height, width = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
    return Window((rows - height) // 2, (columns - width) // 2, height, width)


def fit(image: np.ndarray, size: Size) -> np.ndarray:
    """Scale an image uint8 (h, w, c) into a gray one of `size`, (height, width, c)."""
    own = window(image.shape[:2], size)
    padded = np.full((*height_and_width(size), image.shape[2]), GRAY, np.uint8)
    padded[own.slices] = reading.resize(image, (own.height, own.width))
    return padded


def load(paths: Sequence[str | Path], size: Size, gray: bool = False) -> np.ndarray:
    """Read and fit all files, in threads: uint8 (n, height, width, 3), or (n, height, width, 1) if `gray`."""
    with ThreadPoolExecutor(reading.THREADS) as pool:
        return np.stack(list(pool.map(lambda path: fit(reading.read(path, gray), size), paths)))
