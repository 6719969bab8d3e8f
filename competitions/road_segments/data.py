"""CamVid's road scenes and their label maps; folds and test are blocks of time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import csv_tables, time_folds
from goldfold.data.self_hosting import read
from goldfold.errors import GoldfoldError
from goldfold.images import masks as image_masks
from goldfold.io.files import write_text
from goldfold.optional_parts import Neighbors
from goldfold.submission import rle

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
VOID = 11  # in the label maps: pixels of no class
TARGETS = ("mask_path", "recording", "second", "block")
COLUMNS = ["ImageId", "ClassId", "EncodedPixels"]
HIDDEN = [*COLUMNS, "Height", "Width"]
NEIGHBORS = Neighbors("recording", "second", 2.0)
BLOCK, RATE = 30.0, 30  # seconds; the numbers in file names count 30 per second
HIDDEN_SEED, FOLDS = 1, 4
FILES = (("images/", ".jpg"), ("masks/", ".png"))


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy images and label maps, and hide whole blocks of time under shuffled, anonymous names."""
    frames = _frames(raw)
    hidden = _split(frames, 5, HIDDEN_SEED)[0].validation
    order = np.random.default_rng(HIDDEN_SEED).permutation(len(hidden))
    frames.loc[hidden, "id"] = [f"hidden{number:03d}" for number in order]
    for part in ("images", "masks"):
        (public / part).mkdir()
    for row in frames.itertuples():
        shutil.copyfile(row.path, public / "images" / f"{row.id}.jpg")
        if row.Index not in hidden:
            shutil.copyfile(_label_map(row.path), public / "masks" / f"{row.id}.png")
    test = frames.iloc[hidden].sort_values("id")
    solution = pd.DataFrame([each for row in test.itertuples() for each in _runs(row.id, row.path)])
    sample = solution[COLUMNS].assign(EncodedPixels=np.where(solution["ClassId"] == 0, "1 1", ""))
    for rows in (frames, test):
        rows["path"], rows["mask_path"] = (part + rows["id"] + end for part, end in FILES)
    tables = {"train": frames.drop(hidden), "test": test[["id", "path"]], "sample_submission": sample}
    for file, table in tables.items():
        write_text(public / f"{file}.csv", csv_tables.to_text(table))
    write_text(private / "solution.csv", csv_tables.to_text(solution))


def _frames(raw: Path) -> pd.DataFrame:
    """List the frames below train, val and test: id, path, recording, second, block."""
    found = (path for part in ("train", "val", "test") for path in (raw / part).glob("*.jpg"))
    files = sorted(found, key=lambda path: path.name)
    rows = pd.DataFrame({"id": [path.stem for path in files], "path": files}, dtype=object)
    named = rows["id"].str.extract(r"^(?P<recording>[^_]+)_f?(?P<number>\d+)$")
    if not files or named.isna().any(axis=None):
        raise GoldfoldError(
            "raw_data_invalid",
            f"{raw} must hold folders train, val and test with images <recording>_<number>.jpg, and label maps in "
            "trainannot, valannot and testannot: see competitions/road_segments/README.md",
        )
    rows = rows.assign(recording=named["recording"], second=named["number"].astype(int) / RATE)
    return rows.assign(block=time_folds.blocks(rows["recording"], rows["second"], BLOCK))


def _label_map(image: Path) -> Path:
    return image.parent.with_name(f"{image.parent.name}annot") / f"{image.stem}.png"


def _runs(name: str, image: Path) -> Iterator[dict]:
    """A row of run lengths per class of an image, with its height and width."""
    labels = image_masks.read(_label_map(image), image)
    for number in range(len(CLASSES)):
        yield dict(zip(HIDDEN, (name, number, rle.encode(labels == number), *labels.shape), strict=True))


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has mask_path, recording, second and block (30 s)."""
    return read(public, text=["recording", "block"])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw four folds of whole blocks; frames within 2 s of a validation frame are left out of training."""
    return _split(train, FOLDS, seed)


def _split(rows: pd.DataFrame, folds: int, seed: int) -> list[Fold]:
    return time_folds.folds(rows["recording"], rows["second"], rows["block"], folds, NEIGHBORS.guard, seed)


def masks(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Read the label map of each image, int32 (height, width): indices of `CLASSES`, or `VOID`."""
    return map(image_masks.read, rows["mask_path"], rows["path"])
