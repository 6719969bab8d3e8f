"""Predict large images tile by tile: overlapping tiles, blended by a smooth window, as blocks of finished rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np

from goldfold.images.sizes import Size, height_and_width

GRID = 32  # tiles begin at its multiples, so that an encoder with this stride samples the pixels of the whole image
SMALLEST = 2 * GRID  # side of a tile; smaller ones cannot overlap on the grid


class Pixels(Protocol):
    """An image (h, w, c) of which windows are read: an array in memory, or one that is mapped from a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(h, w, c)."""
        ...

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        """The pixels of some rows and columns."""
        ...


def starts(side: int, tile: int, overlap: float) -> list[int]:
    """Return where tiles begin along a side of an image, spread evenly; the last one ends with the image.

    overlap: least share of a tile that it has in common with the next one, in [0, 0.5].

    >>> starts(1000, 512, 0.25), starts(100, 512, 0.25)
    ([0, 256, 488], [0])
    """
    rest = side - tile
    if rest <= 0:
        return [0]
    step = int(tile * (1 - overlap)) // GRID * GRID
    steps = -(-rest // step)
    even = (-(-number * rest // (steps * GRID)) * GRID for number in range(steps))
    return [*(min(start, rest) for start in even), rest]


def windows(begins: list[int], tile: int) -> np.ndarray:
    """Weights of the pixels of each tile along one side, float32 (tiles, tile), in [0, 1].

    Over the pixels that two tiles share, the weight of one falls from 1 to 0 and that of the other rises: both change
    in the middle half alone, by a squared sine. The outer quarter has no weight, since a network sees padding there.
    """
    weights = np.ones((len(begins), tile), np.float32)
    for number, (begin, following) in enumerate(pairwise(begins)):
        shared = begin + tile - following
        place = (np.arange(shared) + 0.5) / max(1, shared)
        rising = np.sin(np.pi / 2 * np.clip(2 * place - 0.5, 0, 1)) ** 2
        weights[number + 1, :shared] *= rising
        weights[number, tile - shared :] *= rising[::-1]
    return weights


def row_blocks(
    pixels: Pixels, tile: Size, overlap: float, predict: Callable[[np.ndarray], np.ndarray], at_once: int
) -> Iterator[np.ndarray]:
    """Yield the maps of an image from the top down, float32 (..., rows, w), as soon as no tile can change them.

    tile: height and width of tiles, multiples of `GRID`; images that are smaller are continued by reflection.
    predict: tiles (b, height, width, c), at most `at_once` -> their maps, float32 (b, ..., height, width).

    Memory: of one row of tiles, (height, w) for each map and once more for the weights, besides what `predict` takes.
    """
    (height, width), (tall, wide) = pixels.shape[:2], height_and_width(tile)
    tops, lefts = starts(height, tall, overlap), starts(width, wide, overlap)
    down, right = windows(tops, tall), windows(lefts, wide)
    summed, total = np.zeros(0, np.float32), np.zeros((tall, max(width, wide)), np.float32)
    for row, top in enumerate(tops):
        for first in range(0, len(lefts), at_once):
            some = range(first, min(first + at_once, len(lefts)))
            found = predict(np.stack([_cut(pixels, top, lefts[column], tall, wide) for column in some]))
            if not summed.size:
                summed = np.zeros((*found.shape[1:-2], *total.shape), np.float32)
            for column, each in zip(some, found, strict=True):
                place, weight = slice(lefts[column], lefts[column] + wide), down[row][:, None] * right[column]
                summed[..., place] += weight * each
                total[:, place] += weight
        done = (tops[row + 1] if row + 1 < len(tops) else height) - top
        yield summed[..., :done, :width] / total[:done, :width]
        for sums in (summed, total):
            sums[..., : tall - done, :] = sums[..., done:, :].copy()
            sums[..., tall - done :, :] = 0


def _cut(pixels: Pixels, top: int, left: int, tall: int, wide: int) -> np.ndarray:
    """A tile; beyond the image it is continued by reflection, to the bottom and to the right."""
    found = pixels[top : top + tall, left : left + wide]
    height, width = found.shape[:2]
    if (height, width) == (tall, wide):
        return found
    return np.pad(found, ((0, tall - height), (0, wide - width), (0, 0)), mode="reflect")
