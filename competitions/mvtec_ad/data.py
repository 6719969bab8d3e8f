"""MVTec AD's folders as tables: normal images to learn from, labelled ones to score, of which a fifth is hidden."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import defect_folders, fold_checks, self_hosting
from goldfold.errors import GoldfoldError
from goldfold.images import reading as images

TARGETS = ("defect", "kind", "source", "mask_path")
HIDDEN_SEED = 2019
FOLDS = 5


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy images and masks under names that tell nothing, and hide the labels of a fifth of the test images."""
    rows = defect_folders.mvtec(raw).rename(columns={"path": "file", "mask_path": "mask", "name": "source"})
    rows = rows.sample(frac=1, random_state=HIDDEN_SEED, ignore_index=True)  # a number must not tell the kind
    rows["defect"] = (rows["kind"] != defect_folders.GOOD).astype(int)
    if not (few := rows.loc[rows["part"] == "test", "defect"].value_counts().reindex([0, 1], fill_value=0)).ge(2).all():
        raise GoldfoldError(
            f"{raw} must hold two or more test images of either kind, in <class>/test/good and in folders of defects, "
            f"and holds {few[0]} and {few[1]}: add some"
        )
    rows["id"] = rows["class"] + "_" + rows.groupby("class").cumcount().map("{:04d}".format)
    rows["path"] = [f"images/{id_}{file.suffix}" for id_, file in zip(rows["id"], rows["file"], strict=True)]
    rows["mask_path"] = [f"masks/{id_}.png" for id_ in rows["id"]]
    labelled = rows.index[rows["part"] == "test"]
    hidden = labelled[_dealt(rows.loc[labelled], HIDDEN_SEED) == 0]
    _copy(rows, rows.index.difference(hidden), public)
    tables = rows[["id", "path", "class", "part", *TARGETS]]
    self_hosting.write(tables, hidden, targets=TARGETS, sample={"defect": 0.5}, public=public, private=private)


def _copy(rows: pd.DataFrame, known: pd.Index, public: Path) -> None:
    for part in ("images", "masks"):
        (public / part).mkdir()
    for row in rows.itertuples():
        shutil.copyfile(row.file, public / row.path)
    for row in rows.loc[known].itertuples():
        mask = images.read_mask(row.mask) > 0 if row.defect else np.zeros(images.size(row.file), bool)
        cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tofile(public / row.mask_path)


def _dealt(rows: pd.DataFrame, seed: int) -> np.ndarray:
    """The fold that each row is validated in, (n,): rows of one class and kind are dealt out in turn, however few."""
    order = rows.reset_index(drop=True).sample(frac=1, random_state=seed)
    order = order.sort_values(["part", "class", "kind"], kind="stable").index
    dealt = np.empty(len(rows), np.int64)
    dealt[order] = np.arange(len(rows)) % FOLDS
    return dealt


def load(public: Path) -> Tables:
    """Both tables: id, path, class, part ("train" or "test" as the data set parts them).

    Train besides: defect (0 or 1), kind ("good" or the defect's), source (its name in the data set), mask_path (0 =
    whole; normal images have an empty mask).
    """
    return self_hosting.read(public, text=defect_folders.TEXT_COLUMNS)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Five folds that validate a fifth of each class and kind; images from `train/good` alone are learnt from."""
    dealt, learnt = _dealt(train, seed), train["part"] == "train"
    folds = [Fold(np.flatnonzero(learnt & (dealt != fold)), np.flatnonzero(dealt == fold)) for fold in range(FOLDS)]
    return fold_checks.verified(folds, len(train))


def masks(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """The defect of each image as an int32 (height, width) map, 0 = whole."""
    return map(images.read_mask, rows["mask_path"])
