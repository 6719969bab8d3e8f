"""How the predictions of an export differ from those of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

HALF = 1e-3  # tolerance of predictions that the run keeps as float16, whose values near 1 are 5e-4 apart


@dataclass(frozen=True)
class Equality:
    """Differences over some test rows.

    largest: absolute difference. tolerance: of it. moved: the largest change of a row's rank, in places, over columns.
    swapped: the largest difference of the run's predictions between two rows whose order the export reverses, 0 if it
    reverses none; None where predictions are not compared by rank (maps, embeddings).
    """

    rows: int
    largest: float
    tolerance: float
    moved: int | None
    swapped: float | None

    @property
    def holds(self) -> bool:
        return self.largest <= self.tolerance and (self.swapped or 0.0) <= self.tolerance

    def __str__(self) -> str:
        told = f"{self.rows:,} test rows: largest difference {self.largest:.2g} (tolerance {self.tolerance:.2g})"
        if self.swapped is None:
            return told
        if not self.swapped and not self.moved:
            return f"{told}, the same ranks"
        return f"{told}; rows that change their order differ by {self.swapped:.2g} at most, by {self.moved} places"

    def facts(self) -> dict[str, Any]:
        return vars(self)


def compare(own: np.ndarray, found: np.ndarray, tolerance: float, ranked: bool) -> Equality:
    """Compare predictions (n, ...) of a run with those of its export.

    tolerance: absolute, times the largest prediction of the run if that is above 1. ranked: whether rows are compared
    by the ranks of each column.
    """
    if own.shape != found.shape:
        return Equality(len(own), np.inf, tolerance, None, None)
    expected, given = own.astype(np.float64), found.astype(np.float64)
    wanted = max(tolerance, HALF) if own.dtype == np.float16 else tolerance
    wanted *= max(1.0, float(np.abs(expected).max(initial=0)))
    largest = float(np.abs(expected - given).max(initial=0))
    if not ranked or own.ndim > 2:
        return Equality(len(own), largest, wanted, None, None)
    columns = list(zip(expected.reshape(len(own), -1).T, given.reshape(len(own), -1).T, strict=True))
    swapped, moved = max(swap(*pair) for pair in columns), max(change(*pair) for pair in columns)
    return Equality(len(own), largest, wanted, moved, swapped)


def swap(expected: np.ndarray, given: np.ndarray) -> float:
    """The largest difference of expected values (n,) between two rows whose order the given values reverse."""
    in_order = expected[np.lexsort((expected, given))]  # equal given values reverse nothing
    return float((np.maximum.accumulate(in_order) - in_order).max(initial=0))


def change(expected: np.ndarray, given: np.ndarray) -> int:
    """The largest change of a row's rank, in places; equal values have the order of the expected ones."""
    ranks = np.empty((2, len(expected)), np.int64)
    for place, order in enumerate((np.argsort(expected, kind="stable"), np.lexsort((expected, given)))):
        ranks[place, order] = np.arange(len(expected))
    return int(np.abs(ranks[0] - ranks[1]).max(initial=0))
