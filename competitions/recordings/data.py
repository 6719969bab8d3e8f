"""Your own recordings as labeled frames: PNG files, folds of blocks of time, and a fifth of the blocks hidden."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting, time_folds
from goldfold.optional_parts import Neighbors, Pairs
from goldfold.retrieval.pairs import by_label, by_time
from goldfold.sequences import recording_folders, recordings
from goldfold.submission.ranked_lists import RankedLists

TARGETS = ("label",)
UNLABELED = "?"  # neither query nor gallery, but used in training
NEIGHBORS = Neighbors("recording", "frame", 2)
BLOCK = 20  # frames
LISTS = RankedLists("frames", length=24, depth=20)  # up to 4 listed frames are near-duplicates of the query
HIDDEN_SEED, FOLDS = 2025, 4


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Write each frame as PNG, and hide the labeled frames of a fifth of the blocks."""
    layout, counts = recording_folders.read_layout(raw), {}
    for name, path in recording_folders.find_recordings(raw).items():
        (public / "images" / name).mkdir(parents=True)
        frames = recording_folders.eight_bit_frames(recordings.read(path, layout.variable, layout.frames_axis), layout)
        for number, frame in enumerate(frames):
            pixels = frame if frame.ndim == 2 else frame[..., ::-1]
            cv2.imencode(".png", pixels)[1].tofile(public / "images" / name / f"{number:05d}.png")
            counts[name] = number + 1
    rows = _rows(counts).merge(recording_folders.read_labels(raw / "labels.csv", counts), how="left")
    rows["label"] = rows["label"].fillna(UNLABELED)
    known = np.flatnonzero(rows["label"] != UNLABELED)
    hidden = known[_split(rows.iloc[known], folds=5, seed=HIDDEN_SEED)[0].validation]
    kept = time_folds.outside_guard(rows["recording"], rows["frame"], hidden, NEIGHBORS.guard)
    LISTS.write_tables(rows.iloc[kept], rows.iloc[hidden], TARGETS, pairs, public, private)


def _rows(counts: dict[str, int]) -> pd.DataFrame:
    """Make one row per frame, without labels."""
    frames = [(name, number) for name, count in counts.items() for number in range(count)]
    rows = pd.DataFrame(frames, columns=["recording", "frame"])
    rows["block"] = time_folds.blocks(rows["recording"], rows["frame"], BLOCK)
    numbers = [f"{number:05d}" for number in rows["frame"]]
    paths = "images/" + rows["recording"] + "/" + numbers + ".png"
    return rows.assign(id=rows["recording"].str.replace(r"\s", "_", regex=True) + "_" + numbers, path=paths)


def load(public: Path) -> Tables:
    """Load both tables: id, path, recording, frame (from 0), block (20 frames); train also has label ("?": none)."""
    return self_hosting.read(public, text=["id", "recording", "block", "label", LISTS.column])


def pairs(rows: pd.DataFrame) -> Pairs:
    """Labeled frames with equal labels are relevant; frames at most 2 apart in one recording are left out."""
    known = np.flatnonzero(rows["label"] != UNLABELED)
    labeled = rows.iloc[known]
    alike = by_label(labeled["label"])
    near = by_time(labeled["recording"], labeled["frame"], np.inf, NEIGHBORS.guard)
    return Pairs(
        queries=known,
        gallery=known,
        relevant=lambda queries: alike.relevant(queries) & ~near.left_out(queries),
        left_out=near.left_out,
    )


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw four folds of whole blocks; the 2 frames on each side of a validation frame are left out of training."""
    return _split(train, FOLDS, seed)


def _split(rows: pd.DataFrame, folds: int, seed: int) -> list[Fold]:
    return time_folds.folds(rows["recording"], rows["frame"], rows["block"], folds, NEIGHBORS.guard, seed)
