"""Audits of copies: jittered table rows, near-duplicate images, and equal contents with contradicting labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from goldfold.io.seeding import derive
from goldfold.trust.audits.columns import ALARMS
from goldfold.trust.audits.findings import Finding, FindingKind, name_of
from goldfold.trust.table_columns import Column

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Fold

ALIKE = 0.99  # correlation of two thumbnails from which their images are near-duplicates
PLAIN = 2.0  # sd of a thumbnail's gray levels (of 255) below which it shows too little to be compared
MANY = 20  # thumbnails whose mean says what all have in common; rows whose distances say what is near
MOST_NEAR = 50  # near-duplicates of an image that are kept, so that a film of still frames needs no more memory
AT_ONCE = 2_000  # thumbnails compared with all others at a time
AXES = 8  # principal components in which the nearest rows are sought
NEIGHBORS = 6  # of each row, itself included; so up to 4 copies of a row are found
FEWEST = 3  # pairs below which nothing is reported
DISTINCT = 0.2  # share of distinct values, from which a column of numbers tells rows apart
MOST_ROWS = 100_000  # table rows that are compared; of more, a sample

NEAR_DUPLICATE_IMAGES = FindingKind(
    code="near_duplicate_images",
    topic="Leakage",
    levels=("warning",),
    found="images that are nearly the same on both sides of a fold",
    seen="Thumbnails of gray pixels correlate by more than 0.99 with one on the other side of a fold, as they are or "
    "mirrored: at 16 x 16 pixels, there also without what all thumbnails have in common, and at 32 x 32. This is a "
    "resized, re-encoded or mirrored copy, or the next frame. Up to 20,000 images are compared, of more a sample, "
    "which is said; a run reads 2,000, and `make audit` all 20,000 for later runs, too.",
    misleads="The target of a copy can be remembered, so the score is too high.",
    cure="Look at the pairs, and draw folds by group so that copies stay together, or drop them in `load()`.",
    example="40 of 200 scored images are nearly the same as training images, the first id 'a' as 'b' (mirrored): ...",
)
NEAR_DUPLICATE_ROWS = FindingKind(
    code="near_duplicate_rows",
    topic="Leakage",
    levels=("warning",),
    found="table rows that are jittered copies on both sides of a fold",
    seen="In columns of numbers with many values, scaled to one sd, rows have a nearest neighbor on the other side of "
    "a fold that is far nearer than their fifth neighbor: nearer than chance explains in 1 of 1,000 tables of as many "
    "rows and dimensions (the ratio of distances to neighbors, as in TwoNN, Facco et al. 2017).",
    misleads="Copies with noise (augmented or oversampled before the split, repeated measurements) are easy, so the "
    "score is too high.",
    cure="Draw folds first and augment inside them; or give copies one group and split with "
    "`goldfold.data.folds.grouped`.",
    example="20 of 300 scored rows have a training row 0.002 times as far as their fifth neighbor, the first ...: ...",
)
CONTRADICTING_LABELS = FindingKind(
    code="contradicting_labels",
    topic="Data and rules",
    levels=("warning", "note"),
    found="equal samples with different targets",
    seen="Train samples with identical contents have different targets. A warning for files, a note for table rows, "
    "which may be equal without being copies.",
    misleads="No model can predict both, and training on one side of the contradiction costs score on the other.",
    cure="Correct the labels, or keep one of the samples in `load()`.",
    example="4 train samples have the contents of another and a different 'label', the first id 'a' and 'b': ...",
)


def contradicting_labels(contents: Series, targets: DataFrame, ids: Series, files: bool) -> list[Finding]:
    """Report samples of equal content and different targets. contents: a hash for each train row."""
    labels = pd.util.hash_pandas_object(targets.astype(str), index=False).to_numpy()
    table = pd.DataFrame({"content": contents.to_numpy(), "label": labels})
    several = table.groupby("content")["label"].transform("nunique") > 1
    if not several.any():
        return []
    first = np.flatnonzero(several)[0]
    same = (table["content"] == table["content"][first]) & (table["label"] != table["label"][first])
    twin = np.flatnonzero(same)[0]
    names = ", ".join(f"'{name}'" for name in targets)
    message = (
        f"{several.sum():,} of {len(ids):,} train samples have the contents of another and a different {names}, the "
        f"first ids {name_of(ids, first)!r} and {name_of(ids, twin)!r}: no model can predict both. Correct the labels, "
        "or keep one of them in load()"
    )
    return [CONTRADICTING_LABELS(message, "train", "warning" if files else "note")]


def near_duplicate_rows(columns: Sequence[Column], folds: Sequence[Fold], ids: Series) -> list[Finding]:
    """Report table rows with a jittered copy on the other side of a fold; needs three columns of many numbers."""
    values = comparable_numbers(columns)
    if values is None:
        return []
    size = len(values)
    kept = np.arange(size)
    if size > MOST_ROWS:
        kept = np.sort(np.random.default_rng(derive(0, "copies")).choice(size, MOST_ROWS, replace=False))
    twin, ratio, near = _nearest(values[kept])
    copies = kept[near], kept[twin[near]]
    found, first = _across(folds, *copies, size)
    if found < FEWEST or first is None:
        return []
    row, other = copies[0][first], copies[1][first]
    message = (
        f"{found:,} scored rows have a training row {ratio[near][first]:.1g} times as far as their fifth neighbor, the "
        f"first id {name_of(ids, row)!r} beside {name_of(ids, other)!r}: copies with noise are easy, so the score is "
        "too high. Draw folds before rows are augmented, or keep copies in one group"
    )
    return [NEAR_DUPLICATE_ROWS(message, "folds")]


def comparable_numbers(columns: Sequence[Column]) -> np.ndarray | None:
    """Columns of many different numbers, scaled to mean 0 and sd 1, gaps filled with 0; None if under three."""
    chosen = []
    for column in columns if len(columns) and len(columns[0].train) >= MANY else ():
        known = column.train[np.isfinite(column.train)]
        if not column.categories and not column.whole and len(np.unique(known)) > DISTINCT * len(column.train):
            filled = np.where(np.isfinite(column.train), column.train, known.mean())
            chosen.append((filled - filled.mean()) / filled.std())
    chosen = [values for values in chosen if np.isfinite(values).all()]  # numbers near the largest overflow
    return np.column_stack(chosen) if len(chosen) >= 3 else None


def _nearest(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row its nearest other row, the ratio of its distance to the fifth neighbor's, and which ratios are odd.

    Neighbors are sought in the first principal components, where a copy is near, too, and measured in all columns. If
    neighbors lie at random in d dimensions, ratio**d is the smallest of four uniform numbers (d is estimated from the
    median ratio of the first and the second distance).
    """
    from scipy.spatial import cKDTree

    rows = values
    if values.shape[1] > AXES:
        _, vectors = np.linalg.eigh(np.cov(values.T))
        rows = values @ vectors[:, -AXES:]
    _, around = cKDTree(rows).query(rows, k=min(NEIGHBORS, len(rows)))
    own = np.arange(len(rows))[:, None]
    apart = np.stack([np.linalg.norm(values - values[around[:, at]], axis=1) for at in range(around.shape[1])], axis=1)
    apart[around == own] = np.inf
    order = np.argsort(apart, axis=1)[:, : around.shape[1] - 1]
    apart, around = np.take_along_axis(apart, order, 1), np.take_along_axis(around, order, 1)
    first, second, last = apart[:, 0], apart[:, 1], apart[:, -1]
    usable = (first > 0) & (second > 0)
    ratio = np.divide(first, last, out=np.ones_like(first), where=last > 0)
    if not usable.any():
        return around[:, 0], ratio, np.empty(0, np.int64)
    dimensions = np.log(2) / max(float(np.median(np.log(second[usable] / first[usable]))), 1e-9)
    p_value = 1 - (1 - np.minimum(ratio, 1) ** min(dimensions, values.shape[1])) ** (around.shape[1] - 1)
    return around[:, 0], ratio, np.flatnonzero(usable & (p_value * len(rows) < ALARMS))


