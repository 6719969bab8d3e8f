"""Magnetic tiles without defects and with five kinds of defects: photographs, masks, folds, and a hidden fifth."""

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
from goldfold.images import masks as image_masks
from goldfold.images import matching, reading

NORMAL = "Free"
KINDS = ("Blowhole", "Break", "Crack", "Fray", NORMAL, "Uneven")
TARGETS = ("defect", "kind", "mask_path")
HIDDEN_SEED = 2020
EDGE = 127  # masks have soft edges: pixels above this value belong to the defect
MAX_NUMBER_GAP = 200  # between successive photographs (1 to 6 exposures) of one tile, in file numbers
SAME_TILE = 0.4  # correlation; lower for photographs of different tiles, higher for one tile photographed again


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy photographs and masks from the folders `MT_<kind>`, and hide the labels of a fifth of the tiles."""
    photographs = [(kind, path) for kind in KINDS for path in sorted((raw / f"MT_{kind}").glob("*.jpg"))]
    absent = sorted(set(KINDS) - {kind for kind, _ in photographs})
    if absent:
        raise GoldfoldError(
            "raw_data_missing",
            f"{raw / f'MT_{absent[0]}'} has no photograph: put the data set's six folders there, then run "
            "`make prepare COMP=magnetic_tiles`",
        )
    rows = pd.DataFrame([(path.stem, kind, path) for kind, path in photographs], columns=["id", "kind", "source"])
    rows = rows.sample(frac=1, random_state=HIDDEN_SEED, ignore_index=True)  # the folders sort them by kind
    rows["defect"] = (rows["kind"] != NORMAL).astype(int)
    rows["path"] = [f"images/{id_}.jpg" for id_ in rows["id"]]
    rows["mask_path"] = [f"masks/{id_}.png" for id_ in rows["id"]]
    rows["tile"] = _tiles(rows)
    hidden = split(rows, HIDDEN_SEED)[0].validation
    _copy(rows, rows.index.difference(hidden), public)
    tables = rows[["id", "path", "tile", *TARGETS]]
    self_hosting.write(tables, hidden, targets=TARGETS, sample={"defect": 0.5}, public=public, private=private)


def _tiles(rows: pd.DataFrame) -> pd.Series:
    """Return the tile of each photograph, from 0: close file numbers, or high correlation (tiles photographed again).

    Of 53,409 pairs of similar size from different runs of numbers, 113 correlate by 0.43 or more and the others by 0.31
    or less; after a rotation by 180 degrees 9 correlate by 0.55 or more and the others by 0.30 or less. A look at one
    pair of each tile agrees.
    """
    numbers = rows["id"].str.extract(r"num_(\d+)", expand=False).astype(int).sort_values()
    runs = (numbers.diff() > MAX_NUMBER_GAP).cumsum().sort_index().to_numpy()
    joined = matching.match(
        [reading.read(path, gray=True) for path in rows["source"]], runs[:, None] == runs, SAME_TILE
    )
    return pd.Series(connected_components(joined)[1], rows.index)


def _copy(rows: pd.DataFrame, known: pd.Index, public: Path) -> None:
    for part in ("images", "masks"):
        (public / part).mkdir()
    for source, path in zip(rows["source"], rows["path"], strict=True):
        shutil.copyfile(source, public / path)
    for row in rows.loc[known].itertuples():
        pixels = reading.read(row.source)
        drawn = row.source.with_suffix(".png")
        mask = image_masks.read(drawn, row.source) if row.defect else np.zeros(pixels.shape[:2])
        cv2.imencode(".png", (mask > EDGE).astype(np.uint8) * 255)[1].tofile(public / row.mask_path)


def load(public: Path) -> Tables:
    """Load both tables: id, path, tile; train also has defect (0 or 1), kind and mask_path (0 = normal)."""
    return self_hosting.read(public)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds, grouped by tile and stratified by kind: no tile is on both sides with another exposure."""
    return stratified_grouped(train["kind"], train["tile"], folds=5, seed=seed)


def masks(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Read the defect mask of each tile, int32 (height, width), 0 = normal."""
    return map(image_masks.read, rows["mask_path"], rows["path"])
