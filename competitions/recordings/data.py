"""Recordings of one's own as labelled frames: PNG files, blocks of time as folds, and some blocks hidden."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting, time_folds
from goldfold.optional_parts import Neighbors, Pairs
from goldfold.retrieval import search as retrieval
from goldfold.sequences import recording_folders, recordings
from goldfold.submission.ranked_lists import RankedLists

TARGETS = ("label",)
UNLABELLED = "?"  # such a frame neither asks nor answers, it may be learnt from
NEIGHBORS = Neighbors("recording", "frame", 2)
BLOCK = 20  # frames
LISTS = RankedLists("frames", length=24, depth=20)  # up to four of a list are near-duplicates of the query
HIDDEN_SEED, FOLDS = 2025, 4


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Write each frame as PNG and hide the labelled ones of a fifth of the blocks."""
    layout, counts = recording_folders.read_layout(raw), {}
    for name, path in recording_folders.find_recordings(raw).items():
        (public / "images" / name).mkdir(parents=True)
        frames = recording_folders.eight_bit_frames(recordings.read(path, layout.variable, layout.frames_axis), layout)
        for number, frame in enumerate(frames):
            pixels = frame if frame.ndim == 2 else frame[..., ::-1]
            cv2.imencode(".png", pixels)[1].tofile(public / "images" / name / f"{number:05d}.png")
            counts[name] = number + 1
    rows = _rows(counts).merge(recording_folders.read_labels(raw / "labels.csv", counts), how="left")
    rows["label"] = rows["label"].fillna(UNLABELLED)
    known = np.flatnonzero(rows["label"] != UNLABELLED)
    hidden = known[_split(rows.iloc[known], folds=5, seed=HIDDEN_SEED)[0].validation]
    kept = time_folds.outside_guard(rows["recording"], rows["frame"], hidden, NEIGHBORS.guard)
    LISTS.write_tables(rows.iloc[kept], rows.iloc[hidden], TARGETS, pairs, public, private)


def _rows(counts: dict[str, int]) -> pd.DataFrame:
    """A row per frame, without labels."""
    told = [(name, number) for name, count in counts.items() for number in range(count)]
    rows = pd.DataFrame(told, columns=["recording", "frame"])
    rows["block"] = time_folds.blocks(rows["recording"], rows["frame"], BLOCK)
    numbers = [f"{number:05d}" for number in rows["frame"]]
    paths = "images/" + rows["recording"] + "/" + numbers + ".png"
    return rows.assign(id=rows["recording"].str.replace(r"\s", "_", regex=True) + "_" + numbers, path=paths)


def load(public: Path) -> Tables:
    """Both: id, path, recording, frame (its number, from 0), block (20 frames). Train: label, "?" where unknown."""
    return self_hosting.read(public, text=["id", "recording", "block", "label", LISTS.column])


def pairs(rows: pd.DataFrame) -> Pairs:
    """Labelled frames of one label, unless two frames or less apart in one recording: these are left out."""
    known = np.flatnonzero(rows["label"] != UNLABELLED)
    some = rows.iloc[known]
    alike = retrieval.by_label(some["label"])
    near = retrieval.by_time(some["recording"], some["frame"], np.inf, NEIGHBORS.guard)
    return Pairs(
        queries=known,
        gallery=known,
        relevant=lambda queries: alike.relevant(queries) & ~near.left_out(queries),
        left_out=near.left_out,
    )


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Four folds of whole blocks, trained without the two frames next to a validated one."""
    return _split(train, FOLDS, seed)


def _split(rows: pd.DataFrame, folds: int, seed: int) -> list[Fold]:
    return time_folds.folds(rows["recording"], rows["frame"], rows["block"], folds, NEIGHBORS.guard, seed)
