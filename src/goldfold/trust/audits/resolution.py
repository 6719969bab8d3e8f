"""Audit of the size at which masks are predicted: the highest Dice that it allows."""

from __future__ import annotations

from collections.abc import Mapping

from goldfold.io.formatting import number
from goldfold.trust.audits.findings import Finding, FindingKind

LOW = (
    0.95  # what is lost below it exceeds what architectures, backbones and augmentation usually differ by, 0.01 to 0.03
)

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
