"""Audits of the numbers in masks: compressed with loss, one number everywhere, edges of many numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldfold.trust.audits.findings import Finding, FindingKind, first_three

if TYPE_CHECKING:
    from pandas import DataFrame

MANY = 24  # distinct numbers; a label map of Pascal VOC has 22 at most

LOSSY_MASKS = FindingKind(
    code="lossy_masks",
    topic="Data and rules",
    levels=("warning",),
    found="masks compressed with loss, read as black and white",
    seen="Mask files are JPEG or another format with loss. Pixels above half of the range are 255, all others 0.",
    misleads="Edges are off by a pixel or more, and numbers of classes or objects are lost.",
    cure="Get the masks as PNG, or save them as such before anything compresses them.",
    example="80 masks are compressed with loss, ids 'a', 'b', 'c' and 77 more: ...",
)

SINGLE_VALUED_MASKS = FindingKind(
    code="single_valued_masks",
    topic="Data and rules",
    levels=("warning",),
    found="masks that mark every pixel with one number",
    seen="All pixels of a mask have the same number, and it is not 0.",
    misleads="Such a mask often is inverted, an alpha channel, or that of another image, and a segmenter learns that "
    "all of the image is foreground.",
    cure="Look at the masks. If they are right, nothing needs to be done.",
    example="3 masks have one number in every pixel, ids 'a', 'b', 'c': ...",
)

MANY_VALUED_MASKS = FindingKind(
    code="many_valued_masks",
    topic="Data and rules",
    levels=("warning",),
    found="masks of black and white with many numbers between",
    seen=f"Masks have {MANY} numbers or more, of which 255 fills most of the marked pixels, as after resizing or "
    "smoothing a mask.",
    misleads="Every number above 0 is foreground, so that edges grow; as numbers of objects or classes they mean "
    "nothing.",
    cure="Resize masks by the nearest pixel, or threshold them at 128 in `prepare()`.",
    example="12 masks have 57 to 180 numbers and are mostly 255, ids 'a', 'b', 'c' and 9 more: ...",
)


def mask_values(checked: DataFrame) -> list[Finding]:
    """All audits of the numbers in the masks of the train table."""
    return [*lossy_masks(checked), *single_valued_masks(checked), *many_valued_masks(checked)]


def lossy_masks(checked: DataFrame) -> list[Finding]:
    """Report masks in a format with loss."""
    lossy = checked[checked["lossy"] == True]  # noqa: E712
    if lossy.empty:
        return []
    message = (
        f"{len(lossy)} masks are compressed with loss, ids {_ids(lossy)}: pixels above half of the range are "
        "foreground, so that edges are not exact; get them as PNG"
    )
    return [LOSSY_MASKS(message, "train")]


def single_valued_masks(checked: DataFrame) -> list[Finding]:
    """Report masks whose pixels all have the same number, which is not 0."""
    single = checked[(checked["values"] == 1) & (checked["marked"] > 0)]
    if single.empty:
        return []
    message = (
        f"{len(single)} masks have one number in every pixel, ids {_ids(single)}: look whether they are inverted, or "
        "belong to other images"
    )
    return [SINGLE_VALUED_MASKS(message, "train")]


def many_valued_masks(checked: DataFrame) -> list[Finding]:
    """Report masks that are mostly 0 and 255 and have many numbers between."""
    many = checked[(checked["values"] >= MANY) & (checked["white"] > checked["marked"] / 2)]
    if many.empty:
        return []
    fewest, most = int(many["values"].min()), int(many["values"].max())
    message = (
        f"{len(many)} masks have {fewest} to {most} numbers and are mostly 255, ids {_ids(many)}: they were resized or "
        "smoothed, and every number above 0 is foreground; threshold them at 128 in prepare()"
    )
    return [MANY_VALUED_MASKS(message, "train")]


def _ids(rows: DataFrame) -> str:
    return first_three([repr(each) for each in rows["id"]])
