"""Columns of every dtype become numbers or categories; a value that fits neither is named."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.data import column_values

NAN = np.nan


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.Series([1, 2], dtype="Int64"), [1, 2]),
        (pd.Series([1, None], dtype="Int64"), [1, NAN]),
        (pd.Series([True, None], dtype="boolean"), [1, NAN]),
        (pd.Series([True, False]), [1, 0]),
        (pd.Series([1.5, None], dtype="Float32"), [1.5, NAN]),
        (pd.Series([3, 1], dtype="category"), [3, 1]),
        (pd.Series(["3", " 1.5 "]), [3, 1.5]),
        (pd.Series(["3", None, "nan"]), [3, NAN, NAN]),
        (pd.Series([1, "2", Decimal("0.5"), pd.NA, None], dtype=object), [1, 2, 0.5, NAN, NAN]),
        (pd.Series([None, None], dtype=object), [NAN, NAN]),
        (pd.Series([10**25, 2**63]), [1e25, 2.0**63]),
    ],
)
def test_numbers_of_any_dtype(values, expected):
    found = column_values.as_numbers(values, "x")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("values", "code", "fact"),
    [
        (
            ["1", "viele", "2"],
            "column_not_numeric",
            "numeric x must hold numbers, but 1 of 3 rows do not, first 'viele'",
        ),
        (pd.to_datetime(["2024-01-01", None]), "column_not_numeric", "1 of 2 rows do not, first Timestamp"),
        (pd.to_timedelta([1, 2], "h"), "column_not_numeric", "2 of 2"),
        ([1 + 2j, 1], "column_not_numeric", "2 of 2 rows do not, first (1+2j)"),
        ([[1, 2], [3]], "column_not_numeric", "first [1, 2]"),
        ([1.0, np.inf, -np.inf], "column_not_finite", "2 of 3 rows do not, first inf"),
        (["inf", "1"], "column_not_finite", "1 of 2 rows do not, first inf"),
        ([1e39, 1], "column_not_finite", "below 3.4e+38, but 1 of 2 rows do not, first 1e+39"),
        ([10**400, 1], "column_not_numeric", "1 of 2"),
    ],
)
def test_what_is_no_finite_number_is_named(values, code, fact):
    with raises_code(code, fact, "in load()"):
        column_values.as_numbers(pd.Series(values), "numeric x")


@pytest.mark.parametrize(
    ("values", "numbers", "expected"),
    [
        (pd.Series([2, 1]), True, [2, 1]),
        (pd.Series([2**60 + 1, 1]), True, [2**60 + 1, 1]),
        (pd.Series([2, None], dtype="Int64"), True, [2, NAN]),
        (pd.Series([True, False]), True, [1, 0]),
        (pd.Series(["2", "B", None, "2.0"]), True, [2, column_values.UNKNOWN, NAN, 2]),
        (pd.Series([2, 2.0, "2", "B", None, True, 0.5], dtype=object), False, ["2", "2", "2", "B", NAN, "True", "0.5"]),
        (pd.Series([2.0, None]), False, ["2", NAN]),
        (pd.Series(["b", "a", None], dtype="category"), False, ["b", "a", NAN]),
        (pd.Series(["007", ""]), False, ["007", ""]),
    ],
)
def test_categories_are_alike_whatever_their_dtype(values, numbers, expected):
    found = column_values.as_categories(values, numbers, "x")
    pd.testing.assert_series_equal(pd.Series(found), pd.Series(expected), check_dtype=False)


def test_what_counts_as_numbers():
    for yes in (
        [1, 2.5],
        [True],
        pd.array([1, None], dtype="Int64"),
        pd.Categorical([1, 2]),
        pd.Series([1], dtype=object),
    ):
        assert column_values.are_numbers(pd.Series(yes))
    for no in (["a"], ["1"], [1, "a"], [1j], pd.to_datetime(["2024-01-01"]), pd.Categorical(["a"])):
        assert not column_values.are_numbers(pd.Series(no))


def test_infinite_categories_are_refused():
    with raises_code("column_not_finite", "1 of 2 rows", "first -inf"):
        column_values.as_categories(pd.Series([-np.inf, 1]), True, "x")
