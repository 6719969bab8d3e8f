"""Columns of a table as numbers, categories or texts, whatever their dtype; a value that does not fit is named."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from goldfold.data import columns, csv_tables
from goldfold.errors import GoldfoldError

LARGEST = float(np.finfo(np.float32).max)  # forests compute in float32
UNKNOWN = float(np.finfo(np.float64).min)  # a number that is no category, for text among numbers


def check_one_kind(values: Iterable, what: str) -> None:
    """Check that a column does not mix numbers and text.

    what: the column in words, for the message.

    Raises:
        GoldfoldError: `values_mixed`; 1 and "1" would be two values.
    """
    series = pd.Series(values)
    if (series.cat.categories if series.dtype == "category" else series).dtype != object:
        return
    text = [value for value in series if isinstance(value, str)]
    numbers = [value for value in series if isinstance(value, (Number, np.bool_)) and not pd.isna(value)]
    if text and numbers:
        raise GoldfoldError(
            "values_mixed",
            f"{what} mixes numbers and text, {len(numbers)} rows such as {numbers[0]!r} and {len(text)} such as "
            f"{text[0]!r}, so that 1 and '1' would differ: make them all text in load() with .astype(str)",
        )


def as_numbers(values: pd.Series, what: str) -> np.ndarray:
    """Return a column as float64, (n,); missing values are NaN, bools 0 and 1, text such as "1.5" the number it spells.

    what: the column in words, for the message.

    Raises:
        GoldfoldError: `column_not_numeric`, such as text or dates; `column_not_finite`, infinite or beyond float32.
    """
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
    else:
        numbers = _parsed(values)
        if strange := values[np.isnan(numbers) & values.notna().to_numpy() & ~_spells_nan(values)].tolist():
            raise GoldfoldError(
                "column_not_numeric",
                f"{what} must hold numbers, but {len(strange)} of {len(values)} rows do not, first {strange[0]!r}: "
                "convert it in load(), text with pd.to_numeric(..., errors='coerce'), or use it as a category",
            )
    _check_finite(numbers, what)
    return numbers


def _parsed(values: pd.Series) -> np.ndarray:
    """The numbers that values are or spell, float64 (n,); NaN for all others."""
    return np.array([_number(value) for value in values.astype(object)], np.float64)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _spells_nan(values: pd.Series) -> np.ndarray:
    return values.astype(str).str.strip().str.lower().isin(("nan", "+nan", "-nan")).to_numpy()


def _check_finite(numbers: np.ndarray, what: str) -> None:
    beyond = numbers[np.abs(numbers) > LARGEST].tolist()
    if beyond:
        raise GoldfoldError(
            "column_not_finite",
            f"{what} must hold finite numbers below {LARGEST:.2g}, but {len(beyond)} of {len(numbers)} rows do not, "
            f"first {beyond[0]:g}: make them missing or clip them in load()",
        )


def are_numbers(values: pd.Series) -> bool:
    """Whether every value is a number or a bool, or missing, so that categories have the order of numbers."""
    dtype = values.astype(object).infer_objects().dtype if values.dtype == "category" else values.infer_objects().dtype
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)


def as_categories(values: pd.Series, numbers: bool, what: str) -> np.ndarray:
    """Return a column as categories, (n,): numbers, or objects that are text; missing ones are NaN.

    numbers: whether they are compared as numbers: 2, 2.0 and "2" are one category, text that spells no number is
        `UNKNOWN`. Otherwise they are compared as text, in which whole numbers have no decimals.
    what: the column in words, for the message.

    Raises:
        GoldfoldError: `column_not_finite`, for infinite numbers.
    """
    if not numbers:
        return np.array([_text(value) for value in values.astype(object)], dtype=object)
    if not are_numbers(values):
        found = _parsed(values)
        found[np.isnan(found) & values.notna().to_numpy()] = UNKNOWN
        return found
    plain = values.astype(object).infer_objects() if values.dtype == "category" else values.infer_objects()
    found = plain.to_numpy(np.float64, na_value=np.nan) if plain.isna().any() else plain.to_numpy()
    if found.dtype.kind == "f":
        _check_finite(found, what)
    return found if found.dtype != object else found.astype(np.float64)


def _text(value: Any) -> Any:
    if np.ndim(value) == 0 and pd.isna(value):
        return np.nan
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def as_texts(rows: pd.DataFrame, column: str) -> tuple[str, ...]:
    """Return the text of each row of a table, such as captions or search terms; a missing one is the empty text.

    Raises:
        GoldfoldError: `unknown_column`, the rows have no such column.
    """
    columns.require(rows, column, "text column")
    return tuple(csv_tables.written(rows[column]).fillna("").tolist())


def count_without_text(rows: pd.DataFrame, column: str) -> int:
    """Return how many rows have no text: a missing value, or nothing but spaces. Raises as `as_texts` does."""
    return sum(not text.strip() for text in as_texts(rows, column))
