"""Neighbors in time: which rows of one sequence lie within a guard of each other, decided here and nowhere else.

Frames of a recording and windows of a signal are near-duplicates of those next to them. Folds, audits, metrics of
retrieval, queries and batches all ask this module, so that they agree at the edge of the guard.

The rule: two rows are near-duplicates if they are of one sequence and their times differ by the guard or less, up to
`rounding`. The answer for two rows depends on these two alone, never on the other rows of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError, unknown

if TYPE_CHECKING:
    from goldfold.optional_parts import Neighbors

FLOAT32, FLOAT64 = 2.0**-23, 2.0**-52  # relative distance of neighboring numbers
WIDER = 1 / 1000  # share of itself by which rounding may widen a guard
NUMBERS = {"integer", "floating", "mixed-integer-float", "empty"}  # as pandas names the kinds of values


def rounding(times: np.ndarray, guard: float) -> np.ndarray:
    """How far each recorded time may be from the true one by rounding, float64 (n,), in the unit of the times.

    Frame numbers divided by a frame rate, float32 columns and times written as text are off by up to half of float32's
    last digit; allowed is the whole digit, |time| * 2**-23. Two times together widen a guard by 1/1000 of it at most:
    float32 would round unix timestamps to minutes, so they must be float64. At least two digits of float64 are allowed.

    >>> 0.4 - 0.3 <= 0.1
    False
    >>> timeline(["a", "a"], [0.3, 0.4]).near(0.1, 0).tolist()
    [False, True]
    """
    size = np.abs(times)
    return np.maximum(2 * FLOAT64 * size, np.minimum(FLOAT32 * size, guard * WIDER / 2))


@dataclass(frozen=True)
class Windows:
    """The rows within a guard of each asked row: a slice of the other rows, ordered by sequence and time.

    order: int64 (m,), positions of the other rows; those without sequence or time are left out. place: int64, of each
    of the other rows its place in `order`, -1 if left out. start, stop: int64 (asked,), the slice of each asked row.
    """

    order: np.ndarray
    place: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def any(self) -> np.ndarray:
        """Whether an asked row has another row within the guard, bool (asked,)."""
        return self.stop > self.start

    def of(self, asked: int) -> np.ndarray:
        """The positions of the rows within the guard of one asked row, in the order of time."""
        return self.order[self.start[asked] : self.stop[asked]]

    def pairs(self, some: slice = slice(None)) -> np.ndarray:
        """Which of the other rows are within the guard of some of the asked ones, bool (some, others)."""
        return (self.start[some, None] <= self.place) & (self.place < self.stop[some, None])

    def among(self, asked: int, others: Sequence[int]) -> bool:
        """Whether one of some other rows is within the guard of an asked row; `others`: as they were given."""
        place = self.place[others]
        return bool(((self.start[asked] <= place) & (place < self.stop[asked])).any())


@dataclass(frozen=True)
class Timeline:
    """Rows in time. sequences: int64 (n,), from 0, -1 for a row without sequence or time. times: float64 (n,)."""

    sequences: np.ndarray
    times: np.ndarray

    def windows(self, guard: float, asked: np.ndarray | None = None, others: np.ndarray | None = None) -> Windows:
        """Which of `others` are within the guard of each of `asked`; both are positions, all rows if None.

        A row is within any guard of itself. A row without sequence or time is within no guard of any row. The rows are
        sorted, not compared in pairs: O(n log n).

        Raises:
            GoldfoldError: a negative guard, or one that is not a number.
        """
        if not guard >= 0:
            raise GoldfoldError(f"a guard must be 0 or more, got {guard}: give it in the unit of the times")
        every = np.arange(len(self.times))
        asked, others = (every if rows is None else np.asarray(rows, np.int64) for rows in (asked, others))
        order, place = self._ordered(others)
        start, stop = np.zeros((2, len(asked)), np.int64)
        off = rounding(self.times, guard)
        earliest, latest = self.times - off, self.times + off
        for part in _groups(self.sequences[asked]):
            rows = asked[part]
            first, last = np.searchsorted(self.sequences[order], self.sequences[rows[0]] + np.array([0, 1]))
            own = order[first:last]
            start[part] = first + np.searchsorted(latest[own] + guard, earliest[rows], "left")
            stop[part] = first + np.searchsorted(earliest[own], latest[rows] + guard, "right")
        return Windows(order, place, start, stop)

    def _ordered(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`order` and `place` of `Windows`."""
        known = np.flatnonzero(self.sequences[rows] >= 0)
        turn = known[np.lexsort((self.times[rows[known]], self.sequences[rows[known]]))]
        place = np.full(len(rows), -1)
        place[turn] = np.arange(len(turn))
        return rows[turn], place

    def near(self, guard: float, position: int) -> np.ndarray:
        """Which rows are near-duplicates of the one at `position`, bool (n,); the row itself is none."""
        return self.windows(guard, np.array([position])).pairs()[0] & (np.arange(len(self.times)) != position)

    def nearest(self, position: int, among: np.ndarray) -> tuple[int, float]:
        """The row of `among`, all of the same sequence, that is nearest in time to a row, and the time between them."""
        apart = np.abs(self.times[among] - self.times[position])
        return int(among[apart.argmin()]), float(apart.min())

    def members(self) -> Iterator[np.ndarray]:
        """The positions of each sequence's rows, ascending."""
        return _groups(self.sequences)


