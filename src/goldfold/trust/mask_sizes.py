"""Which Dice the size of a recipe's predictions allows, from the masks of some training rows alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import masks
from goldfold.metrics.masks.ceiling import dice_by_size
from goldfold.trust import audits
from goldfold.trust.audits import Check, made, not_made

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Recipe

MOST_MASKS = 200
WORK = 1 << 28  # pixels of all masks x (classes + reading), about 3 s of one core
READING = 4  # classes whose resizing costs as much as reading a mask
TIMES = (1, 2, 4)  # sizes that are looked at, as multiples of the one that is used


def ceiling(train: DataFrame, shape: tuple[int, int] | None) -> Check:
    """Check the size of predicted masks against the true masks of the training rows.

    shape: from `predicted`.
    """
    what, codes = "Dice that the size of predicted masks allows", ["mask_size_ceiling"]
    if "mask_path" not in train:
        return not_made(what, codes, "the train table has no `mask_path`")
    if shape is None:
        return not_made(what, codes, "the recipe predicts no square masks")
    classes, side = shape
    maps = list(_sample(train[train["mask_path"].notna()], WORK // (classes + READING)))
    if not any(each.any() for each in maps):
        return not_made(what, codes, "no mask that was read marks a pixel")
    largest = max(max(each.shape) for each in maps)
    sizes = [side, *(side * times for times in TIMES[1:] if side * times <= 2 * largest)]
    found = dice_by_size(maps, sizes, classes)
    first = int(classes > 1)  # the background is large, and not what is looked for
    if np.isnan(found[0, first:]).all():
        return not_made(what, codes, "no mask that was read shows a class")
    worst = first + int(np.nanargmin(found[0, first:]))
    ceilings = dict(zip(sizes, found[:, worst].tolist(), strict=True))
    findings = audits.mask_size_ceiling(ceilings, len(maps), str(worst) if classes > 1 else "")
    return made(f"{what}, {len(maps)} of {len(train):,} masks", codes, findings)


def predicted(recipe: Recipe, params: Any, classes: tuple | None) -> tuple[int, int] | None:
    """Number of classes and side of predictions (n, side, side) or (n, classes, side, side); None for others.

    classes: `Runtime.classes`.
    """
    if recipe.example is None:
        return None
    shape = recipe.example(params, 1, classes).shape[1:]
    if len(shape) not in (2, 3) or shape[-1] != shape[-2]:
        return None
    return (1 if len(shape) == 2 else shape[0]), shape[-1]


def _sample(rows: DataFrame, most: int) -> Iterator[np.ndarray]:
    """Masks of at most 200 rows spread evenly over the table, up to `most` pixels, but unreadable ones."""
    positions = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_MASKS)).astype(int))
    pixels = 0
    for position in np.random.default_rng(0).permutation(positions) if len(rows) else ():
        try:
            mask = masks.read(rows["mask_path"].iloc[position], rows["path"].iloc[position] if "path" in rows else None)
        except GoldfoldError:
            continue
        pixels += mask.size
        if pixels > most and pixels > mask.size:
            return
        yield mask
