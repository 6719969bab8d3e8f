"""A competition that hosts itself: tables in Kaggle's layout, with the answers of some rows kept back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from goldfold.competition import Tables
from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    import numpy as np


def write(
    rows: pd.DataFrame,
    hidden: np.ndarray,
    targets: Collection[str],
    sample: Mapping[str, Any],
    public: Path,
    private: Path,
) -> None:
    """Write train.csv, test.csv and sample_submission.csv to `public`, and the hidden answers to `private`.

    rows: with a column `id`; `path` and `mask_path` are relative to `public`. hidden: positions of what to predict.
    targets: columns the test table must not show. sample: columns of the submission, with what fills the sample's.
    """
    test = rows.iloc[hidden]
    rows.drop(index=test.index).to_csv(public / "train.csv", index=False)
    test.drop(columns=list(targets)).to_csv(public / "test.csv", index=False)
    test[["id"]].assign(**sample).to_csv(public / "sample_submission.csv", index=False)
    test[["id", *sample]].to_csv(private / "solution.csv", index=False)


def read(public: Path, text: Collection[str] = ()) -> Tables:
    """What `write` wrote, with paths that can be opened.

    text: columns that stay as they are written, so that 007 keeps its zeros; with them an empty field alone is missing,
        so that a class may be called NA.

    Raises:
        GoldfoldError: a table cannot be read.
    """
    train, test, sample = (_table(public / f"{name}.csv", text) for name in ("train", "test", "sample_submission"))
    for rows in (train, test):
        for column in rows.columns.intersection(["path", "mask_path"]):
            rows[column] = [public / path for path in rows[column]]
    return Tables(train=train, test=test, sample_submission=sample)


def _table(path: Path, text: Collection[str]) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path, dtype=dict.fromkeys(["path", "mask_path", *text], str), keep_default_na=not text, na_values=[""]
        )
    except (OSError, ValueError) as error:  # pandas raises ValueErrors for what is no CSV
        raise GoldfoldError(
            f"{path} cannot be read ({error}): remove {path.parent} and prepare the data again"
        ) from error
