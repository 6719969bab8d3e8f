"""CamVid's road scenes as frames with a place in time: whole blocks of time are hidden, and what tells the time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting, time_folds
from goldfold.data.defect_folders import IMAGE_SUFFIXES
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import Neighbors, Pairs
from goldfold.retrieval import search as retrieval
from goldfold.submission.ranked_lists import RankedLists

TARGETS = ("place", "recording", "second", "block")
NEIGHBORS = Neighbors("recording", "second", 2.0)
WITHIN = 10.0  # seconds up to which a frame shows the same place
BLOCK, PLACE = 30.0, 10.0  # seconds; places lie in blocks
RATE = 30  # numbers a second in the file names
LISTS = RankedLists("frames", length=24, depth=20)  # at one frame a second four of a list may be near-duplicates
HIDDEN_SEED, FOLDS = 1, 4  # 1: the first whose blocks are of all four recordings


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy the frames; those of the hidden blocks in shuffled order under names that tell nothing."""
    frames = _frames(raw)
    kept, hidden = _split(frames, folds=5, seed=HIDDEN_SEED)[0]
    train, test = frames.iloc[kept], frames.iloc[hidden].sample(frac=1, random_state=HIDDEN_SEED)
    test = test.assign(id=[f"hidden{number:03d}" for number in range(len(test))])
    (public / "images").mkdir()
    shown = [
        rows.assign(path=[f"images/{id_}{path.suffix}" for id_, path in zip(rows["id"], rows["path"], strict=True)])
        for rows in (train, test)
    ]
    for rows, named in zip((train, test), shown, strict=True):
        for source, path in zip(rows["path"], named["path"], strict=True):
            shutil.copyfile(source, public / path)
    LISTS.write_tables(*shown, TARGETS, pairs, public, private)


def _frames(raw: Path) -> pd.DataFrame:
    """A row per photograph below train, val and test, in the order of names such as 0006R0_f01230.jpg."""
    found = [path for part in ("train", "val", "test") for path in (raw / part).glob("[!.]*")]
    files = sorted((path for path in found if path.suffix.lower() in IMAGE_SUFFIXES), key=lambda path: path.name)
    rows = pd.DataFrame({"id": [path.stem for path in files], "path": files}, dtype=object)
    named = rows["id"].str.extract(r"^(?P<recording>[^_]+)_f?(?P<number>\d+)$")
    if not files or named.isna().any(axis=None):
        strange = rows["path"][named["number"].isna()].iloc[0] if files else "none"
        raise GoldfoldError(
            f"{raw} must hold train, val and test with <recording>_<number>.jpg, unlike {strange}: see README.md"
        )
    rows = rows.assign(recording=named["recording"], second=named["number"].astype(int) / RATE)
    stretches = {"block": BLOCK, "place": PLACE}
    return rows.assign(
        **{name: time_folds.blocks(rows["recording"], rows["second"], length) for name, length in stretches.items()}
    )


def load(public: Path) -> Tables:
    """Both: id, path. Train: recording, second (number / 30), block (30 s of it) and place (10 s of it)."""
    return self_hosting.read(public, text=["id", "recording", "block", "place", LISTS.column])


def pairs(rows: pd.DataFrame) -> Pairs:
    """Right: more than 2 s and up to 10 s away in the same recording; what is nearer is left out."""
    return retrieval.by_time(rows["recording"], rows["second"], WITHIN, NEIGHBORS.guard)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Four folds of whole blocks, trained without the frames within 2 s of a validated one."""
    return _split(train, FOLDS, seed)


def _split(rows: pd.DataFrame, folds: int, seed: int) -> list[Fold]:
    return time_folds.folds(rows["recording"], rows["second"], rows["block"], folds, NEIGHBORS.guard, seed)
