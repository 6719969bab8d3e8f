"""Sets of labels become columns of 0 and 1; other columns are refused with value and count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.data.columns import binary_columns
from goldfold.data.label_sets import indicator_columns

SETS = pd.Series(["Drama| Comedy ", np.nan, ["Krimi", "Drama"], "", {"Drama"}, "Drama|Drama"], index=range(3, 9))


def test_sets_become_sorted_columns_with_the_index_of_their_rows() -> None:
    found = indicator_columns(SETS)
    assert list(found.columns) == ["Comedy", "Drama", "Krimi"]
    assert list(found.index) == list(SETS.index)
    assert found.to_numpy().tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_given_labels_have_their_order_and_admit_no_others() -> None:
    labels = ["Krimi", "Drama", "Comedy", "War"]
    assert list(indicator_columns(SETS, labels).columns) == labels
    assert indicator_columns(["a b"], separator=" ").to_numpy().tolist() == [[1, 1]]
    with raises_code("unknown_label", "'Comedy'; did you mean 'Comedies'?"):
        indicator_columns(SETS, ["Comedies", "Drama", "Krimi"])


def test_a_number_is_no_set() -> None:
    with raises_code("label_set_invalid", "got 3", "convert it in load()"):
        indicator_columns(["a", 3])


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ([0, 1, 2, 2], ("labels_not_binary", "'b'", "2 of 4 rows", "such as 2 in the row with id 'C'")),
        ([0, 1, -1, 1], ("labels_not_binary", "1 of 4 rows", "such as -1 in the row with id 'C'")),
        (["0", "1", "yes", "1"], ("labels_not_binary", "4 of 4 rows", "such as 'yes' in the row with id 'C'")),
        (["0", "1", "0", "1"], ("labels_not_binary", "4 of 4 rows", "such as '0'")),
        ([0, 0.5, 1, 1], ("labels_not_binary", "1 of 4 rows", "such as 0.5")),
        ([0, None, 1, 1], ("values_missing", "'b'", "1 of 4 rows")),
    ],
)
def test_a_column_that_is_not_binary_is_named(column, told) -> None:
    with raises_code(*told):
        binary_columns(pd.DataFrame({"id": list("ABCD"), "a": [True, False, True, False], "b": column}), ["a", "b"])


def test_bools_and_numbers_are_binary() -> None:
    rows = pd.DataFrame({"a": [True, False], "b": [1.0, 0.0], "c": pd.Series([True, 0], dtype=object)})
    assert binary_columns(rows, ["a", "b", "c"]).tolist() == [[1, 1, 1], [0, 0, 0]]
