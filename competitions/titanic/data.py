"""Kaggle's three files as tables, and their folds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data.folds import stratified
from goldfold.errors import GoldfoldError

PASSENGER = ["PassengerId", "Pclass", "Name", "Sex", "Age", "SibSp", "Parch", "Ticket", "Fare", "Cabin", "Embarked"]
COLUMNS = {
    "train.csv": [*PASSENGER, "Survived"],
    "test.csv": PASSENGER,
    "gender_submission.csv": ["PassengerId", "Survived"],
}


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy Kaggle's files once they are known to be whole. Only Kaggle has the test labels: `private` stays empty."""
    for name, columns in COLUMNS.items():
        if not (raw / name).exists():
            raise GoldfoldError(f"{raw / name} is missing: put Kaggle's file there, then make prepare COMP=titanic")
        found = _table(raw / name).columns
        absent = [column for column in columns if column not in found]
        if absent:
            raise GoldfoldError(
                f"{raw / name} must have a column '{absent[0]}' and has {', '.join(found)}: put Kaggle's own file there"
            )
        shutil.copyfile(raw / name, public / name)


def load(public: Path) -> Tables:
    train, test, sample = (_table(public / name) for name in COLUMNS)
    return Tables(
        train=train.rename(columns={"PassengerId": "id"}),
        test=test.rename(columns={"PassengerId": "id"}),
        sample_submission=sample,
    )


def split(train: pd.DataFrame, seed: int) -> Sequence[Fold]:
    """5 folds with the same share of survivors; a family may lie on both sides, as between Kaggle's two files."""
    return stratified(train["Survived"], folds=5, seed=seed)


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except ValueError as error:
        raise GoldfoldError(f"{path} is not a CSV file ({error}): put Kaggle's own file there") from error
