"""CamVid's road scenes as frames with recording and time; whole blocks of time form the hidden test set."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting, time_folds
from goldfold.data.layouts.defect_folders import IMAGE_SUFFIXES
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import Neighbors, Pairs
from goldfold.retrieval.pairs import by_time
from goldfold.submission.ranked_lists import RankedLists

TARGETS = ("place", "recording", "second", "block")
NEIGHBORS = Neighbors("recording", "second", 2.0)
WITHIN = 10.0  # seconds; up to this distance in time, frames show the same place
BLOCK, PLACE = 30.0, 10.0  # seconds; three places per block
RATE = 30  # the numbers in file names count 30 per second
LISTS = RankedLists("frames", length=24, depth=20)  # at 1 frame per second up to 4 listed frames are near-duplicates
HIDDEN_SEED, FOLDS = 1, 4  # seed 1 is the first that draws hidden blocks from all four recordings


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy the frames; those of the hidden blocks get shuffled, anonymous names."""
    frames = _frames(raw)
    kept, hidden = _split(frames, folds=5, seed=HIDDEN_SEED)[0]
    train, test = frames.iloc[kept], frames.iloc[hidden].sample(frac=1, random_state=HIDDEN_SEED)
    test = test.assign(id=[f"hidden{number:03d}" for number in range(len(test))])
    (public / "images").mkdir()
    renamed = [
        rows.assign(path=[f"images/{id_}{path.suffix}" for id_, path in zip(rows["id"], rows["path"], strict=True)])
        for rows in (train, test)
    ]
    for rows, named in zip((train, test), renamed, strict=True):
        for source, path in zip(rows["path"], named["path"], strict=True):
            shutil.copyfile(source, public / path)
    LISTS.write_tables(*renamed, TARGETS, pairs, public, private)


def _frames(raw: Path) -> pd.DataFrame:
    """List the images below train, val and test, sorted by names such as 0006R0_f01230.jpg."""
    found = [path for part in ("train", "val", "test") for path in (raw / part).glob("[!.]*")]
    files = sorted((path for path in found if path.suffix.lower() in IMAGE_SUFFIXES), key=lambda path: path.name)
    rows = pd.DataFrame({"id": [path.stem for path in files], "path": files}, dtype=object)
    named = rows["id"].str.extract(r"^(?P<recording>[^_]+)_f?(?P<number>\d+)$")
    if not files or named.isna().any(axis=None):
        example = rows["path"][named["number"].isna()].iloc[0] if files else "no image"
        raise GoldfoldError(
            "raw_data_invalid",
            f"{raw} must hold folders train, val and test with images <recording>_<number>.jpg, found {example}: see "
            "competitions/frames/README.md",
        )
    rows = rows.assign(recording=named["recording"], second=named["number"].astype(int) / RATE)
    lengths = {"block": BLOCK, "place": PLACE}
    return rows.assign(
        **{name: time_folds.blocks(rows["recording"], rows["second"], length) for name, length in lengths.items()}
    )


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has recording, second (number / 30), block (30 s) and place (10 s)."""
    return self_hosting.read(public, text=["id", "recording", "block", "place", LISTS.column])


def pairs(rows: pd.DataFrame) -> Pairs:
    """Frames more than 2 s and up to 10 s away in the same recording are relevant; nearer ones are left out."""
    return by_time(rows["recording"], rows["second"], WITHIN, NEIGHBORS.guard)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw four folds of whole blocks; frames within 2 s of a validation frame are left out of training."""
    return _split(train, FOLDS, seed)


def _split(rows: pd.DataFrame, folds: int, seed: int) -> list[Fold]:
    return time_folds.folds(rows["recording"], rows["second"], rows["block"], folds, NEIGHBORS.guard, seed)
