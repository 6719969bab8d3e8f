"""Competitions of many kinds with good submission files, and a reference that judges files by Python's own CSV reader.

The reference shares no code with goldfold: it reads bytes with `csv`, numbers with regular expressions, and paints run
lengths pixel by pixel.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pandas as pd

from goldfold.competition import Submission
from goldfold.submission import checks
from goldfold.submission.ranked_lists import RankedLists

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
HEIGHT, WIDTH = 4, 5
Column = Callable[[list[str]], bool]


@dataclass(frozen=True)
class Kind:
    """A kind of competition.

    sample: header and rows of the sample submission. draw: a good value for a row's value column (number of the
    column, the row). columns: for each value column the reference's rule for all its cells. keys: how many leading
    columns name a row. objects: whether a key may have several rows; the reference's rule for their cells is then asked
    for each key. ids: the dtype that load() gives the ids of the test table. rules: what the competition declares.
    """

    sample: list[list[str]]
    draw: Callable[[Random, int, list[str]], str]
    columns: Sequence[Column]
    keys: int = 1
    objects: bool = False
    ids: type = str
    rules: dict = field(default_factory=dict)

    @property
    def submission(self) -> Submission:
        return Submission(write=lambda rows, predictions: rows, **self.rules)

    def test(self) -> pd.DataFrame:
        return pd.DataFrame({"id": pd.Series([row[0] for row in self.sample[1:]]).drop_duplicates().astype(self.ids)})

    def good(self, random: Random) -> list[list[str]]:
        """Return header and rows of a submission with other values than the sample's."""
        rows = [[*row[: self.keys]] for row in self.sample[1:]]
        count = len(self.sample[0]) - self.keys
        return [self.sample[0], *([*row, *(self.draw(random, at, row) for at in range(count))] for row in rows)]


def is_valid(data: bytes, kind: Kind) -> bool:
    """Judge the bytes of a submission file."""
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error):
        return False
    header, wanted = kind.sample[0], [tuple(row[: kind.keys]) for row in kind.sample[1:]]
    if "\0" in text or not rows or rows[0] != header or any(len(row) != len(header) for row in rows):
        return False
    found = [tuple(row[: kind.keys]) for row in rows[1:]]
    if (set(found) != set(wanted)) if kind.objects else (found != wanted):
        return False
    empty = [not any(cell.strip(" ") for cell in row[kind.keys :]) for row in rows[1:]]
    if kind.objects and any(blank and found.count(key) > 1 for blank, key in zip(empty, found, strict=True)):
        return False
    for at, rule in enumerate(kind.columns, kind.keys):
        if kind.objects:
            parts = [[row[at] for row in rows[1:] if tuple(row[: kind.keys]) == key] for key in set(wanted)]
        else:
            parts = [[row[at] for row in rows[1:]]]
        if not all(map(rule, parts)):
            return False
    return True


def finite(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell.strip(" \t\r\n"))) and math.isfinite(float(cell))


def numbers(cells: list[str]) -> bool:
    return all(map(finite, cells))


def shares(cells: list[str]) -> bool:
    return numbers(cells) and all(0 <= float(cell) <= 1 for cell in cells)


def whole_or_decimals(cells: list[str]) -> bool:
    """Whole numbers, or numbers of which one has decimals."""
    written = all(WHOLE.fullmatch(cell.strip(" \t\r\n")) for cell in cells)
    return numbers(cells) and (written or any(float(cell) % 1 for cell in cells))


def among(*options: str) -> Column:
    return lambda cells: set(cells) <= set(options)


def digits(cells: list[str]) -> bool:
    return all(WHOLE.fullmatch(cell.strip(" \t\r\n")) and 0 <= int(cell) <= 4 for cell in cells)


def words(cells: list[str]) -> bool:
    """Text that is not empty, and not numbers alone."""
    return all(cells) and not all(map(_is_like_a_number, cells))


def booleans(cells: list[str]) -> bool:
    return all(cell.lower() in ("true", "false") for cell in cells)


def numbers_or_words(cells: list[str]) -> bool:
    return numbers(cells) or (all(cells) and not any(_is_like_a_number(cell) for cell in cells)) or booleans(cells)


def _is_like_a_number(cell: str) -> bool:
    return bool(
        NUMBER.fullmatch(cell.strip(" \t\r\n")) or re.fullmatch(r"[+-]?inf(inity)?", cell.strip(" "), re.IGNORECASE)
    )


def plain_words(cell: str) -> list[str]:
    return [word for word in cell.split(" ") if word]


def lists(cells: list[str]) -> bool:
    """Three different ids of other rows in each cell."""
    parts = [plain_words(cell) for cell in cells]
    return all(
        len(each) == len(set(each)) == 3 and set(each) <= set(LISTED) - {own}
        for each, own in zip(parts, LISTED, strict=True)
    )


