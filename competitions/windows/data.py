"""Your own windows with labels 0 and 1: one `.npz` file each, folds of whole groups, a fifth of the groups hidden."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import stratified_grouped
from goldfold.errors import GoldfoldError
from goldfold.sequences import window_folders, windows

TARGETS = ("label",)
HIDDEN_SEED, FOLDS = 2025, 4


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Write each window of `raw` as a file, and hide the labels of a fifth of the groups, stratified by label."""
    (public / "windows").mkdir()
    rows = []
    for number, entry in enumerate(window_folders.entries(raw)):
        window, path = entry.window, f"windows/{number:06d}.npz"
        arrays = {"features": window.features, "mask": window.valid}
        if window.joints is not None:
            arrays |= {"joints": window.joints, "confidence": window.confidence}
        windows.write(public / path, **arrays)
        rows.append({"id": entry.id, "path": path, "group": entry.group, "label": _label(entry)})
    table = pd.DataFrame(rows)
    hidden = _split(table, 5, HIDDEN_SEED)[0].validation
    self_hosting.write(table, hidden, targets=TARGETS, sample={"label": 0.5}, public=public, private=private)


def _label(entry: window_folders.Entry) -> int:
    if str(entry.label) not in ("0", "1", "0.0", "1.0", "False", "True"):
        raise GoldfoldError(
            "labels_not_binary",
            f"window '{entry.id}' has the label {entry.label!r}, and this competition has 0 and 1: copy its folder and "
            "name your classes there, as competitions/actions does",
        )
    return int(str(entry.label) in ("1", "1.0", "True"))


def load(public: Path) -> Tables:
    """Load both tables: id, path, group (recording, person); train also has label (0 or 1)."""
    return self_hosting.read(public, text=["group"])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw four folds of whole groups, stratified by label."""
    return _split(train, FOLDS, seed)


def _split(rows: pd.DataFrame, folds: int, seed: int) -> list[Fold]:
    return stratified_grouped(rows["label"], rows["group"], folds, seed)
