"""Bounds of a submission's bytes: generous for files that may be right, and checked before anything is parsed."""

from __future__ import annotations

import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.competition import Submission
from goldfold.submission import bounds

NUMBERS = pd.DataFrame({"id": [f"a{n}" for n in range(100)], "p": 0.5})
TEXT = NUMBERS.assign(p=None)
ONCE, MANY = Submission(write=None), Submission(write=None, many_per_id=True)
WRONG = {
    "columns": (b"id,q\n" + b"," * 10**6, "submission_columns_differ", "lacks column 'p'"),
    "too many columns": (b"id,p" + b",x" * 10**5 + b"\n", "submission_header_too_long", "the columns must be id, p"),
    "no line end": (b"i" * 10**6, "submission_header_too_long", "1,0"),
    "rows": (b"id,p\n" + b"a,1\n" * 10**4, "submission_too_many_lines", "has 10,001"),
    "rows of one byte": (b"id,p\r" + b"\r" * 10**5, "submission_too_many_lines", ""),
    "a long row": (b"id,p\na," + b"1" * 10**5 + b"\na,1\n", "submission_line_too_long", "has 100,002"),
    "a long last row": (b"id,p\na,1\na," + b"1" * 10**5, "submission_line_too_long", ""),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_file_beyond_its_bounds_is_refused(fault):
    data, code, told = WRONG[fault]
    with raises_code(code, told):
        bounds.of(NUMBERS, ONCE).check(data)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("head", ["id,p", "\ufeffid,p", '"id","p"'])
def test_the_sample_and_longer_numbers_are_within_them(head, end):
    lines = [head, *(f"{id_},{0.1 + number:.60f}" for number, id_ in enumerate(NUMBERS["id"]))]
    bounds.of(NUMBERS, ONCE).check((end.join(lines) + end).encode())


def test_run_lengths_and_many_rows_per_id_are_within_them():
    bounds.of(TEXT, MANY).check(b"id,p\n" + b"a1," + b"1 2 " * 10**6 + b"\n" + b"a1,1 2\n" * 10**5)


def test_what_is_no_csv_is_left_to_the_parser():
    for data in (b"", b"\xff\xfe", b"\0\n", b'"id,p\n'):
        bounds.of(NUMBERS, ONCE).check(data)
