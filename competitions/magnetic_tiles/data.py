"""Magnetic tiles, whole and with five kinds of defects: photographs, masks, folds, and a hidden fifth."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from goldfold import hosting, images, splits
from goldfold.competition import Fold, Tables
from goldfold.errors import GoldfoldError

NORMAL = "Free"
KINDS = ("Blowhole", "Break", "Crack", "Fray", NORMAL, "Uneven")
TARGETS = ("defect", "kind", "mask_path")
HIDDEN_SEED = 2020
EDGE = 127  # masks have soft edges: a pixel above this belongs to the defect
APART = 200  # of one tile's photographs, exposed one to six times, each next one's number is at most this much higher
ALIKE = 0.4  # photographs of different tiles correlate by less, those of a tile that came back by more
UNLIKE_SIDES = 1.25  # times as long: photographs whose sides differ by more are not compared


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
    hosting.write(tables, hidden, targets=TARGETS, sample={"defect": 0.5}, public=public, private=private)


def _tiles(rows: pd.DataFrame) -> pd.Series:
    """Which tile each photograph shows, numbered from 0: numbers that follow each other closely, and tiles that return.

    Of 53,409 pairs of like size whose numbers are apart, 113 are alike by 0.43 or more and the others by 0.31 or less,
    turned by half a turn 9 by 0.55 or more and the others by 0.30 or less; a look at one pair of each tile agrees.
    """
    numbers = rows["id"].str.extract(r"num_(\d+)", expand=False).astype(int).sort_values()
    runs = (numbers.diff() > APART).cumsum().sort_index().to_numpy()
    seen = [_details(images.read(path, grey=True)) for path in rows["source"]]
    turned = [np.ascontiguousarray(details[::-1, ::-1]) for details in seen]
    joined = runs[:, None] == runs
    for one, other in _pairs_to_compare(seen, joined):
        alike = max(_alikeness(seen[one], seen[other]), _alikeness(turned[one], seen[other]))
        joined[one, other] = alike > ALIKE
    return pd.Series(connected_components(joined)[1], rows.index)


def _pairs_to_compare(seen: list[np.ndarray], joined: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs not joined yet whose sides differ by no more than two cuttings of one tile do."""
    sides = np.log([details.shape for details in seen])
    near = np.abs(sides[:, None] - sides).max(axis=2) < np.log(UNLIKE_SIDES)
    return zip(*np.triu(near & ~joined, 1).nonzero(), strict=True)


def _details(photograph: np.ndarray) -> np.ndarray:
    """What is a tile's own, at a quarter of the size: exposure, shading and the upright streaks of grinding removed."""
    small = cv2.resize(photograph, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= cv2.GaussianBlur(small, (0, 0), 4)
    small /= np.sqrt(cv2.GaussianBlur(small * small, (0, 0), 4)) + 1
    return small - cv2.blur(small, (1, 25))


def _alikeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation, in [-1, 1], of the middle of `one` with that place of `other` where it fits best."""
    sides = np.minimum(one.shape, other.shape)
    top, left = (np.array(one.shape) - sides) // 2 + sides // 8 + 2
    height, width = sides - 2 * (sides // 8 + 2)
    middle = one[top : top + height, left : left + width]
    return cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED).max()


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
    return hosting.read(public)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Five folds of tiles with about the same share of each kind: no tile is on both sides under another exposure."""
    return splits.stratified_grouped(train["kind"], train["tile"], folds=5, seed=seed)


def masks(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """The defect of each tile as an int32 (height, width) map, 0 = whole."""
    return map(images.read_mask, rows["mask_path"])
