"""Audit of the size at which masks are predicted: the highest Dice that it allows, from training masks alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import masks
from goldfold.io.formatting import number
from goldfold.metrics.masks.ceiling import dice_by_size
from goldfold.trust.audits.checks import Check, made, not_made
from goldfold.trust.audits.findings import Finding, FindingKind

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Recipe

MOST_MASKS = 200
WORK = 100_000_000  # pixels of all masks x (classes + 1 for reading), at most 4 s of one core
MOST_VOID = 0.5  # share of values beyond the classes; above, they are colors or numbers that load() translates
TIMES = (1, 2, 4)  # sizes that are looked at, as multiples of the one that is used

LOW = 0.95  # below, more is lost than good and better models usually differ by, which is 0.01 to 0.03

MASK_SIZE_CEILING = FindingKind(
    code="mask_size_ceiling",
    topic="Data and rules",
    levels=("warning",),
    found="masks that are predicted at so small a size that no model can reach a Dice of 0.95",
    seen="The true masks of up to 200 training images, resized to the size of predictions and back, have a mean Dice "
    "below 0.95 for a class. They are resized as targets and predictions are; nothing is trained.",
    misleads="What is lost by resizing looks like a weak model. Below 0.95 it is more than good and better "
    "architectures, backbones and augmentation usually differ by.",
    cure="Predict at one of the larger sizes that the message names, or on tiles at the images' own size.",
    example="predictions of 64 x 64 pixels cannot exceed a mean Dice of 0.739 on 30 masks, whatever the model: ...",
)


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
    maps = list(_sample(train[train["mask_path"].notna()], WORK // (classes + 1)))
    if not any(each.any() for each in maps):
        return not_made(what, codes, "no mask that was read marks a pixel")
    if classes > 1 and np.mean([(each >= classes).mean() for each in maps]) > MOST_VOID:
        return not_made(what, codes, "the values of the mask files are no class indices")
    largest = max(max(each.shape) for each in maps)
    sizes = [side, *(side * times for times in TIMES[1:] if side * times <= 2 * largest)]
    found = dice_by_size(maps, sizes, classes)
    first = int(classes > 1)  # the background is large, and not what is looked for
    if np.isnan(found[0, first:]).all():
        return not_made(what, codes, "no mask that was read shows a class")
    worst = first + int(np.nanargmin(found[0, first:]))
    ceilings = dict(zip(sizes, found[:, worst].tolist(), strict=True))
    findings = mask_size_ceiling(ceilings, len(maps), str(worst) if classes > 1 else "")
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


def mask_size_ceiling(ceilings: Mapping[int, float], masks: int, class_: str = "") -> list[Finding]:
    """Report that the size of predictions bounds the Dice below 0.95.

    ceilings: side of square predictions -> mean Dice, the size that is used first. masks: how many were resized.
    class_: the class that is bounded most; empty if there is one.
    """
    (used, ceiling), *others = ceilings.items()
    if not ceiling < LOW:
        return []
    larger = ", ".join(f"{size} x {size} allows {number(each)}" for size, each in others)
    cure = f"{larger}; choose a larger image_size" if larger else "predict on tiles at the images' own size"
    of_class = f" of class {class_}" if class_ else ""
    message = (
        f"predictions of {used} x {used} pixels cannot exceed a mean Dice{of_class} of {number(ceiling)} on {masks} "
        f"masks, whatever the model: {cure}"
    )
    return [MASK_SIZE_CEILING(message, "train")]
