"""Texts of a table: missing ones are empty and counted, numbers are spelled as in the file."""

from __future__ import annotations

import numpy as np
import pandas as pd
from error_codes import raises_code

from goldfold.data.column_values import as_texts, count_without_text


def test_missing_texts_are_empty_and_counted():
    rows = pd.DataFrame({"text": ["a cat", None, np.nan, "  ", "", "NA"]})
    assert as_texts(rows, "text") == ("a cat", "", "", "  ", "", "NA")
    assert count_without_text(rows, "text") == 4


def test_numbers_are_text_too():
    assert as_texts(pd.DataFrame({"year": [1998, 2020]}), "year") == ("1998", "2020")


def test_a_missing_column_is_named_with_the_nearest():
    with raises_code("unknown_column", "'captoin'", "did you mean 'caption'", "id"):
        as_texts(pd.DataFrame({"id": [1], "caption": ["a"]}), "captoin")
