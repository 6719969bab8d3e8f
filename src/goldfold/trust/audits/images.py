"""Audits of images and masks: broken, dark or animated images, empty masks, masks of unknown orientation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from goldfold.trust.audits.findings import Finding, FindingKind, first_three
from goldfold.trust.audits.masks.values import mask_values

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.data.image_checks import Checked

DARK_BITS = 14  # of 16; the upper 8 bits of such samples are at most 63 of 255

BROKEN_IMAGES = FindingKind(
    code="broken_images",
    topic="Data and rules",
    levels=("warning",),
    found="images or masks that cannot be decoded, and what is done with their rows",
    seen="Images or masks cannot be decoded, and the config has `on_broken: skip` (training rows are left out "
    "of every fold, test images are gray) or `on_broken: grey` (gray images on both sides). With "
    "`on_broken: refuse`, the default, the run stops instead (`unreadable_image`, `unreadable_mask`). "
    "Every file is decoded once before training; sound contents are remembered in `data/cache/images`.",
    misleads="The rows that are left out are not scored, and nothing can be predicted from a gray image.",
    cure="Replace the files.",
    example="2 of 600 rows have a file that cannot be used, ids 'a1', 'b7' (first: truncated), ...: ...",
)

DARK_SIXTEEN_BIT = FindingKind(
    code="dark_sixteen_bit",
    topic="Data and rules",
    levels=("warning",),
    found="16-bit images that use the lower bits only",
    seen="No 16-bit image has a sample above 16,383: 12 or 14 bits were saved in 16. The upper 8 bits are "
    "read, so that 12 bits become 0 to 15 of 255.",
    misleads="Nearly black images with few levels train badly, and no error says why.",
    cure="Multiply the samples in `prepare()`; the message has the factor.",
    example="the largest sample of all 80 16-bit images is 4,095, so they use 12 of 16 bits, ...: ...",
)

ANIMATED_IMAGES = FindingKind(
    code="animated_images",
    topic="Data and rules",
    levels=("note",),
    found="images with several frames or pages",
    seen="Image files have several frames or pages (GIF, WebP, PNG, TIFF). The first is read.",
    misleads="What later frames show is not seen.",
    cure="Save the frames as files of their own, if they matter.",
    example="3 images have several frames or pages, ids 'a', 'b', 'c': only the first of each is read",
)

EMPTY_MASKS = FindingKind(
    code="empty_masks",
    topic="Data and rules",
    levels=("warning", "note"),
    found="masks without a marked pixel",
    seen="Warning if a target with the values 0 and 1 is 1, or if all masks are empty, else a note. Masks mark no "
    "pixel.",
    misleads="Pixel metrics count the whole image as background, and a segmenter learns that.",
    cure="Draw what the image shows, or correct its label.",
    example="5 masks of rows with defect = 1 mark no pixel, ids 'a', 'b', 'c' and 2 more: ...",
)

MASK_ORIENTATION_UNCLEAR = FindingKind(
    code="mask_orientation_unclear",
    topic="Data and rules",
    levels=("warning",),
    found="masks that fit the stored and the turned image",
    seen="Images carry an EXIF orientation, their masks do not, and the masks have the size of both the stored "
    "and the turned image. They are taken as drawn on the turned image, which is the one that viewers "
    "show and that models see. Where the sizes differ, the mask is turned as its size says, and there is "
    "no finding.",
    misleads="Masks drawn on stored pixels are then turned against their images, and a perfect prediction scores "
    "near 0.",
    cure="Look at `most_wrong.png`. Give the masks the tag of their images, or save the images turned and "
    "without the tag.",
    example="4 masks carry no EXIF orientation and their images do, ids 'a', 'b', 'c' and 1 more: ...",
)


def images_and_masks(checked: Checked, train: DataFrame, targets: Sequence[str], on_broken: str) -> list[Finding]:
    """All audits of what decoding found; `train` has the targets of its rows."""
    every = [("train", checked.train), ("test", checked.test)]
    findings = [each for part, rows in every for each in broken_images(rows, part, on_broken)]
    findings += dark_sixteen_bit([rows["largest"] for _, rows in every]) + animated_images([rows for _, rows in every])
    findings += empty_masks(checked.train, train, targets) + masks_unclear(checked.train)
    return findings + mask_values(checked.train)


def broken_images(rows: DataFrame, part: str, on_broken: str) -> list[Finding]:
    """Report rows whose image or mask cannot be used, and what `on_broken` makes of them."""
    bad = rows[rows["problem"].notna()]
    if bad.empty:
        return []
    left_out = part == "train" and on_broken == "skip"
    what = "are left out of every fold" if left_out else "are gray instead"
    message = (
        f"{len(bad)} of {len(rows)} rows have a file that cannot be used, ids {_ids(bad)} (first: "
        f"{bad['problem'].iloc[0]}), and {what}, since on_broken={on_broken}: replace the files"
    )
    return [BROKEN_IMAGES(message, part)]


def dark_sixteen_bit(largest: Sequence[Series]) -> list[Finding]:
    """Report 16-bit images that use the lower bits only: the upper 8 are read, so that they are nearly black."""
    samples = [each for each in largest if each.notna().any()]
    count, top = sum(int(each.notna().sum()) for each in samples), int(max((each.max() for each in samples), default=0))
    bits = top.bit_length()
    if not 0 < bits <= DARK_BITS:
        return []
    message = (
        f"the largest sample of all {count} 16-bit images is {top:,}, so they use {bits} of 16 bits, and the upper 8 "
        f"are read: 0 to {top >> 8} of 255. Multiply them by {2 ** (16 - bits)} in prepare(): pixels << {16 - bits}"
    )
    return [DARK_SIXTEEN_BIT(message, "data")]


def animated_images(tables: Sequence[DataFrame]) -> list[Finding]:
    """Report files with several frames or pages, of which the first is read."""
    moving = [rows[rows["frames"] > 1] for rows in tables]
    count = sum(map(len, moving))
    if not count:
        return []
    first = next(rows for rows in moving if len(rows))
    message = f"{count} images have several frames or pages, ids {_ids(first)}: only the first of each is read"
    return [ANIMATED_IMAGES(message, "data")]


def empty_masks(checked: DataFrame, train: DataFrame, targets: Sequence[str]) -> list[Finding]:
    """Report masks without a marked pixel: a warning where a 0/1 target is 1 or all are empty, else a note."""
    binary = next((name for name in targets if train[name].isin((0, 1)).all()), None)
    empty = (checked["marked"] == 0).to_numpy()
    if binary is not None:
        empty = empty & (train[binary] == 1).to_numpy()
    if not empty.any():
        return []
    which = "of rows" if binary is None else f"of rows with {binary} = 1"
    message = (
        f"{empty.sum()} masks {which} mark no pixel, ids {_ids(checked[empty])}: if these show something, draw it; "
        "pixel scores count all of it as background"
    )
    doubtful = binary is not None or bool(empty.all())
    return [EMPTY_MASKS(message, "train", "warning" if doubtful else "note")]


def masks_unclear(checked: DataFrame) -> list[Finding]:
    """Report masks without orientation whose images have one, where the sizes do not tell how they were drawn."""
    unclear = checked[checked["unclear"] == True]  # noqa: E712
    if unclear.empty:
        return []
    message = (
        f"{len(unclear)} masks carry no EXIF orientation and their images do, ids {_ids(unclear)}: they are taken as "
        "drawn on the image as it is shown. If they were drawn on the stored pixels, give them the image's tag or turn "
        "them; most_wrong.png shows which"
    )
    return [MASK_ORIENTATION_UNCLEAR(message, "train")]


def _ids(rows: DataFrame) -> str:
    return first_three([repr(each) for each in rows["id"]])
