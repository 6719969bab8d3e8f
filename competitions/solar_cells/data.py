"""The solar cells of the package elpv-dataset: labels, photographs, folds, and a hidden fifth as test set."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import stratified

TARGETS = ("defect", "probability")
HIDDEN_SEED = 2018


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy the package's photographs, and hide the labels of a fifth, stratified like the folds."""
    import elpv_dataset

    package = Path(elpv_dataset.__file__).parent / "data"
    shutil.copytree(package / "images", public / "images")
    cells = pd.read_csv(package / "labels.csv", sep=r"\s+", names=["path", "probability", "type"])
    cells.insert(0, "id", cells["path"].str.extract(r"(cell\d+)", expand=False))
    cells["defect"] = (cells["probability"] > 0.5).astype(int)
    hidden = split(cells, HIDDEN_SEED)[0].validation
    self_hosting.write(cells, hidden, targets=TARGETS, sample={"defect": 0.5}, public=public, private=private)


def load(public: Path) -> Tables:
    """Load both tables: id, path, type (mono or poly); train also has probability (0, 1/3, 2/3, 1), defect (0, 1)."""
    return self_hosting.read(public)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds, stratified by probability and type of cell."""
    return stratified(train["probability"].astype(str) + train["type"], folds=5, seed=seed)
