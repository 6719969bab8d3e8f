"""Neighbors in time: which rows of one sequence lie within a guard of each other and count as near-duplicates.

Two rows are near-duplicates if they are of one sequence and their times differ by the guard or less, up to `rounding`.
The answer for two rows depends on these two rows only, never on the rest of the table. Folds, audits, retrieval
metrics, queries and batches all use this module, so that they agree at the edge of the guard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.data.column_values import check_one_kind
from goldfold.errors import GoldfoldError, unknown

if TYPE_CHECKING:
    from goldfold.optional_parts import Neighbors

FLOAT32, FLOAT64 = 2.0**-23, 2.0**-52  # relative distance of neighboring numbers
WIDER = 1 / 1000  # largest share of a guard by which rounding may widen it
NUMBERS = {"integer", "floating", "mixed-integer-float", "empty"}  # as pandas names the kinds of values


def rounding(times: np.ndarray, guard: float) -> np.ndarray:
    """Return the rounding tolerance of each time, float64 (n,), in the unit of the times.

    Frame numbers divided by a frame rate, float32 columns and times written as text can be off by half of float32's
    last digit. The tolerance is one whole such digit, |time| * 2**-23, at most 1/2000 of the guard (two times together
    widen it by at most 1/1000), and at least two last digits of float64. Unix timestamps must therefore be float64:
    float32 rounds them to minutes.

    >>> 0.4 - 0.3 <= 0.1
    False
    >>> timeline(["a", "a"], [0.3, 0.4]).near_duplicates(0.1, 0).tolist()
    [False, True]
    """
    size = np.abs(times)
    return np.maximum(2 * FLOAT64 * size, np.minimum(FLOAT32 * size, guard * WIDER / 2))


@dataclass(frozen=True)
class Windows:
    """For each of some rows, the other rows within a guard of it: a slice of `order`.

    order: int64 (m,), positions of the other rows by sequence and time; rows without sequence or time are left out.
    place: int64 (others,), the place of each of the other rows in `order`, -1 if it was left out.
    start, stop: int64 (rows,), the slice of `order` that lies within the guard of each row.
    """

    order: np.ndarray
    place: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def any(self) -> np.ndarray:
        """Return whether each row has one of the others within the guard, bool (rows,)."""
        return self.stop > self.start

    def of(self, row: int) -> np.ndarray:
        """Return the positions of the other rows within the guard of one row, ordered by time."""
        return self.order[self.start[row] : self.stop[row]]

    def pairs(self, some: slice = slice(None)) -> np.ndarray:
        """Return which of the other rows are within the guard of a slice of the rows, bool (some, others)."""
        return (self.start[some, None] <= self.place) & (self.place < self.stop[some, None])

    def any_of(self, row: int, others: Sequence[int]) -> bool:
        """Return whether any of `others`, indices into the other rows, is within the guard of `row`."""
        place = self.place[np.asarray(others, np.int64)]
        return bool(((self.start[row] <= place) & (place < self.stop[row])).any())


@dataclass(frozen=True)
class Timeline:
    """The sequence and the time of each row.

    sequences: int64 (n,), codes from 0; -1 for a row without sequence or time.
    times: float64 (n,), NaN where there is none.
    """

    sequences: np.ndarray
    times: np.ndarray

    def windows(self, guard: float, rows: np.ndarray | None = None, others: np.ndarray | None = None) -> Windows:
        """Find which of `others` are within the guard of each of `rows`; both are positions, None means all rows.

        A row is within any guard of itself. A row without sequence or time is never within a guard. Rows are sorted
        instead of compared in pairs: O(n log n).

        Raises:
            GoldfoldError: `guard_negative`, the guard is negative or NaN.
        """
        if not guard >= 0:
            raise GoldfoldError(
                "guard_negative", f"the guard must be 0 or more, got {guard}: give it in the unit of the times"
            )
        every = np.arange(len(self.times))
        rows, others = (every if some is None else np.asarray(some, np.int64) for some in (rows, others))
        order, place = self._ordered(others)
        start, stop = np.zeros((2, len(rows)), np.int64)
        tolerance = rounding(self.times, guard)
        earliest, latest = self.times - tolerance, self.times + tolerance
        for part in _groups(self.sequences[rows]):
            members = rows[part]
            first, last = np.searchsorted(self.sequences[order], self.sequences[members[0]] + np.array([0, 1]))
            own = order[first:last]
            start[part] = first + np.searchsorted(latest[own] + guard, earliest[members], "left")
            stop[part] = first + np.searchsorted(earliest[own], latest[members] + guard, "right")
        return Windows(order, place, start, stop)

    def _ordered(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `order` and `place` of `Windows`."""
        known = np.flatnonzero(self.sequences[rows] >= 0)
        by_time = known[np.lexsort((self.times[rows[known]], self.sequences[rows[known]]))]
        place = np.full(len(rows), -1)
        place[by_time] = np.arange(len(by_time))
        return rows[by_time], place

    def near_duplicates(self, guard: float, position: int) -> np.ndarray:
        """Return which rows are near-duplicates of the row at `position`, bool (n,); False for the row itself."""
        return self.windows(guard, np.array([position])).pairs()[0] & (np.arange(len(self.times)) != position)

    def nearest(self, position: int, among: np.ndarray) -> tuple[int, float]:
        """Return the row of `among`, rows of one sequence, nearest in time to `position`, and the time between."""
        apart = np.abs(self.times[among] - self.times[position])
        return int(among[apart.argmin()]), float(apart.min())

    def members(self) -> Iterator[np.ndarray]:
        """Yield the row positions of each sequence, ascending."""
        return _groups(self.sequences)


