"""The CSV files of a Kaggle competition: checked, copied, and read with ids as text."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from goldfold.data import csv_tables
from goldfold.errors import GoldfoldError


def copy(raw: Path, public: Path, columns: Mapping[str, Sequence[str]], *, id_column: str, competition: str) -> None:
    """Check and copy files from `raw` to `public`. columns: name of each file -> columns that it must have.

    competition: name of its folder, for the next step of an error.

    Raises:
        GoldfoldError: `raw_data_missing`, a file is absent; `raw_data_invalid`, one is no CSV or lacks a column.
    """
    for name, wanted in columns.items():
        if not (raw / name).exists():
            raise GoldfoldError(
                "raw_data_missing",
                f"{raw / name} is missing: put Kaggle's file there, then run `make prepare COMP={competition}`",
            )
        found = read(raw / name, id_column).columns
        absent = [column for column in wanted if column not in found]
        if absent:
            raise GoldfoldError(
                "raw_data_invalid",
                f"{raw / name} has no column '{absent[0]}', only {', '.join(found)}: put Kaggle's own file there",
            )
        shutil.copyfile(raw / name, public / name)


def read(path: Path, id_column: str) -> pd.DataFrame:
    """Read a file with its ids as text; GoldfoldError `raw_data_invalid` if it is no CSV."""
    try:
        return csv_tables.read(path, id_column=id_column)
    except ValueError as error:
        raise GoldfoldError(
            "raw_data_invalid", f"{path} is not a CSV file ({error}): put Kaggle's own file there"
        ) from error