def masks(cells: list[str]) -> bool:
    """Runs of all objects of an image, painted pixel by pixel."""
    painted: Counter[int] = Counter()
    for cell in cells:
        parts = plain_words(cell)
        if len(parts) % 2 or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
            return False
        last = 0
        for start, length in zip(map(int, parts[::2]), map(int, parts[1::2]), strict=True):
            if start < 1 or length < 1 or start + length - 1 > HEIGHT * WIDTH or start <= last:
                return False
            last = start + length - 1
            painted.update(range(start, last + 1))
    return all(times == 1 for times in painted.values())


def table(header: str, ids: Sequence[str | tuple[str, str]], *values: str) -> list[list[str]]:
    keys = [[each] if isinstance(each, str) else [*each] for each in ids]
    return [header.split(","), *([*key, *values] for key in keys)]


def _share(random: Random, column: int, row: list[str]) -> str:
    return repr(round(random.random(), random.choice([2, 17])))


def _whole(random: Random, column: int, row: list[str]) -> str:
    return str(random.randrange(5))


def _word(random: Random, column: int, row: list[str]) -> str:
    return random.choice(["cat", "dog", "NA", "None"])


def _runs(random: Random, column: int, row: list[str]) -> str:
    first = random.randrange(1, 8)
    return random.choice(["", f"{first} {random.randrange(1, 5)}", f"{first} 2 {first + 3} {random.randrange(1, 9)}"])


def _list(random: Random, column: int, row: list[str]) -> str:
    return " ".join(random.sample([each for each in LISTED if each != row[0]], 3))


NAMES = [f"img_{number}.png" for number in (3, 1, 2, 10, 7, 12)]
PADDED = ["00200", "00007", "01234", "00000", "10000", "00010"]
ODD = ["NA", "2.00", "200e5", "null", "-0", "1e3", "True", "0x1F", "12345678901234567890", "nan"]
UNICODE = ["点0", "é", "e\u0301x", "Ω,1", 'q"t', "ﬁ", "a\rb", "😀", "x y"]
PAIRS = [(image, str(number)) for image in ("07", "b", "c") for number in range(3)]
LISTED = ["0001", "0002", "0003", "0004", "x5", "6"]
LISTS = RankedLists("images", length=3)
IS_SHARE, IS_DIGIT = {"checks": {"p": checks.between(0, 1)}}, {"checks": {"p": checks.one_of(0, 1, 2, 3, 4)}}
OF_WORDS = {"checks": {"p": checks.one_of("cat", "dog", "NA", "None")}}
CLASSES = among("cat", "dog", "NA", "None")
OBJECTS = {
    "checks": {"runs": checks.run_lengths(lambda test: dict.fromkeys(test["id"], (HEIGHT, WIDTH)))},
    "many_per_id": True,
    "may_be_empty": ["runs"],
}
KINDS = {
    "int ids": Kind(table("id,p", ["0", "1", "2", "10", "892"], "0.5"), _share, [numbers], ids=int),
    "zero-padded ids": Kind(table("id,p", PADDED, "0.5"), _share, [shares], rules=IS_SHARE),
    "text ids": Kind(table("image,p", NAMES, "0.5"), _share, [shares], rules=IS_SHARE),
    "ids like numbers": Kind(table("id,p", ODD, "0"), _whole, [digits], rules=IS_DIGIT),
    "Unicode ids": Kind(table("id,p", UNICODE, "0.5"), _share, [numbers]),
    "two float columns": Kind(table("id,a,b", NAMES, "0.5", "0.5"), _share, [numbers, numbers]),
    "classes as text": Kind(table("id,p", NAMES, "cat"), _word, [CLASSES], rules=OF_WORDS),
    "text without a check": Kind(table("id,p", NAMES, "cat"), _word, [words]),
    "whole numbers": Kind(table("id,p", PADDED, "0"), _whole, [digits], rules=IS_DIGIT),
    "whole numbers without a check": Kind(table("id,p", NAMES, "0"), _whole, [whole_or_decimals]),
    "booleans": Kind(table("id,p", NAMES, "True"), lambda random, *_: random.choice(["True", "False"]), [booleans]),
    "run lengths": Kind(table("id,runs", ["0", "1", "2", "3"], "1 1"), _runs, [masks], 1, True, int, OBJECTS),
    "run lengths of padded ids": Kind(table("id,runs", PADDED, "1 1"), _runs, [masks], 1, True, str, OBJECTS),
    "inferred keys": Kind(table("image,class,p", PAIRS, "0.5"), _share, [numbers], 2),
    "declared keys": Kind(
        table("image,class,p", PAIRS, "0.5"), _share, [shares], 2, rules={**IS_SHARE, "keys": ("image", "class")}
    ),
    "ranked lists": Kind(table("id,images", LISTED, "a b"), _list, [lists], rules={"checks": {"images": LISTS.check}}),
    "blank sample": Kind(table("id,p", NAMES, ""), _share, [numbers_or_words]),
    "blank sample of classes": Kind(
        table("id,p", NAMES, ""), _word, [among("cat", "dog", "NA", "None")], rules=OF_WORDS
    ),
}
