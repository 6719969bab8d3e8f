"""The solar cells of the package elpv-dataset: labels, photographs, folds, and a hidden fifth."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from goldfold import splits
from goldfold.competition import Fold, Tables

HIDDEN_SEED = 2018


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy the package's photographs and hide the labels of a fifth, stratified as the folds are."""
    import elpv_dataset

    package = Path(elpv_dataset.__file__).parent / "data"
    shutil.copytree(package / "images", public / "images")
    cells = pd.read_csv(package / "labels.csv", sep=r"\s+", names=["path", "probability", "type"])
    cells.insert(0, "id", cells["path"].str.extract(r"(cell\d+)", expand=False))
    cells["defect"] = (cells["probability"] > 0.5).astype(int)
    known, hidden = split(cells, HIDDEN_SEED)[0]
    test = cells.iloc[hidden]
    cells.iloc[known].to_csv(public / "train.csv", index=False)
    test[["id", "path", "type"]].to_csv(public / "test.csv", index=False)
    test[["id"]].assign(defect=0.5).to_csv(public / "sample_submission.csv", index=False)
    test[["id", "defect"]].to_csv(private / "solution.csv", index=False)


def load(public: Path) -> Tables:
    """Train: id, path, probability (0, 1/3, 2/3 or 1, as experts judged), type (mono or poly), defect (0 or 1)."""
    train, test, sample = (pd.read_csv(public / f"{name}.csv") for name in ("train", "test", "sample_submission"))
    for rows in (train, test):
        rows["path"] = [public / path for path in rows["path"]]
    return Tables(train=train, test=test, sample_submission=sample)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Five folds with the same share of each probability and each type of cell."""
    return splits.stratified(train["probability"].astype(str) + train["type"], folds=5, seed=seed)