def _across(folds: Sequence[Fold], rows: np.ndarray, twins: np.ndarray, size: int) -> tuple[int, int | None]:
    """How many scored rows have their twin among the training rows, and the first pair that shows it."""
    count, first = 0, None
    for fold in folds:
        trained, scored = np.zeros((2, size), bool)
        trained[fold.train], scored[fold.validation] = True, True
        leaking = scored[rows] & trained[twins]
        count += len(np.unique(rows[leaking]))
        first = int(leaking.argmax()) if first is None and leaking.any() else first
    return count, first


def near_duplicate_images(
    thumbnails: np.ndarray, positions: np.ndarray, folds: Sequence[Fold], ids: Series, contents: Series
) -> list[Finding]:
    """Report images with a near-duplicate on the other side of a fold.

    thumbnails: uint8 (m, 32, 32). positions: int64 (m,), their rows in the train table. contents: hashes of all train
    files; equal files are left out, which `shared_contents` reports.
    """
    across = alike_across(thumbnails, positions, folds, ids, contents)
    if across is None:
        return []
    message = (
        f"{across.rows:,} scored images are nearly the same as training images, the first id {across.row!r} as "
        f"{across.twin!r}{', mirrored' if across.mirrored else ''}: their targets can be remembered, so the score is "
        "too high. Look at them, and draw folds by group so that they stay together, or drop copies in load()"
    )
    return [NEAR_DUPLICATE_IMAGES(message, "folds")]


