"""Magnetic tiles, whole and with five kinds of defects: photographs, masks, folds, and a hidden fifth."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import stratified_grouped
from goldfold.errors import GoldfoldError
from goldfold.images import matching
from goldfold.images import reading as images

NORMAL = "Free"
KINDS = ("Blowhole", "Break", "Crack", "Fray", NORMAL, "Uneven")
TARGETS = ("defect", "kind", "mask_path")
HIDDEN_SEED = 2020
EDGE = 127  # masks have soft edges: a pixel above this belongs to the defect
APART = 200  # of one tile's photographs, exposed one to six times, each next one's number is at most this much higher
ALIKE = 0.4  # photographs of different tiles correlate by less, those of a tile that came back by more


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy photographs and masks from the folders `MT_<kind>` and hide the labels of a fifth of each kind."""
    photographs = [(kind, path) for kind in KINDS for path in sorted((raw / f"MT_{kind}").glob("*.jpg"))]
    absent = sorted(set(KINDS) - {kind for kind, _ in photographs})
    if absent:
        raise GoldfoldError(
            f"{raw / f'MT_{absent[0]}'} has no photograph: put the data set's six folders there, then make prepare "
            "COMP=magnetic_tiles"
        )
    rows = pd.DataFrame([(path.stem, kind, path) for kind, path in photographs], columns=["id", "kind", "source"])
    rows = rows.sample(frac=1, random_state=HIDDEN_SEED, ignore_index=True)  # the folders part them by kind
    rows["defect"] = (rows["kind"] != NORMAL).astype(int)
    rows["path"] = [f"images/{id_}.jpg" for id_ in rows["id"]]
    rows["mask_path"] = [f"masks/{id_}.png" for id_ in rows["id"]]
    rows["tile"] = _tiles(rows)
    hidden = split(rows, HIDDEN_SEED)[0].validation
    _copy(rows, rows.index.difference(hidden), public)
    tables = rows[["id", "path", "tile", *TARGETS]]
    self_hosting.write(tables, hidden, targets=TARGETS, sample={"defect": 0.5}, public=public, private=private)


def _tiles(rows: pd.DataFrame) -> pd.Series:
    """Which tile each photograph shows, numbered from 0: numbers that follow each other closely, and tiles that return.

    Of 53,409 pairs of like size whose numbers are apart, 113 are alike by 0.43 or more and the others by 0.31 or less,
    turned by half a turn 9 by 0.55 or more and the others by 0.30 or less; a look at one pair of each tile agrees.
    """
    numbers = rows["id"].str.extract(r"num_(\d+)", expand=False).astype(int).sort_values()
    runs = (numbers.diff() > APART).cumsum().sort_index().to_numpy()
    joined = matching.alike([images.read(path, grey=True) for path in rows["source"]], runs[:, None] == runs, ALIKE)
    return pd.Series(connected_components(joined)[1], rows.index)


def _copy(rows: pd.DataFrame, known: pd.Index, public: Path) -> None:
    for part in ("images", "masks"):
        (public / part).mkdir()
    for source, path in zip(rows["source"], rows["path"], strict=True):
        shutil.copyfile(source, public / path)
    for row in rows.loc[known].itertuples():
        pixels = images.read(row.source)
        mask = images.read_mask(row.source.with_suffix(".png")) if row.defect else np.zeros(pixels.shape[:2])
        cv2.imencode(".png", (mask > EDGE).astype(np.uint8) * 255)[1].tofile(public / row.mask_path)


def load(public: Path) -> Tables:
    """Train: id, path, tile, defect (0 or 1), kind, mask_path (0 = whole); normal tiles have an empty mask."""
    return self_hosting.read(public)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Five folds of tiles with about the same share of each kind: no tile is on both sides under another exposure."""
    return stratified_grouped(train["kind"], train["tile"], folds=5, seed=seed)


def masks(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """The defect of each tile as an int32 (height, width) map, 0 = whole."""
    return map(images.read_mask, rows["mask_path"])
