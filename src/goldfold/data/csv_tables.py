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
    if (plain := _unquoted(frame)) is not None:
        return plain
    text = frame.to_csv(index=False, lineterminator="\n")
    return frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL) if "\r" in text else text


def _unquoted(frame: DataFrame) -> str | None:
    """Return a frame of text and whole numbers as CSV, five times as fast as pandas; None if a cell needs quotes."""
    width = len(frame.columns)
    texts = [_cells(frame.iloc[:, at]) for at in range(width)]
    if width < 2 or any(cells is None for cells in texts):
        return None
    rows = map(",".join, zip(*filter(None, texts), strict=True)) if len(frame) else ()
    text = "\n".join([",".join(map(str, frame.columns)), *rows, ""])
    commas, ends = (width - 1) * (len(frame) + 1), len(frame) + 1
    return None if '"' in text or "\r" in text or (text.count(","), text.count("\n")) != (commas, ends) else text


def _cells(values: Series) -> list[str] | None:
    """The cells of a column as text, empty where missing; None if they are neither text nor whole numbers."""
    if values.dtype.kind in "iu":
        return values.astype(str).tolist()
    if values.dtype.kind not in "OUT" and values.dtype != "str":
        return None
    cells = values.astype(object).where(values.notna(), "").tolist()
    return cells if all(type(cell) is str for cell in cells) else None


def written(values: Series) -> Series:
    """Return values as a CSV file spells them, text; missing ones stay missing."""
    return values if values.dtype == "str" else values.astype("str").where(values.notna().to_numpy(), np.nan)
