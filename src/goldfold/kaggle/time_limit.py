"""Whether a notebook predicts a competition's test rows within the hours that Kaggle gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.io.formatting import count, duration

HOURS = 9.0  # of notebooks in most code competitions


@dataclass(frozen=True)
class TimeLimit:
    """What a notebook took here, and how many rows it predicts within the limit at that rate.

    seconds: of the whole notebook on this machine, its start included, for `rows` test rows. hours: the limit. wanted:
    rows of the hidden test set. Start and preparation are counted per row, so that the estimate errs on the safe side.
    """

    seconds: float
    rows: int
    hours: float
    wanted: int

    @property
    def per_row(self) -> float:
        return self.seconds / self.rows

    @property
    def most(self) -> int:
        """Rows within the limit."""
        return int(3600 * self.hours / self.per_row)

    @property
    def fits(self) -> bool:
        return self.wanted <= self.most

    def __str__(self) -> str:
        took = f"{count(self.rows, 'test row')} took {duration(self.seconds)} on this machine, start included"
        need = f"{self.wanted:,} rows need at most {duration(self.wanted * self.per_row)}"
        verdict = "which fits" if self.fits else f"which does NOT fit: {self.most:,} rows do"
        return f"{took}; {need} of {self.hours:g} h, {verdict}"

    def facts(self) -> dict[str, Any]:
        """What `notebook.json` records."""
        return {
            "seconds": round(self.seconds, 3),
            "rows": self.rows,
            "seconds_per_1000_rows": round(1000 * self.per_row, 3),
            "hours": self.hours,
            "wanted_rows": self.wanted,
            "most_rows": self.most,
            "fits": self.fits,
        }


def estimate(seconds: float, rows: int, hours: float, wanted: int | None) -> TimeLimit:
    """The estimate of a notebook that predicted `rows` in `seconds`; wanted: rows of the hidden test set, if known."""
    return TimeLimit(max(seconds, 1e-3), max(rows, 1), hours, wanted or rows)


def check(hours: float, wanted: int | None) -> None:
    """Refuse hours and rows that no notebook has.

    Raises:
        GoldfoldError: `invalid_time_limit`.
    """
    if hours <= 0 or (wanted is not None and wanted < 1):
        what = f"hours is {hours:g}" if hours <= 0 else f"rows is {wanted}"
        raise GoldfoldError("invalid_time_limit", f"{what} and must be more than 0: write HOURS=9 or ROWS=100000")
