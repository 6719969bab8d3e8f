"""Input images: RGB, or slices of a volume with the slices before and after them as channels (2.5D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import letterbox, reading
from goldfold.recipes.segmentation.params import SegmenterParams

if TYPE_CHECKING:
    from pandas import DataFrame


class SliceColumns(NamedTuple):
    """Columns that say which slice of which volume a row shows; numbers of neighboring slices differ by 1."""

    volume: str
    slice: str


@dataclass(frozen=True)
class Inputs:
    """The images of some rows, read when they are asked for.

    beside: int64 (n, channels), the rows whose gray images are the channels of each row; None: the row's own, in RGB.
    """

    params: SegmenterParams
    paths: list[str | Path]
    beside: np.ndarray | None

    def load(self, positions: Sequence[int]) -> np.ndarray:
        """Read the images of rows at image_size, uint8 (b, height, width, channels)."""
        if self.beside is None:
            return self._read(positions, gray=False)
        needed, places = np.unique(self.beside[list(positions)], return_inverse=True)
        gray = self._read(needed.tolist(), gray=True)[..., 0]
        return stacked(gray, places.reshape(len(positions), -1))

    def _read(self, positions: Sequence[int], gray: bool) -> np.ndarray:
        read = letterbox.load if self.params.fit == "letterbox" else reading.load_resized
        return read([self.paths[position] for position in positions], self.params.image_size, gray)


def of(rows: DataFrame, params: SegmenterParams, columns: SliceColumns | None) -> Inputs:
    """Return the images of rows, with the neighbors that `params` asks for."""
    found = beside(rows, columns, params.neighbors) if columns and params.neighbors else None
    return Inputs(params, list(rows["path"]), found)


def stacked(gray: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Stack gray images (n, h, w) as channels: rows `beside` (b, channels) -> (b, h, w, channels)."""
    return np.ascontiguousarray(np.moveaxis(gray[beside], 1, -1))


def beside(rows: DataFrame, columns: SliceColumns, neighbors: int) -> np.ndarray:
    """Return the positions of the slices that each row shows, in their order: int64 (n, 2 * neighbors + 1).

    Where a slice is not among the rows, at the end of a volume or of a block, the next one towards the row stands in.

    Raises:
        GoldfoldError: those of `check`.
    """
    check(columns, rows)
    keys = list(zip(rows[columns.volume].tolist(), rows[columns.slice].astype(int).tolist(), strict=True))
    known = {key: position for position, key in enumerate(keys)}
    found = np.tile(np.arange(len(keys))[:, None], 2 * neighbors + 1)
    for distance in range(1, neighbors + 1):
        for side in (-1, 1):
            inner = found[:, neighbors + side * (distance - 1)]
            wanted = ((volume, number + side * distance) for volume, number in keys)
            found[:, neighbors + side * distance] = [
                known.get(key, own) for key, own in zip(wanted, inner.tolist(), strict=True)
            ]
    return found


def check(columns: SliceColumns, rows: DataFrame, table: str = "these rows") -> None:
    """Refuse rows without the columns (`unknown_column`), or with other slices than whole numbers (`slice_invalid`)."""
    for column in columns:
        if column not in rows:
            raise GoldfoldError(
                "unknown_column",
                f"neighbors needs the column '{column}', which {table} do not have: add it in load(), or set "
                "neighbors=0",
            )
    numbers = np.asarray(rows[columns.slice])
    if numbers.dtype.kind not in "iuf" or not np.all(np.isfinite(numbers) & (numbers % 1 == 0)):
        raise GoldfoldError(
            "slice_invalid",
            f"the column '{columns.slice}' of {table} must number slices by whole numbers, such as 0, 1, 2: number "
            "them in load()",
        )
