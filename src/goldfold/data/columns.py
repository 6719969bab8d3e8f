"""Columns that a competition, a recipe or a metric names: each is one column, and the table has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldfold.errors import GoldfoldError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame


def require(rows: DataFrame, column: Any, what: str) -> None:
    """Check that a table has the column; what: its meaning and the table, for the message.

    Raises:
        GoldfoldError: `column_not_a_name`, it is several names; `unknown_column`, the nearest name is suggested.
    """
    if isinstance(column, (tuple, list, set, frozenset)):
        raise GoldfoldError(
            "column_not_a_name",
            f"the {what} must be one name, got {column!r}: name one of {', '.join(map(str, rows.columns))}",
        )
    if column not in rows.columns:
        raise unknown(what, str(column), map(str, rows.columns), code="unknown_column")
