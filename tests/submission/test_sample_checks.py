"""Blank samples, 1.0 for 1, carriage returns, missing fields, and keys of several columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.competition import Submission
from goldfold.submission.checks import between, number, one_of, run_lengths
from goldfold.submission.sample_checks import key_columns
from goldfold.submission.writing import check, read_checked, write

PLAIN = Submission(write=lambda rows, predictions: rows)
IDS = pd.DataFrame({"id": ["a", "b", "c", "d"]})


def both(frame: pd.DataFrame, sample: pd.DataFrame, folder: Path, rules: Submission = PLAIN) -> None:
    """Check a frame, and its file as somebody else may have written it."""
    check(frame, sample, IDS, rules)
    write(frame, folder / "s.csv", {})
    read_checked(folder / "s.csv", sample, IDS, rules)


def refused(frame: pd.DataFrame, sample: pd.DataFrame, folder: Path, code: str, fact: str = "", **rules) -> None:
    rules = Submission(write=PLAIN.write, **rules)
    with raises_code(code, fact):
        check(frame, sample, IDS, rules)
    write(frame, folder / "s.csv", {})
    with raises_code(code, fact):
        read_checked(folder / "s.csv", sample, IDS, rules)


# --- kinds of values -------------------------------------------------------------------------------------------------

BLANK = IDS.assign(p=np.nan)


@pytest.mark.parametrize("values", [[0.5, 1, 2e-9, -3], ["cat", "dog", "1 2", "x"], [True, False, True, True]])
def test_a_column_that_is_blank_in_the_sample_takes_numbers_or_text(values, tmp_path):
    both(IDS.assign(p=values), BLANK, tmp_path)


@pytest.mark.parametrize(
    ("values", "code", "fact"),
    [
        ([0.5, np.inf, 1, 2], "submission_value_infinite", r"line 3 \(id b, found inf\)"),
        ([0.5, 0.25, "dog", 2], "submission_value_type_differs", r"1 of 4 rows, first in line 4 \(id c, found dog\)"),
        ([0.5, 0.25, "nan", 2], "submission_value_type_differs", "found nan"),
        ([0.5, 0.25, "", 2], "submission_value_missing", "line 4"),
    ],
)
def test_infinity_and_text_among_numbers_are_refused_where_the_sample_is_blank(values, code, fact, tmp_path):
    refused(IDS.assign(p=values), BLANK, tmp_path, code, fact)


def test_a_check_of_its_own_decides_over_a_blank_column(tmp_path):
    rules = Submission(write=PLAIN.write, checks={"p": one_of("1", "2", "cat")})
    both(IDS.assign(p=["1", "cat", "2", "1"]), BLANK, tmp_path, rules)
    refused(
        IDS.assign(p=[1, 2, np.inf, 1]), BLANK, tmp_path, "submission_value_infinite", checks={"p": between(0, np.inf)}
    )


WHOLE = IDS.assign(p=0)


def test_whole_numbers_are_not_written_with_a_decimal_point(tmp_path):
    both(IDS.assign(p=[0, 3, 1, 0]), WHOLE, tmp_path)
    both(IDS.assign(p=[0, 0.5, 1, 0]), WHOLE, tmp_path)  # probabilities, where Kaggle's sample is all 0
    for values in ([0.0, 1.0, 1.0, 0.0], ["0", "1", "1.0", "0"], ["0", "1", "1e0", "0"]):
        refused(IDS.assign(p=values), WHOLE, tmp_path, "submission_value_type_differs", "such as 1, not 1.0")
    both(IDS.assign(p=[0.0, 1.0, 1.0, 0.0]), WHOLE, tmp_path, Submission(write=PLAIN.write, checks={"p": number()}))
    both(IDS.assign(p=[0.0, 1.0, 1.0, 0.0]), IDS.assign(p=0.5), tmp_path)


def test_text_that_is_all_numbers_is_refused_only_where_the_sample_has_none(tmp_path):
    refused(IDS.assign(p=[1, 2, 3, 4]), IDS.assign(p="cat"), tmp_path, "submission_value_type_differs", "not numbers")
    both(IDS.assign(p=["1", "2", "3", "x"]), IDS.assign(p="cat"), tmp_path)
    both(IDS.assign(p=["1", "2", "3", "4"]), IDS.assign(p="7"), tmp_path)


# --- files that are read otherwise than they were written ------------------------------------------------------------


def test_a_carriage_return_stays_within_its_id(tmp_path):
    sample = pd.DataFrame({"id": ["a\rb", "c\r\nd", "e\nf", 'g"h'], "p": 0.5})
    both(sample.assign(p=0.25), sample, tmp_path)
    lines = (tmp_path / "s.csv").read_bytes().replace(b'"', b"")  # what pandas writes by itself
    (tmp_path / "s.csv").write_bytes(lines)
    with raises_code("submission_unreadable", "row 2 has 1 fields"):
        read_checked(tmp_path / "s.csv", sample, IDS, PLAIN)


@pytest.mark.parametrize(("odd", "code"), [("a\0b", "submission_not_read_back"), ("a\ud800", "submission_not_text")])
def test_what_no_csv_file_can_hold_is_refused(odd, code):
    frame = pd.DataFrame({"id": [odd, "c"], "p": 0.5})
    with raises_code(code):
        check(frame, frame, IDS, PLAIN)


def test_a_row_without_its_last_field_is_refused_where_that_may_be_empty(tmp_path):
    rules = Submission(write=PLAIN.write, may_be_empty=["runs"])
    sample = IDS.assign(runs="1 1")
    (tmp_path / "s.csv").write_text('id,runs\na,1 1\nb,\nc,""\nd,2 2\n')
    read_checked(tmp_path / "s.csv", sample, IDS, rules)
    (tmp_path / "s.csv").write_text("id,runs\na,1 1\nb\nc,\nd,2 2\n")
    with raises_code("submission_unreadable", "row 3 has 1 fields, not 2"):
        read_checked(tmp_path / "s.csv", sample, IDS, rules)


@pytest.mark.parametrize("text", ["id,p\na,1,\nb,1,\nc,1,\nd,1,\n", 'id,p\na,"1"5\nb,1\nc,1\nd,1\n'])
def test_fields_beyond_the_header_and_text_behind_a_quote_are_refused(text, tmp_path):
    (tmp_path / "s.csv").write_text(text)
    with raises_code("submission_unreadable"):
        read_checked(tmp_path / "s.csv", WHOLE, IDS, PLAIN)


def test_a_quoted_cell_may_be_as_long_as_the_file(tmp_path):
    long = '"' + "1 2 " * 50_000 + '"'
    (tmp_path / "s.csv").write_bytes(f"id,p\r\na,{long}\r\nb,x\r\nc,x\r\nd,x\r\n".encode())
    read_checked(tmp_path / "s.csv", IDS.assign(p="x"), IDS, PLAIN)


# --- keys of several columns -----------------------------------------------------------------------------------------

PAIRS = pd.DataFrame({"image": ["07", "07", "07", "x", "x", "x"], "class": [1, 2, 3] * 2, "p": 0.5})


@pytest.mark.parametrize("rules", [{}, {"keys": ("image", "class")}])
@pytest.mark.parametrize(
    ("frame", "code", "fact"),
    [
        (PAIRS.drop(index=4), "submission_ids_absent", r"\('x', '2'\)"),
        (PAIRS.assign(**{"class": [1, 2, 2, 1, 2, 3]}), "submission_ids_absent", r"\('07', '3'\)"),
        (PAIRS.assign(**{"class": [1, 2, 3, 1, 2, 99]}), "submission_ids_absent", r"\('x', '3'\)"),
        (pd.concat([PAIRS, PAIRS[5:].assign(**{"class": 99})]), "submission_ids_unknown", r"line 8 .*\('x', '99'\)"),
        (pd.concat([PAIRS, PAIRS[:1]]), "submission_ids_repeated", "line 8"),
        (PAIRS.iloc[[0, 2, 1, 3, 4, 5]], "submission_ids_reordered", "line 3"),
        (PAIRS.assign(**{"class": [1.0, 2, 3] * 2}), "submission_ids_absent", "6 of 6 rows"),
        (PAIRS.assign(**{"class": ["1", "2", "3", "1", "2", ""]}), "submission_id_missing", "'class' .* line 7"),
    ],
)
def test_keys_of_several_columns_are_checked_together(frame, code, fact, rules, tmp_path):
    both(PAIRS, PAIRS, tmp_path, Submission(write=PLAIN.write, **rules))
    refused(frame, PAIRS, tmp_path, code, fact, **rules)


def test_keys_are_inferred_from_the_sample_unless_rows_may_repeat():
    assert key_columns(PAIRS, PLAIN) == ["image", "class"]
    assert key_columns(PAIRS.drop_duplicates("image"), PLAIN) == ["image"]
    assert key_columns(PAIRS, Submission(write=PLAIN.write, many_per_id=True)) == ["image"]
    assert key_columns(pd.concat([PAIRS, PAIRS]), PLAIN) == ["image"]  # a sample that repeats itself is refused


def test_several_objects_per_pair_need_every_pair(tmp_path):
    sample = PAIRS.drop(columns="p").assign(runs="1 1")
    rules = Submission(
        write=PLAIN.write,
        keys=("image", "class"),
        many_per_id=True,
        may_be_empty=["runs"],
        checks={"runs": run_lengths(lambda test: {"07": (5, 5), "x": (5, 5)})},
    )
    frame = pd.concat([sample.assign(runs=["1 1", "3 1", "", "1 1", "", ""]), sample[:1].assign(runs="7 1")])
    both(frame, sample, tmp_path, rules)
    both(frame[::-1], sample, tmp_path, rules)
    with raises_code("submission_ids_absent", r"\('07', '3'\)"):
        check(frame.drop(index=2), sample, IDS, rules)
