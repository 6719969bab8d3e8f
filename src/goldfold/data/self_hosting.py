"""Write and read the tables of a self-hosted competition: Kaggle's file layout, with hidden labels for test rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.competition import Tables
from goldfold.data import csv_tables
from goldfold.errors import GoldfoldError
from goldfold.io.files import write_text

if TYPE_CHECKING:
    from pandas import DataFrame

FILES = ("path", "mask_path", "reference_path")  # columns of files


def write(
    rows: DataFrame,
    hidden: np.ndarray,
    targets: Collection[str],
    sample: Mapping[str, Any],
    public: Path,
    private: Path,
) -> None:
    """Write train.csv, test.csv and sample_submission.csv to `public`, and the hidden labels to `private`.

    rows: all rows with their targets and a column `id`; paths in the columns `FILES` are relative to `public`.
    hidden: positions of the rows that become the test table.
    targets: columns that are removed from the test table.
    sample: column of the submission -> the constant that fills it in the sample submission. `private/solution.csv` has
        the same columns with the true values.
    """
    test, kept = rows.iloc[hidden], np.delete(np.arange(len(rows)), hidden)  # labels of an index may repeat
    tables = {
        public / "train.csv": rows.iloc[kept],
        public / "test.csv": test.drop(columns=list(targets)),
        public / "sample_submission.csv": test[["id"]].assign(**sample),
        private / "solution.csv": test[["id", *sample]],
    }
    for path, table in tables.items():
        write_text(path, csv_tables.to_text(table))


def read(public: Path, text: Collection[str] = ()) -> Tables:
    """Read the tables that `write` wrote; those in `FILES` become paths that can be opened.

    Ids are text, exactly as they are in the files.
    text: other columns that are read as text. If there are any, only empty fields count as missing, so that a class may
        be called NA.

    Raises:
        GoldfoldError: `table_unreadable`, a file is missing or is not a CSV file.
    """
    train, test, sample = (_table(public / f"{name}.csv", text) for name in ("train", "test", "sample_submission"))
    for rows in (train, test):
        for column in rows.columns.intersection(FILES):
            rows[column] = [public / path if isinstance(path, str) else path for path in rows[column]]
    return Tables(train=train, test=test, sample_submission=sample)


def _table(path: Path, text: Collection[str]) -> DataFrame:
    try:
        return csv_tables.read(path, text=[*FILES, *text], na_is_missing=not text)
    except (OSError, ValueError) as error:  # pandas raises ValueErrors for files that are not CSV
        raise GoldfoldError(
            "table_unreadable", f"{path} cannot be read ({error}): delete {path.parent} and run `make prepare` again"
        ) from error
