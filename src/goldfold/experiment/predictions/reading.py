"""Read predictions that another program wrote: CSV, Parquet, or .npy with a CSV of ids beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.data import csv_tables
from goldfold.errors import GoldfoldError
from goldfold.io.files import read_array

ENDINGS = (".csv", ".npy", ".parquet")
FOLD = "fold"  # a column that is no prediction: the fold in which a row was held out


@dataclass(frozen=True)
class Given:
    """A file of predictions.

    ids: (n,) text, as the file spells them. values: a column per class or value, or the (n, ...) array of an .npy file.
        folds: (n,) text, the fold of each row where the file tells it. sha256: of the file.
    """

    path: Path
    ids: list[str]
    values: DataFrame | np.ndarray
    folds: list[str] | None
    sha256: str


def is_file_name(word: str) -> bool:
    """Whether a word names a file of predictions rather than a run."""
    return Path(word).suffix.lower() in ENDINGS


def read_given(path: Path, id_columns: Sequence[str]) -> Given:
    """Read a file of predictions.

    id_columns: names that the column of ids may have, such as id and PassengerId.

    Raises:
        GoldfoldError: `import_unreadable`, there is no such file, or it cannot be read; `import_ids`, it has no column
            of ids, or an .npy file has none beside it; `pyarrow_missing`.
    """
    suffix = path.suffix.lower()
    if suffix not in ENDINGS or not path.is_file():
        what = "there is no such file" if suffix in ENDINGS else "it is none of " + ", ".join(ENDINGS)
        raise GoldfoldError("import_unreadable", f"{path} cannot be imported ({what}): name a file of predictions")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if suffix == ".npy":
        return _with_ids(path, id_columns, sha256)
    frame = read_table(path, id_columns)
    folds = frame[FOLD].astype(str).tolist() if FOLD in frame else None
    return Given(path, frame["id"].tolist(), frame.drop(columns=["id", FOLD], errors="ignore"), folds, sha256)


def read_table(path: Path, id_columns: Sequence[str]) -> DataFrame:
    """Read a CSV or Parquet file, its column of ids renamed to id, as text; raises as `read_given`."""
    frame = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path, id_columns)
    frame.columns = frame.columns.map(str)
    named = next((name for name in id_columns if name in frame), None)
    if named is None:
        raise GoldfoldError(
            "import_ids",
            f"{path} has no column of ids, only {_some(frame.columns)}: call it {' or '.join(id_columns)}",
        )
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise GoldfoldError("import_columns", f"{path} has two columns '{doubled[0]}': rename or drop one")
    absent = int(frame[named].isna().sum())
    if absent or not len(frame):
        what = f"{absent} rows without an id" if absent else "no rows"
        raise GoldfoldError("import_ids", f"{path} has {what}: write one row per id")
    return frame.assign(id=csv_tables.written(frame[named])).drop(columns=[named] if named != "id" else [])


def _csv(path: Path, id_columns: Sequence[str]) -> DataFrame:
    try:
        header = pd.read_csv(path, nrows=0, encoding="utf-8").columns
        named = next((name for name in id_columns if name in header), "id")
        return csv_tables.read(path, named, text=[FOLD] if FOLD in header else [])
    except (ValueError, OSError) as error:
        raise _unreadable(path, error) from error


def _parquet(path: Path) -> DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError:
        raise GoldfoldError(
            "pyarrow_missing",
            f"{path} needs the extra `parquet`, which is not installed: pip install "
            '"goldfold[parquet]", or write a CSV',
        ) from None
    except (ValueError, OSError) as error:
        raise _unreadable(path, error) from error


def _with_ids(path: Path, id_columns: Sequence[str], sha256: str) -> Given:
    """The array of an .npy file, with the ids of the file beside it, as a run's folder has them."""
    beside = path.with_name(f"{path.stem}_ids.csv")
    if not beside.is_file():
        raise GoldfoldError(
            "import_ids",
            f"{path} has no ids: write them beside it as {beside.name}, a row each with the column {id_columns[0]}",
        )
    try:
        values = read_array(path)
    except GoldfoldError as error:
        raise _unreadable(path, error) from error
    frame = read_table(beside, id_columns)
    if values.ndim == 0 or len(values) != len(frame):
        raise GoldfoldError(
            "import_ids", f"{path} has the shape {values.shape} for {len(frame):,} ids of {beside.name}: write one each"
        )
    folds = frame[FOLD].astype(str).tolist() if FOLD in frame else None
    return Given(path, frame["id"].tolist(), values, folds, sha256)


def _unreadable(path: Path, error: Exception) -> GoldfoldError:
    return GoldfoldError(
        "import_unreadable", f"{path} cannot be read ({' '.join(str(error).split())[:200]}): write it again"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
