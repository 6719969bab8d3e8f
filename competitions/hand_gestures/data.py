"""Finger motions as windows of 16 frames, in the order they were recorded; whole blocks of time are hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting, time_folds
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import Neighbors
from goldfold.sequences import windows

TARGETS = ("motion", "recording", "row", "block")
MOTIONS = ("stop", "clockwise", "counterclockwise", "move")
TABLE, FRAMES = "point_history.csv", 16
NEIGHBORS = Neighbors("recording", "row", FRAMES)  # rows up to a window apart may show the same frames
BLOCK, HIDDEN_SEED, FOLDS = 120, 2021, 5


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Write each row as a window under a number, in shuffled order, and hide a fifth of the blocks with a guard."""
    points, rows = _rows(raw / TABLE)
    hidden = _split(rows, 5, HIDDEN_SEED)[0].validation
    kept = time_folds.outside_guard(rows["recording"], rows["row"], hidden, NEIGHBORS.guard)
    used = np.sort(np.concatenate([kept, hidden]))
    order = np.random.default_rng(HIDDEN_SEED).permutation(used)
    table = rows.iloc[order].reset_index(drop=True)
    numbers = [f"{number:04d}" for number in table.index]
    table = table.assign(id=numbers, path=[f"windows/{number}.npz" for number in numbers])
    (public / "windows").mkdir()
    for place, path in zip(order, table["path"], strict=True):
        windows.write(public / path, features=points[place])
    table = table[["id", "path", *TARGETS]]
    positions = np.flatnonzero(np.isin(order, hidden))
    self_hosting.write(table, positions, TARGETS, {"motion": MOTIONS[0]}, public, private)


def _rows(path: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Positions (n, 16, 2) relative to the first frame, and motion, recording, row and block of each."""
    try:
        values = pd.read_csv(path, header=None).to_numpy(np.float64)
    except (OSError, ValueError) as error:
        raise GoldfoldError(
            "raw_data_invalid", f"{path} cannot be read ({error}): see competitions/hand_gestures/README.md"
        ) from error
    if values.shape[1] != 1 + 2 * FRAMES or not np.isin(values[:, 0], range(len(MOTIONS))).all():
        raise GoldfoldError(
            "raw_data_invalid",
            f"{path} must have a class from 0 to {len(MOTIONS) - 1} and {2 * FRAMES} coordinates per row, got "
            f"{values.shape[1]} columns: see competitions/hand_gestures/README.md",
        )
    classes = values[:, 0].astype(int)
    recording = pd.Series(np.r_[0, np.cumsum(np.diff(classes) != 0)]).map("r{}".format)  # a new one per change
    rows = pd.DataFrame({"motion": np.array(MOTIONS, object)[classes], "recording": recording})
    rows["row"] = np.arange(len(rows))
    rows["block"] = time_folds.blocks(rows["recording"], rows["row"], BLOCK)
    moved = values[:, 1:].any(axis=1)  # 28 rows are all 0: without a hand, and copies of one another
    return values[moved, 1:].reshape(-1, FRAMES, 2), rows[moved].reset_index(drop=True)


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has motion (a name), recording, row (from 0) and block (120 rows)."""
    return self_hosting.read(public, text=["motion", "recording", "block"])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds of whole blocks; rows within 16 of a validation row are left out of training."""
    return _split(train, FOLDS, seed)


def _split(rows: pd.DataFrame, folds: int, seed: int) -> list[Fold]:
    return time_folds.folds(rows["recording"], rows["row"], rows["block"], folds, NEIGHBORS.guard, seed)
