"""Film posters with 25 genres: one row per film, one column of 0 and 1 per genre."""

import shutil
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import k_fold, multilabel_stratified

GENRES = tuple(f"genre_{number:02d}" for number in range(25))


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy the posters, and hide the genres of a fifth of the films."""
    shutil.copytree(raw / "images", public / "images")
    films = pd.read_csv(raw / "films.csv", dtype={"id": str})
    films["path"] = "images/" + films["id"] + ".png"
    hidden = k_fold(films, 5, seed=1)[0].validation
    sample = dict.fromkeys(GENRES, 0.5)
    self_hosting.write(films, hidden, targets=GENRES, sample=sample, public=public, private=private)


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has the genres."""
    return self_hosting.read(public)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw three folds with the genres spread evenly."""
    return multilabel_stratified(train[list(GENRES)], folds=3, seed=seed)
