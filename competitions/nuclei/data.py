"""Kaggle's folders of images and single-nucleus masks become one image, one instance map and one row per sample."""

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
from goldfold.images import reading as images
from goldfold.submission import rle

COLUMNS = ["ImageId", "EncodedPixels"]


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Kaggle's test set where `raw` has it; else every fifth training image of a stratum is kept as hidden test."""
    hosts = not (raw / "stage1_test").exists()
    for name in ("stage1_train", *(() if hosts else ("stage1_sample_submission.csv",))):
        if not (raw / name).exists():
            raise GoldfoldError(f"{raw / name} is missing: put Kaggle's there, then make prepare COMP=nuclei")
    for part in ("images", "masks"):
        (public / part).mkdir()
    train = _copied(raw / "stage1_train", public, labelled=True)
    if hosts:
        hidden = stratified(train["stratum"], folds=5, seed=0)[0].validation
        test, train = train.iloc[hidden], train.drop(index=hidden)
        _hide(test, public / "masks", private)
        DataFrame({"ImageId": test["id"], "EncodedPixels": "1 1"}).to_csv(public / "sample_submission.csv", index=False)
    else:
        test = _copied(raw / "stage1_test", public, labelled=False)
        shutil.copyfile(raw / "stage1_sample_submission.csv", public / "sample_submission.csv")
    train.to_csv(public / "train.csv", index=False)
    test.to_csv(public / "test.csv", index=False)


def _copied(source: Path, public: Path, *, labelled: bool) -> DataFrame:
    """One row per image; its nuclei's masks are merged into one 16-bit PNG, where a later nucleus covers an earlier."""
    rows = []
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        file = folder / "images" / f"{folder.name}.png"
        pixels = images.read(file)
        shutil.copyfile(file, public / "images" / file.name)
        if labelled:
            merged = np.zeros(pixels.shape[:2], np.uint16)
            for number, mask in enumerate(sorted((folder / "masks").glob("*.png")), 1):
                merged[images.read(mask, grey=True)[..., 0] > 0] = number
            cv2.imencode(".png", merged)[1].tofile(public / "masks" / file.name)
        rows.append((folder.name, *pixels.shape[:2], _stratum(pixels)))
    return DataFrame(rows, columns=["id", "height", "width", "stratum"])


def _stratum(pixels: np.ndarray) -> str:
    """How a uint8 RGB image was made, judged by its mean saturation and grey value, 0 to 255."""
    if cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[..., 1].mean() > 10:
        return "stained"
    grey = pixels.mean()
    return "brightfield" if grey > 100 else "fluorescence" if grey > 10 else "dim fluorescence"


def _hide(test: DataFrame, masks_folder: Path, private: Path) -> None:
    """Move the test images' nuclei from `masks_folder` into the solution, a row per nucleus."""
    rows = []
    for id_, height, width in test[["id", "height", "width"]].itertuples(index=False):
        file = masks_folder / f"{id_}.png"
        rows += [(id_, code, height, width) for code in rle.encode_instances(images.read_mask(file)) or [""]]
        file.unlink()
    DataFrame(rows, columns=[*COLUMNS, "Height", "Width"]).to_csv(private / "solution.csv", index=False)


def load(public: Path) -> Tables:
    train, test = (pd.read_csv(public / f"{part}.csv", dtype={"id": str}) for part in ("train", "test"))
    for rows in (train, test):
        rows["path"] = [public / "images" / f"{id_}.png" for id_ in rows["id"]]
    train["mask_path"] = [public / "masks" / f"{id_}.png" for id_ in train["id"]]
    return Tables(train=train, test=test, sample_submission=pd.read_csv(public / "sample_submission.csv", dtype=str))


def split(train: DataFrame, seed: int) -> list[Fold]:
    return stratified(train["stratum"], folds=3, seed=seed)


def masks(rows: DataFrame) -> Iterator[np.ndarray]:
    """The nuclei of each image as an int32 (height, width) map, 0 = background."""
    return map(images.read_mask, rows["mask_path"])
