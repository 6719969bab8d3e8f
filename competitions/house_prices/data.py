"""Kaggle's three files as tables, and the folds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import csv_tables
from goldfold.data.folds import k_fold
from goldfold.errors import GoldfoldError

TARGET = "log_price"  # the metric is of logarithms
COLUMNS = {
    "train.csv": ["Id", "GrLivArea", "OverallQual", "Neighborhood", "SalePrice"],
    "test.csv": ["Id", "GrLivArea", "OverallQual", "Neighborhood"],
    "sample_submission.csv": ["Id", "SalePrice"],
}


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Check and copy Kaggle's files; only Kaggle has the test prices, so `private` stays empty."""
    for name, columns in COLUMNS.items():
        if not (raw / name).exists():
            raise GoldfoldError(
                "raw_data_missing",
                f"{raw / name} is missing: put Kaggle's file there, then run `make prepare COMP=house_prices`",
            )
        found = _table(raw / name).columns
        absent = [column for column in columns if column not in found]
        if absent:
            raise GoldfoldError(
                "raw_data_invalid",
                f"{raw / name} has no column '{absent[0]}', only {', '.join(found)}: put Kaggle's own file there",
            )
        shutil.copyfile(raw / name, public / name)


def load(public: Path) -> Tables:
    """Load both tables with Kaggle's columns; Id becomes id, SalePrice its natural logarithm `log_price`."""
    train, test, sample = (_table(public / name) for name in COLUMNS)
    prices = train.pop("SalePrice")
    return Tables(
        train=train.rename(columns={"Id": "id"}).assign(**{TARGET: np.log(prices)}),
        test=test.rename(columns={"Id": "id"}),
        sample_submission=sample,
    )


def split(train: pd.DataFrame, seed: int) -> Sequence[Fold]:
    """Draw five random folds; houses of one neighborhood are on both sides, as in Kaggle's train and test files."""
    return k_fold(train, folds=5, seed=seed)


def _table(path: Path) -> pd.DataFrame:
    try:
        return csv_tables.read(path, id_column="Id")
    except ValueError as error:
        raise GoldfoldError(
            "raw_data_invalid", f"{path} is not a CSV file ({error}): put Kaggle's own file there"
        ) from error
