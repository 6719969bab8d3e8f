"""Kaggle's three files as tables, and the folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import kaggle_files
from goldfold.data.folds import k_fold

TARGET = "log_price"  # the metric is of logarithms
COLUMNS = {
    "train.csv": ["Id", "GrLivArea", "OverallQual", "Neighborhood", "SalePrice"],
    "test.csv": ["Id", "GrLivArea", "OverallQual", "Neighborhood"],
    "sample_submission.csv": ["Id", "SalePrice"],
}


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Check and copy Kaggle's files; only Kaggle has the test prices, so `private` stays empty."""
    kaggle_files.copy(raw, public, COLUMNS, id_column="Id", competition="house_prices")


def load(public: Path) -> Tables:
    """Load both tables with Kaggle's columns; Id becomes id, SalePrice its natural logarithm `log_price`."""
    train, test, sample = (kaggle_files.read(public / name, "Id") for name in COLUMNS)
    prices = train.pop("SalePrice")
    return Tables(
        train=train.rename(columns={"Id": "id"}).assign(**{TARGET: np.log(prices)}),
        test=test.rename(columns={"Id": "id"}),
        sample_submission=sample,
    )


def split(train: pd.DataFrame, seed: int) -> Sequence[Fold]:
    """Draw five random folds; houses of one neighborhood are on both sides, as in Kaggle's train and test files."""
    return k_fold(train, folds=5, seed=seed)
