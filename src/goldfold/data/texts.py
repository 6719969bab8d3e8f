"""The texts of a table, such as captions or search terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldfold.data import columns, csv_tables

if TYPE_CHECKING:
    from pandas import DataFrame


def texts(rows: DataFrame, column: str) -> tuple[str, ...]:
    """Return the text of each row; a missing one is the empty text.

    Raises:
        GoldfoldError: `unknown_column`, the rows have no such column.
    """
    columns.require(rows, column, "text column")
    return tuple(csv_tables.written(rows[column]).fillna("").tolist())


def missing(rows: DataFrame, column: str) -> int:
    """Return how many rows have no text: a missing value, or nothing but spaces. Raises as `texts` does."""
    return sum(not text.strip() for text in texts(rows, column))
