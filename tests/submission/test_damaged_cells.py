"""Submissions whose commas, spaces or rows a lenient reader would overlook are refused in one sentence each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from goldfold.competition import Submission
from goldfold.errors import GoldfoldError
from goldfold.submission import checks, writing
from goldfold.submission.ranked_lists import RankedLists

TEST = pd.DataFrame({"id": ["a", "b", "c", "d"]})
MASKS = Submission(
    write=lambda test, predictions: test,
    checks={"rle": checks.run_lengths(lambda test: dict.fromkeys(test["id"], (4, 5)))},
    many_per_id=True,
    may_be_empty=("rle",),
)
LISTS = Submission(
    write=lambda test, predictions: test, checks={"near": RankedLists(column="near", length=2, depth=2).check}
)
NUMBERS = Submission(write=lambda test, predictions: test)
SAMPLES = {
    "masks": (MASKS, pd.DataFrame({"id": list("abcd"), "rle": ["", "", "", ""]})),
    "lists": (LISTS, pd.DataFrame({"id": list("abcd"), "near": ["b c", "a c", "a b", "a b"]})),
    "numbers": (NUMBERS, pd.DataFrame({"id": list("abcd"), "count": [1, 2, 3, 4]})),
}
GOOD = {
    "masks": "id,rle\na,1 2\na,5 3\nb,\nc,10 2 15 1\nd,\n",
    "lists": "id,near\na,b c\nb,a c\nc,a b\nd,a b\n",
    "numbers": "id,count\na,5\nb,6\nc,7\nd,10\n",
}
SPACES = {
    "tab": "\t",
    "newline": "\n",
    "return": "\r",
    "no-break": "\u00a0",
    "thin": "\u2009",
    "vertical": "\x0b",
    "unit": "\x1f",
}


def read(kind: str, text: str, tmp_path: Path) -> None:
    submission, sample = SAMPLES[kind]
    (tmp_path / "x.csv").write_bytes(text.encode())
    writing.read_checked(tmp_path / "x.csv", sample, TEST, submission)


@pytest.mark.parametrize("kind", GOOD)
def test_good_files_are_read(kind: str, tmp_path: Path) -> None:
    read(kind, GOOD[kind], tmp_path)


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("rows", ["all", "body", "one"])
def test_trailing_commas_are_refused(kind: str, rows: str, tmp_path: Path) -> None:
    lines = GOOD[kind].splitlines()
    which = {"all": range(5), "body": range(1, len(lines)), "one": [2]}[rows]
    text = "\n".join(f"{line}," if at in which else line for at, line in enumerate(lines)) + "\n"
    with pytest.raises(GoldfoldError):
        read(kind, text, tmp_path)


@pytest.mark.parametrize("rows", ["a,1 2\nb\nc,\nd,\n", "a,1 2\nb,3 1,\nc\nd,\n", "a\nb\nc\nd\n"])
def test_rows_without_a_comma_are_refused(rows: str, tmp_path: Path) -> None:
    with pytest.raises(GoldfoldError):
        read("masks", f"id,rle\n{rows}", tmp_path)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("kind", "was", "between"), [("masks", "1 2", "1{}2"), ("lists", "b c", "b{}c")])
def test_only_plain_spaces_separate(kind: str, was: str, between: str, space: str, tmp_path: Path) -> None:
    cell = '"' + between.format(SPACES[space]) + '"'
    with pytest.raises(GoldfoldError) as error:
        read(kind, GOOD[kind].replace(was, cell, 1), tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("space", [*SPACES, "plain"])
def test_spaces_inside_integers_are_refused(space: str, tmp_path: Path) -> None:
    cell = '"1' + SPACES.get(space, " ") + '0"'
    with pytest.raises(GoldfoldError):
        read("numbers", GOOD["numbers"].replace("10", cell), tmp_path)
    with pytest.raises(GoldfoldError):
        read("masks", GOOD["masks"].replace("10 2", f'{cell[:-1]} 2"'), tmp_path)


@pytest.mark.parametrize("cell", ["", '""', " ", '" "'])
@pytest.mark.parametrize("place", ["before", "after"])
def test_an_empty_row_beside_objects_is_refused(cell: str, place: str, tmp_path: Path) -> None:
    rows = f"a,{cell}\na,1 2\n" if place == "before" else f"a,1 2\na,{cell}\n"
    with pytest.raises(GoldfoldError) as error:
        read("masks", GOOD["masks"].replace("a,1 2\n", rows), tmp_path)
    assert error.value.code == "submission_value_invalid"


def test_two_empty_rows_of_an_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GoldfoldError, match="empty row"):
        read("masks", GOOD["masks"].replace("b,\n", "b,\nb,\n"), tmp_path)


@pytest.mark.parametrize(
    ("returned", "code"),
    [
        (None, "submission_not_a_frame"),
        ({"id": list("abcd"), "count": [1, 2, 3, 4]}, "submission_not_a_frame"),
        (pd.Series([1, 2, 3, 4]), "submission_not_a_frame"),
        (
            pd.DataFrame({"id": list("abcd"), "count": pd.Series(list(torch.arange(4)), dtype=object)}),
            "submission_value_not_plain",
        ),
        (pd.DataFrame({"id": list("abcd"), "count": [[1], [2], [3], [4]]}), "submission_value_not_plain"),
    ],
    ids=["None", "dict", "Series", "tensors", "lists"],
)
def test_what_is_no_table_of_numbers_and_text_is_refused(returned: object, code: str) -> None:
    with pytest.raises(GoldfoldError) as error:
        writing.check(returned, SAMPLES["numbers"][1], TEST, NUMBERS)
    assert error.value.code == code
