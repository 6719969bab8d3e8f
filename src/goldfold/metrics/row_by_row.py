"""Predictions that are computed when a row is read, so that maps of many images are never copied as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class RowByRow:
    """Predictions (n, ...) of which each row is decided when it is read.

    source: (n, ...) predictions. decide: (position in `source`, its row) -> the row as it is read.
    dtype: of the rows; object for rows of different shapes.

    >>> doubled = RowByRow(np.array([[1.0], [2.0], [3.0]]), lambda position, row: 2 * row)
    >>> doubled.shape, [row.tolist() for row in doubled[np.array([2, 0])]]
    ((3, 1), [[6.0], [2.0]])
    """

    def __init__(
        self,
        source: np.ndarray,
        decide: Callable[[int, np.ndarray], np.ndarray],
        dtype: Any = None,
        positions: np.ndarray | None = None,
    ):
        self.source, self.decide = source, decide
        self.dtype = np.dtype(source.dtype if dtype is None else dtype)
        self.positions = np.arange(len(source)) if positions is None else positions

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.positions), *(() if self.dtype == object else self.source.shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.decide(int(position), self.source[position]) for position in self.positions)

    def __getitem__(self, index: Any) -> Any:
        chosen = self.positions[index]
        if np.ndim(chosen) == 0:
            return self.decide(int(chosen), self.source[chosen])
        return RowByRow(self.source, self.decide, self.dtype, chosen)

    def array(self) -> np.ndarray:
        """All rows in memory, (n, ...), or (n,) objects."""
        found = np.empty(self.shape, self.dtype)
        for position, row in enumerate(self):
            found[position] = row
        return found
