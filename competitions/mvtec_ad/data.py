"""MVTec AD's folders as tables: normal training images and labeled test images, of which a fifth is hidden."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import fold_checks, self_hosting
from goldfold.data.layouts import defect_folders
from goldfold.errors import GoldfoldError
from goldfold.images import masks as image_masks
from goldfold.images import reading

TARGETS = ("defect", "kind", "source", "mask_path")
HIDDEN_SEED = 2019
FOLDS = 5


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy images and masks under anonymous names, and hide the labels of a fifth of the test images."""
    rows = defect_folders.mvtec(raw).rename(columns={"path": "file", "mask_path": "mask", "name": "source"})
    rows = rows.sample(frac=1, random_state=HIDDEN_SEED, ignore_index=True)  # numbers must not leak the kind
    rows["defect"] = (rows["kind"] != defect_folders.GOOD).astype(int)
    if not (few := rows.loc[rows["part"] == "test", "defect"].value_counts().reindex([0, 1], fill_value=0)).ge(2).all():
        raise GoldfoldError(
            "too_few_test_images",
            f"{raw} needs at least 2 good test images (<class>/test/good) and 2 with defects, and has {few[0]} and "
            f"{few[1]}: add some",
        )
    rows["id"] = rows["class"] + "_" + rows.groupby("class").cumcount().map("{:04d}".format)
    rows["path"] = [f"images/{id_}{file.suffix}" for id_, file in zip(rows["id"], rows["file"], strict=True)]
    rows["mask_path"] = [f"masks/{id_}.png" for id_ in rows["id"]]
    labeled = rows.index[rows["part"] == "test"]
    hidden = labeled[_assigned_folds(rows.loc[labeled], HIDDEN_SEED) == 0]
    _copy(rows, rows.index.difference(hidden), public)
    tables = rows[["id", "path", "class", "part", *TARGETS]]
    self_hosting.write(tables, hidden, targets=TARGETS, sample={"defect": 0.5}, public=public, private=private)


def _copy(rows: pd.DataFrame, known: pd.Index, public: Path) -> None:
    for part in ("images", "masks"):
        (public / part).mkdir()
    for row in rows.itertuples():
        shutil.copyfile(row.file, public / row.path)
    for row in rows.loc[known].itertuples():
        mask = image_masks.read_defect(row.mask, row.file) > 0 if row.defect else np.zeros(reading.size(row.file), bool)
        cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tofile(public / row.mask_path)


def _assigned_folds(rows: pd.DataFrame, seed: int) -> np.ndarray:
    """Return the validation fold of each row, (n,): rows of one class and kind are assigned in turn, however few."""
    order = rows.reset_index(drop=True).sample(frac=1, random_state=seed)
    order = order.sort_values(["part", "class", "kind"], kind="stable").index
    assigned = np.empty(len(rows), np.int64)
    assigned[order] = np.arange(len(rows)) % FOLDS
    return assigned


def load(public: Path) -> Tables:
    """Load both tables: id, path, class, part ("train" or "test" of the data set).

    The train table also has defect (0 or 1), kind ("good" or the kind of defect), source (its name in the data set) and
    mask_path (0 = normal; an empty mask for normal images).
    """
    return self_hosting.read(public, text=defect_folders.TEXT_COLUMNS)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds that validate on a fifth of each class and kind, and train on images of `train/good` only."""
    assigned, trainable = _assigned_folds(train, seed), train["part"] == "train"
    folds = [
        Fold(np.flatnonzero(trainable & (assigned != fold)), np.flatnonzero(assigned == fold)) for fold in range(FOLDS)
    ]
    return fold_checks.verified(folds, len(train))


def masks(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Read the defect mask of each image, int32 (height, width), 0 = normal."""
    return map(image_masks.read, rows["mask_path"], rows["path"])
