"""The Japanese vowels of the package aeon as windows; its own test utterances are hidden."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import stratified
from goldfold.errors import GoldfoldError
from goldfold.sequences import windows

SPEAKERS = tuple(range(1, 10))
ORDER_SEED = 1999


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Write each utterance as a window under a number, in shuffled order, and hide the speakers of the test file."""
    folder = _package() / "datasets" / "data" / "JapaneseVowels"
    parts = {part: _utterances(folder / f"JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST")}
    found = [(features, speaker, part == "TEST") for part, each in parts.items() for features, speaker in each]
    order = np.random.default_rng(ORDER_SEED).permutation(len(found))  # the files are sorted by speaker
    (public / "windows").mkdir()
    rows = []
    for number, place in enumerate(order):
        features, speaker, hidden = found[place]
        path = f"windows/{number:03d}.npz"
        windows.write(public / path, features=features)
        rows.append({"id": f"{number:03d}", "path": path, "speaker": speaker, "hidden": hidden})
    table = pd.DataFrame(rows)
    positions = np.flatnonzero(table.pop("hidden"))
    self_hosting.write(table, positions, targets=["speaker"], sample={"speaker": 1}, public=public, private=private)


def _package() -> Path:
    """The folder of aeon, which is not imported: its code needs more packages than its data."""
    found = find_spec("aeon")
    if found is None or not found.submodule_search_locations:
        raise GoldfoldError(
            "package_missing",
            "the data of vowels is in the package aeon, which is not installed: run `pip install --no-deps "
            "-r requirements-data.txt`",
        )
    return Path(found.submodule_search_locations[0])


def _utterances(file: Path) -> list[tuple[np.ndarray, int]]:
    """Features (T, 12) and speaker of each line: dimensions between colons, and the class at the end."""
    lines = file.read_text(encoding="utf-8").splitlines()
    data = lines[next(place for place, line in enumerate(lines) if line.lower().startswith("@data")) + 1 :]
    found = []
    for *dimensions, speaker in (line.split(":") for line in data if line):
        found.append((np.array([each.split(",") for each in dimensions], float).T, int(speaker)))
    return found


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has speaker (1 to 9)."""
    return self_hosting.read(public)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds, stratified by speaker."""
    return stratified(train["speaker"], folds=5, seed=seed)
