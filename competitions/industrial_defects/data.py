"""Folders of normal training images and unlabeled test images as tables with folds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import k_fold, stratified
from goldfold.data.layouts import defect_folders

TARGETS = ("defect",)
NORMAL = 0
FOLDS = 5


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy the images under their own names; only Kaggle has the test labels."""
    tables = defect_folders.train_test_folders(raw)
    _copy(tables.train, raw, public).assign(defect=NORMAL).to_csv(public / "train.csv", index=False)
    _copy(tables.test, raw, public).to_csv(public / "test.csv", index=False)
    tables.sample_submission.to_csv(public / "sample_submission.csv", index=False)


def _copy(rows: pd.DataFrame, raw: Path, public: Path) -> pd.DataFrame:
    names = [path.relative_to(raw).as_posix() for path in rows["path"]]
    for path, name in zip(rows["path"], names, strict=True):
        (public / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, public / name)
    return rows.assign(path=names)


def load(public: Path) -> Tables:
    """Load both tables: id, path, class ("?" if unknown; test may have new ones); train also has defect, always 0."""
    return self_hosting.read(public, text=defect_folders.TEXT_COLUMNS)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds, stratified by class; of shuffled rows if there is one class or none is known."""
    if train["class"].nunique() == 1:
        return k_fold(train, folds=FOLDS, seed=seed)
    return stratified(train["class"], folds=FOLDS, seed=seed)
