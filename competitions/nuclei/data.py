"""Kaggle's folders of images and single-nucleus masks as tables with one image and one instance map per row."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.competition import Fold, Tables
from goldfold.data.folds import stratified
from goldfold.errors import GoldfoldError
from goldfold.images import masks as image_masks
from goldfold.images import reading
from goldfold.submission import rle

COLUMNS = ["ImageId", "EncodedPixels"]


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Use Kaggle's test set if `raw` has it; otherwise hide a stratified fifth of the training images as test set."""
    self_hosted = not (raw / "stage1_test").exists()
    for name in ("stage1_train", *(() if self_hosted else ("stage1_sample_submission.csv",))):
        if not (raw / name).exists():
            raise GoldfoldError(
                "raw_data_missing",
                f"{raw / name} is missing: put Kaggle's unzipped files there, then run `make prepare COMP=nuclei`",
            )
    for part in ("images", "masks"):
        (public / part).mkdir()
    train = _copy(raw / "stage1_train", public, labeled=True)
    if self_hosted:
        hidden = stratified(train["stratum"], folds=5, seed=0)[0].validation
        test, train = train.iloc[hidden], train.drop(index=hidden)
        _hide(test, public / "masks", private)
        DataFrame({"ImageId": test["id"], "EncodedPixels": "1 1"}).to_csv(public / "sample_submission.csv", index=False)
    else:
        test = _copy(raw / "stage1_test", public, labeled=False)
        shutil.copyfile(raw / "stage1_sample_submission.csv", public / "sample_submission.csv")
    train.to_csv(public / "train.csv", index=False)
    test.to_csv(public / "test.csv", index=False)


def _copy(source: Path, public: Path, *, labeled: bool) -> DataFrame:
    """Copy the images and return one row per image; masks are merged into a 16-bit PNG, later nuclei cover earlier."""
    rows = []
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        file = folder / "images" / f"{folder.name}.png"
        pixels = reading.read(file)
        shutil.copyfile(file, public / "images" / file.name)
        if labeled:
            merged = np.zeros(pixels.shape[:2], np.uint16)
            for number, mask in enumerate(sorted((folder / "masks").glob("*.png")), 1):
                merged[image_masks.read(mask, file) > 0] = number
            cv2.imencode(".png", merged)[1].tofile(public / "masks" / file.name)
        rows.append((folder.name, *pixels.shape[:2], _stratum(pixels)))
    return DataFrame(rows, columns=["id", "height", "width", "stratum"])


def _stratum(pixels: np.ndarray) -> str:
    """Guess the imaging method of a uint8 RGB image from its mean saturation and mean gray value, 0 to 255."""
    if cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[..., 1].mean() > 10:
        return "stained"
    gray = pixels.mean()
    return "brightfield" if gray > 100 else "fluorescence" if gray > 10 else "dim fluorescence"


def _hide(test: DataFrame, masks_folder: Path, private: Path) -> None:
    """Move the nuclei of the test images from `masks_folder` to the solution, one row per nucleus."""
    rows = []
    for id_, height, width in test[["id", "height", "width"]].itertuples(index=False):
        file = masks_folder / f"{id_}.png"
        rows += [(id_, code, height, width) for code in rle.encode_instances(image_masks.read(file)) or [""]]
        file.unlink()
    DataFrame(rows, columns=[*COLUMNS, "Height", "Width"]).to_csv(private / "solution.csv", index=False)


def load(public: Path) -> Tables:
    """Load both tables: id, height, width, stratum, path; train also has mask_path."""
    train, test = (pd.read_csv(public / f"{part}.csv", dtype={"id": str}) for part in ("train", "test"))
    for rows in (train, test):
        rows["path"] = [public / "images" / f"{id_}.png" for id_ in rows["id"]]
    train["mask_path"] = [public / "masks" / f"{id_}.png" for id_ in train["id"]]
    return Tables(train=train, test=test, sample_submission=pd.read_csv(public / "sample_submission.csv", dtype=str))


def split(train: DataFrame, seed: int) -> list[Fold]:
    """Draw three folds, stratified by imaging method."""
    return stratified(train["stratum"], folds=3, seed=seed)


def masks(rows: DataFrame) -> Iterator[np.ndarray]:
    """Read the instance map of each image, int32 (height, width), 0 = background."""
    return map(image_masks.read, rows["mask_path"], rows["path"])
