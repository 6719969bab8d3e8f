"""Bounds that the bytes of a submission keep before anything parses them, so that no file is slow to refuse."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goldfold.data import csv_tables
from goldfold.submission import sample_checks

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Submission

TIMES = 4  # as much as the sample has: what is a little wrong is told more exactly once it is parsed
SPARE = 1000  # bytes, or lines, beyond
OF_NUMBER = 100  # bytes of a number
OF_TEXT = 16 * 2**20  # bytes of a line with text, such as the run lengths of a large mask
PER_ID = 1000  # lines per line of the sample, if an id may have many
LINE_END = re.compile(rb"[\r\n]")


@dataclass(frozen=True)
class Bounds:
    """Bounds of a file. columns: of the sample; header, line: bytes; lines: number of lines, the header included."""

    columns: tuple[str, ...]
    header: int
    line: int
    lines: int

    def check(self, data: bytes) -> None:
        """Check the header first, then the number of lines, then their lengths.

        Raises:
            GoldfoldError: `submission_columns_differ`, or `submission_` with header_too_long, too_many_lines or
                line_too_long.
        """
        self._check_header(data)
        count = data.count(b"\n") + data.count(b"\r")
        if count > self.lines:
            rule = f"it may have about as many lines as the sample and has {count:,}, more than {self.lines:,}"
            raise sample_checks.invalid("submission_too_many_lines", rule)
        longest = _longest_line(data)
        if longest > self.line:
            rule = f"a line may have at most {self.line:,} bytes, and the longest line has {longest:,}"
            raise sample_checks.invalid("submission_line_too_long", rule)

    def _check_header(self, data: bytes) -> None:
        end = LINE_END.search(data, 0, self.header + 1)
        if end is None and len(data) > self.header:
            names = ", ".join(self.columns[:9]) + (", ..." if len(self.columns) > 9 else "")
            rule = f"its header is longer than {self.header:,} bytes, and the columns must be {names}"
            raise sample_checks.invalid("submission_header_too_long", rule)
        line = data[: end.start() if end else None]
        try:
            found = next(csv.reader([line.decode("utf-8-sig")], strict=True), [])
        except (UnicodeDecodeError, csv.Error):
            return  # the parser tells what it is
        if found and b"\0" not in line:
            sample_checks.check_columns(found, self.columns)


def of(sample: DataFrame, submission: Submission) -> Bounds:
    """Bounds for the submissions of a competition."""
    lines = csv_tables.to_text(sample).encode("utf-8", "replace").split(b"\n")
    header, values = len(lines[0]), sample[list(sample.columns[1:])]
    text = any(sample_checks.is_text(values[name]) or values[name].isna().all() for name in values)
    number = TIMES * max(map(len, lines)) + OF_NUMBER * len(sample.columns) + SPARE
    count = (PER_ID if submission.many_per_id else TIMES) * len(lines) + SPARE
    return Bounds(
        columns=tuple(map(str, sample.columns)),
        header=TIMES * header + SPARE,
        line=max(number, OF_TEXT) if text else number,
        lines=2 * count,  # a carriage return may stand beside each line feed
    )


def _longest_line(data: bytes) -> int:
    found = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero((found == ord("\n")) | (found == ord("\r")))
    edges = np.concatenate([[-1], ends, [len(data)]])
    return int(np.diff(edges).max()) - 1