def timeline(sequences: np.ndarray | Sequence, times: np.ndarray | Sequence[float]) -> Timeline:
    """Build the timeline of rows that all have a sequence (any hashable value) and a time (a finite number).

    Raises:
        GoldfoldError: `lengths_differ`; `timeline_empty`, there are no rows; `sequence_or_time_missing`, with the first
            such row; `times_not_numeric`; `values_mixed`, numbers and text among the sequences.
    """
    line = _placed(sequences, times, "times")
    if not len(line.times):
        raise GoldfoldError("timeline_empty", "there are 0 rows with a sequence and a time: check what was loaded")
    if (wrong := line.sequences < 0).any():
        raise GoldfoldError(
            "sequence_or_time_missing",
            f"every row needs a sequence and a finite number as its time, but {wrong.sum()} of {len(wrong)} have none, "
            f"first row {wrong.argmax()}: fill or drop them",
        )
    return line


def of_table(rows: pd.DataFrame, columns: Neighbors) -> Timeline:
    """Build the timeline of a table; rows whose sequence or time is missing or infinite have no neighbors.

    Raises:
        GoldfoldError: `unknown_column`; `times_not_numeric`; `values_mixed`.
    """
    for column in (columns.sequence, columns.time):
        if column not in rows:
            raise unknown("column of sequences or times", column, map(str, rows.columns), code="unknown_column")
    return _placed(rows[columns.sequence], rows[columns.time], f"times in '{columns.time}'")


def _placed(sequences: Any, times: Any, what: str) -> Timeline:
    owners, values = pd.Series(sequences), pd.Series(times)
    if len(owners) != len(values):
        raise GoldfoldError(
            "lengths_differ", f"got {len(owners)} sequences and {len(values)} times: give each row one of each"
        )
    check_one_kind(owners, "the column of sequences")
    if (kind := pd.api.types.infer_dtype(values, skipna=True)) not in NUMBERS:
        raise GoldfoldError(
            "times_not_numeric",
            f"{what} must be numbers in the unit of the guard, but are {kind}: convert them to frame numbers or "
            "seconds, dates by (time - time.min()).dt.total_seconds()",
        )
    found = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    codes, known = pd.factorize(owners)[0], np.isfinite(found)
    return Timeline(np.where(known, codes, -1).astype(np.int64), np.where(known, found, np.nan))


def _groups(codes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the indices of each code from 0, ascending; negative codes are skipped."""
    order = np.argsort(codes, kind="stable")
    order = order[np.searchsorted(codes[order], 0) :]
    ends = np.flatnonzero(np.diff(codes[order])) + 1
    return (part for part in np.split(order, ends) if len(part))
