"""Kaggle's three files as tables, and the folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import kaggle_files
from goldfold.data.folds import stratified

PASSENGER = ["PassengerId", "Pclass", "Name", "Sex", "Age", "SibSp", "Parch", "Ticket", "Fare", "Cabin", "Embarked"]
COLUMNS = {
    "train.csv": [*PASSENGER, "Survived"],
    "test.csv": PASSENGER,
    "gender_submission.csv": ["PassengerId", "Survived"],
}


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Check and copy Kaggle's files; only Kaggle has the test labels, so `private` stays empty."""
    kaggle_files.copy(raw, public, COLUMNS, id_column="PassengerId", competition="titanic")


def load(public: Path) -> Tables:
    """Load both tables with Kaggle's columns; PassengerId becomes id, as text."""
    train, test, sample = (kaggle_files.read(public / name, "PassengerId") for name in COLUMNS)
    return Tables(
        train=train.rename(columns={"PassengerId": "id"}),
        test=test.rename(columns={"PassengerId": "id"}),
        sample_submission=sample,
    )


def split(train: pd.DataFrame, seed: int) -> Sequence[Fold]:
    """Draw five folds, stratified by survival; a family may be on both sides, as in Kaggle's train and test files."""
    return stratified(train["Survived"], folds=5, seed=seed)
