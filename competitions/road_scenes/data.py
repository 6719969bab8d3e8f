"""CamVid's road scenes: which of eight classes a frame shows, by its label map; folds and test are blocks of time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting, time_folds
from goldfold.errors import GoldfoldError
from goldfold.images import masks
from goldfold.optional_parts import Neighbors

CLASSES = {  # number in the label maps -> name; sky, building and road, 0, 1 and 3, are in nearly all frames
    **{2: "pole", 4: "pavement", 5: "tree", 6: "sign", 7: "fence", 8: "car", 9: "pedestrian", 10: "bicyclist"},
}
LABELS = tuple(CLASSES.values())
TARGETS = (*LABELS, "recording", "second", "block")
SHARE = 0.005  # of the pixels from which a class counts as shown
NEIGHBORS = Neighbors("recording", "second", 2.0)
BLOCK, RATE = 30.0, 30  # seconds; the numbers in file names count 30 per second
HIDDEN_SEED, FOLDS = 1, 4


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Read which classes each frame shows, and hide whole blocks of time under shuffled, anonymous names."""
    frames = _frames(raw)
    hidden = _split(frames, 5, HIDDEN_SEED)[0].validation
    order = np.random.default_rng(HIDDEN_SEED).permutation(len(hidden))
    names = np.array(frames["id"], object)
    names[hidden] = [f"hidden{number:03d}" for number in order]
    frames = frames.assign(id=names, source=frames["path"], path=[f"images/{name}.jpg" for name in names])
    (public / "images").mkdir()
    for source, path in zip(frames.pop("source"), frames["path"], strict=True):
        shutil.copyfile(source, public / path)
    sample = dict.fromkeys(LABELS, 0.5)
    shuffled = np.concatenate([np.setdiff1d(np.arange(len(frames)), hidden), hidden[np.argsort(order)]])
    test = np.arange(len(frames) - len(hidden), len(frames))
    self_hosting.write(frames.iloc[shuffled], test, targets=TARGETS, sample=sample, public=public, private=private)


def _frames(raw: Path) -> pd.DataFrame:
    """List the frames below train, val and test: id, path, a 0/1 column per label, recording, second, block."""
    files = sorted((path for part in ("train", "val", "test") for path in (raw / part).glob("*.jpg")), key=_name)
    rows = pd.DataFrame({"id": [path.stem for path in files], "path": files}, dtype=object)
    named = rows["id"].str.extract(r"^(?P<recording>[^_]+)_f?(?P<number>\d+)$")
    if not files or named.isna().any(axis=None):
        raise GoldfoldError(
            "raw_data_invalid",
            f"{raw} must hold folders train, val and test with images <recording>_<number>.jpg, and label maps in "
            "trainannot, valannot and testannot: see competitions/road_scenes/README.md",
        )
    shares = [_shares(path.parent.with_name(f"{path.parent.name}annot") / f"{path.stem}.png") for path in files]
    shown = pd.DataFrame(np.array(shares)[:, list(CLASSES)] >= SHARE, columns=list(LABELS)).astype(int)
    rows = rows.join(shown).assign(recording=named["recording"], second=named["number"].astype(int) / RATE)
    return rows.assign(block=time_folds.blocks(rows["recording"], rows["second"], BLOCK))


def _name(path: Path) -> str:
    return path.name


def _shares(path: Path) -> np.ndarray:
    """The share of pixels of each of the 12 numbers of a label map."""
    labels = masks.read(path)
    return np.bincount(labels.ravel(), minlength=12) / labels.size


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has a 0/1 column per label, recording, second and block (30 s)."""
    return self_hosting.read(public, text=["recording", "block"])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw four folds of whole blocks; frames within 2 s of a validation frame are left out of training."""
    return _split(train, FOLDS, seed)


def _split(rows: pd.DataFrame, folds: int, seed: int) -> list[Fold]:
    return time_folds.folds(rows["recording"], rows["second"], rows["block"], folds, NEIGHBORS.guard, seed)
