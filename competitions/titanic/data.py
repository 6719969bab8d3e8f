"""Kaggle's three files as tables, and the folds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import csv_tables
from goldfold.data.folds import stratified
from goldfold.errors import GoldfoldError

PASSENGER = ["PassengerId", "Pclass", "Name", "Sex", "Age", "SibSp", "Parch", "Ticket", "Fare", "Cabin", "Embarked"]
COLUMNS = {
    "train.csv": [*PASSENGER, "Survived"],
    "test.csv": PASSENGER,
    "gender_submission.csv": ["PassengerId", "Survived"],
}


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Check and copy Kaggle's files; only Kaggle has the test labels, so `private` stays empty."""
    for name, columns in COLUMNS.items():
        if not (raw / name).exists():
            raise GoldfoldError(
                "raw_data_missing",
                f"{raw / name} is missing: put Kaggle's file there, then run `make prepare COMP=titanic`",
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
    """Load both tables with Kaggle's columns; PassengerId becomes id, as text."""
    train, test, sample = (_table(public / name) for name in COLUMNS)
    return Tables(
        train=train.rename(columns={"PassengerId": "id"}),
        test=test.rename(columns={"PassengerId": "id"}),
        sample_submission=sample,
    )


def split(train: pd.DataFrame, seed: int) -> Sequence[Fold]:
    """Draw five folds, stratified by survival; a family may be on both sides, as in Kaggle's train and test files."""
    return stratified(train["Survived"], folds=5, seed=seed)


def _table(path: Path) -> pd.DataFrame:
    try:
        return csv_tables.read(path, id_column="PassengerId")
    except ValueError as error:
        raise GoldfoldError(
            "raw_data_invalid", f"{path} is not a CSV file ({error}): put Kaggle's own file there"
        ) from error