class AlikeAcross(NamedTuple):
    """Scored rows with a near-duplicate among training rows, and the ids of the first pair."""

    rows: int
    row: object
    twin: object
    mirrored: bool


def alike_across(
    thumbnails: np.ndarray, positions: np.ndarray, folds: Sequence[Fold], ids: Series, contents: Series
) -> AlikeAcross | None:
    """Find near-duplicates on both sides of a fold; arguments as of `near_duplicate_images`. None if there are none."""
    rows, twins, mirrored = _alike(thumbnails)
    rows, twins = positions[rows], positions[twins]
    other = contents.to_numpy()[rows] != contents.to_numpy()[twins]
    rows, twins, mirrored = rows[other], twins[other], mirrored[other]
    rows, twins, mirrored = np.r_[rows, twins], np.r_[twins, rows], np.r_[mirrored, mirrored]
    found, first = _across(folds, rows, twins, len(ids))
    if first is None:
        return None
    return AlikeAcross(found, name_of(ids, rows[first]), name_of(ids, twins[first]), bool(mirrored[first]))


def _alike(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of thumbnails that correlate by more than `ALIKE`, each once, and whether one is mirrored.

    Quarters of their pixels are compared first, of all pairs, and the whole ones of the pairs that are alike there.
    """
    shown = np.flatnonzero(thumbnails.reshape(len(thumbnails), -1).std(1) > PLAIN)
    if not len(shown):
        return shown, shown, np.empty(0, bool)
    whole = thumbnails[shown].astype(np.float32)
    side = whole.shape[1] // 2
    plain = _unit(whole.reshape(-1, side, 2, side, 2).mean((2, 4)))
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for step in (1, -1):
        common = (plain + plain[:, :, ::step]).mean(0) / 2 if len(plain) >= MANY else 0  # makes none alike
        every = [
            _unit(plain[:, :, ::step] - common).reshape(len(shown), -1),
            plain[:, :, ::step].reshape(len(shown), -1),
        ]
        first = [_unit(plain - common).reshape(len(shown), -1), plain.reshape(len(shown), -1)]
        for start in range(0, len(shown), AT_ONCE):
            row, other = _near([part[start : start + AT_ONCE] for part in first], [part[start:] for part in every])
            row, other = row + start, other + start
            same = _confirmed(whole, row, other, step)
            pairs.append((shown[row[same]], shown[other[same]], np.full(same.sum(), step < 0)))
    rows, twins, mirrored = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return rows, twins, mirrored


def _near(first: Sequence[np.ndarray], every: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a row and a later one, alike by each of several unit vectors; at most `MOST_NEAR` of a row."""
    alike = np.logical_and.reduce([own @ others.T > ALIKE for own, others in zip(first, every, strict=True)])
    row, other = np.nonzero(np.triu(alike, 1))
    kept = np.arange(len(row)) - np.searchsorted(row, row) < MOST_NEAR
    return row[kept], other[kept]


def _confirmed(whole: np.ndarray, rows: np.ndarray, others: np.ndarray, step: int) -> np.ndarray:
    """Which pairs of whole thumbnails correlate, the second one mirrored if `step` is -1; bool (pairs,)."""
    same = np.zeros(len(rows), bool)
    for start in range(0, len(rows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        product = _unit(whole[rows[part]]) * _unit(whole[others[part]][:, :, ::step])
        same[part] = product.sum((1, 2)) > ALIKE
    return same


def _unit(images: np.ndarray) -> np.ndarray:
    """Images float32 (n, side, side) with mean 0 and length 1."""
    centered = images - images.mean((1, 2), keepdims=True)
    return centered / np.maximum(np.sqrt((centered**2).sum((1, 2), keepdims=True)), 1e-6)