def timeline(sequences: Sequence, times: Sequence[float]) -> Timeline:
    """Rows of which each must have a sequence, a value of any hashable kind, and a time, a finite number.

    Raises:
        GoldfoldError: lengths that differ, no rows, a missing sequence, times that are missing, infinite or no numbers.
    """
    line = _placed(sequences, times, "times")
    if not len(line.times):
        raise GoldfoldError("0 sequences and times were given and 1 or more are needed: look at what was loaded")
    if (wrong := line.sequences < 0).any():
        raise GoldfoldError(
            f"every row needs a sequence and a finite number as its time, but {wrong.sum()} of {len(wrong)} have none, "
            f"first row {wrong.argmax()}: fill or drop them"
        )
    return line


def of_table(rows: pd.DataFrame, columns: Neighbors) -> Timeline:
    """Rows of a table; one whose sequence or time is missing or infinite is nobody's neighbor.

    Raises:
        GoldfoldError: a column is not there, or times are no numbers.
    """
    for column in (columns.sequence, columns.time):
        if column not in rows:
            raise unknown("column of sequences or times", column, map(str, rows.columns))
    return _placed(rows[columns.sequence], rows[columns.time], f"times in '{columns.time}'")


def _placed(sequences: Sequence, times: Sequence[float], what: str) -> Timeline:
    owners, values = pd.Series(sequences), pd.Series(times)
    if len(owners) != len(values):
        raise GoldfoldError(f"{len(owners)} sequences need as many times, got {len(values)}: give each row one of each")
    if (kind := pd.api.types.infer_dtype(values, skipna=True)) not in NUMBERS:
        raise GoldfoldError(
            f"{what} must be numbers in the unit of the guard and are {kind}: turn them into frame numbers or seconds, "
            "dates by (time - time.min()).dt.total_seconds()"
        )
    found = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    codes, known = pd.factorize(owners)[0], np.isfinite(found)
    return Timeline(np.where(known, codes, -1).astype(np.int64), np.where(known, found, np.nan))


def _groups(codes: np.ndarray) -> Iterator[np.ndarray]:
    """The places of each code from 0, ascending."""
    turn = np.argsort(codes, kind="stable")
    turn = turn[np.searchsorted(codes[turn], 0) :]
    ends = np.flatnonzero(np.diff(codes[turn])) + 1
    return (part for part in np.split(turn, ends) if len(part))
