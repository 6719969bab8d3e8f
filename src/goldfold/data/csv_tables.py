"""CSV tables of a competition, read and written without changing their ids."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ONLY_EMPTY: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}


def read(path: Path, id_column: str = "id", text: Collection[str] = (), na_is_missing: bool = True) -> DataFrame:
    """Read a CSV file; ids keep the text of the file, so that `007`, `2.00` and `NA` stay as they are.

    id_column: read as text in which only an empty field is missing.
    text: other columns to read as text; the rest is left to pandas.
    na_is_missing: whether `NA`, `null` and so on are missing values outside the ids, as pandas has it; otherwise only
        empty fields are, so that a class may be called NA.

    Raises:
        OSError, ValueError: there is no such file, or it is not a CSV file.
    """
    missing = {} if na_is_missing else ONLY_EMPTY
    frame = pd.read_csv(path, dtype=dict.fromkeys([id_column, *text], str), **missing)
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the first column for an index then
        raise ValueError("its rows have more fields than its header")
    if id_column in frame and na_is_missing:
        frame[id_column] = pd.read_csv(path, dtype=str, usecols=[id_column], **ONLY_EMPTY)[id_column]
    return frame


def to_text(frame: DataFrame) -> str:
    """Return `frame` as CSV without its index; lines end in a line feed, floats are exact.

    Cells are quoted where they need it. If a cell has a carriage return all cells are, since pandas leaves it unquoted
    and readers take it for the end of a row.
    """
    text = frame.to_csv(index=False, lineterminator="\n")
    return frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL) if "\r" in text else text


def written(values: Series) -> Series:
    """Return values as a CSV file spells them, text; missing ones stay missing."""
    return values if values.dtype == "str" else values.astype("str").where(values.notna().to_numpy(), np.nan)
