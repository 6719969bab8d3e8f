"""Columns that a competition, a recipe or a metric names: each is one column, and the table has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

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


def binary_columns(rows: DataFrame, names: Sequence[str]) -> np.ndarray:
    """The label columns `names` as int64 (n, labels) of 0 and 1; True is 1 and False 0.

    Raises:
        GoldfoldError: `unknown_column`; `values_missing`; `labels_not_binary`, with a value, its row and their number.
    """
    found = np.empty((len(rows), len(names)), np.int64)
    for at, name in enumerate(names):
        require(rows, name, "target column")
        values = rows[name]
        if values.hasnans and (missing := int(values.isna().sum())):
            raise GoldfoldError(
                "values_missing",
                f"target '{name}' is missing in {missing} of {len(rows)} rows: drop or fill them first",
            )
        plain = values.to_numpy()
        fast = plain.dtype.kind in "iub"  # `isin` takes a hundred times as long, in every validation
        wrong = (plain != 0) & (plain != 1) if fast else ~values.isin((0, 1)).to_numpy(bool)
        if wrong.any():
            worse = wrong & ~values.astype(str).isin(("0", "1")).to_numpy(bool)  # among texts, "0" is not the culprit
            first = int((worse if worse.any() else wrong).argmax())
            where = f" in the row with id {rows['id'].tolist()[first]!r}" if "id" in rows else ""
            raise GoldfoldError(
                "labels_not_binary",
                f"label column '{name}' must hold 0 and 1, but {wrong.sum()} of {len(rows)} rows do not, such as "
                f"{values.tolist()[first]!r}{where}: make it 0 and 1 in load(), sets of labels with "
                "goldfold.data.label_sets.indicator_columns",
            )
        found[:, at] = plain.astype(np.int64)
    return found
