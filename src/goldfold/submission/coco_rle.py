"""COCO's compressed run lengths: the string in `segmentation["counts"]` of a COCO result.

Counts of pixels outside and inside of the mask in turn, outside first, in column-major order. From the fourth on, the
difference to the count two before is written. Each number is cut into groups of 5 bits, lowest first, with a sixth bit
that says whether another group follows; 48 is added to give a printable character. The sign is that of the last group.
Definition: `rleToString` in https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.submission.checks import wrong_rows

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.submission.checks import Check

ZERO = 48  # the character of the group 0
MORE, SIGN, BITS = 0x20, 0x10, 0x1F
CHARACTERS = bytes(range(ZERO, ZERO + 2 * MORE))
LONGEST = 8  # groups of a number: 40 bits
PART = 1 << 20  # characters that are decoded together


def encode(mask: np.ndarray) -> str:
    """Encode a (height, width) bool or integer mask; every pixel that is not 0 belongs to it.

    >>> encode(np.array([[0, 1], [0, 1]])), encode(np.zeros((3, 4), int))
    ('22', '<')
    """
    pixels = np.asarray(mask)
    if pixels.ndim != 2 or pixels.dtype.kind not in "biu":
        raise GoldfoldError(
            "mask_invalid",
            f"a mask must be (height, width) of bool or integers, not {pixels.shape} of {pixels.dtype}: threshold "
            "probabilities, and encode one image at a time",
        )
    flat = (pixels != 0).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(edges, prepend=0, append=flat.size)
    counts[3:] -= counts[1:-2].copy()
    return "".join(map(_characters, counts.tolist()))


def decode(text: str, height: int, width: int) -> np.ndarray:
    """Decode a string to a (height, width) bool mask.

    Raises:
        GoldfoldError: `coco_rle_invalid`, with the fault.
    """
    fault = _faults([text], np.array([height * width]))[0]
    if fault:
        raise GoldfoldError(
            "coco_rle_invalid", f"COCO run lengths {text[:20]!r} {fault} of {height} x {width}: encode the mask anew"
        )
    counts, _ = _counts([text])
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape((height, width), order="F")


def run_lengths(size: Callable[[DataFrame], Mapping[Hashable, tuple[int, int]]]) -> Check:
    """Check for COCO run lengths that have as many pixels as their image; objects may overlap, as in COCO.

    size: test rows -> {id: (height, width)}, ids compared as text.
    """

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        pixels = {str(id_): height * width for id_, (height, width) in size(test).items()}
        texts = values.astype(object).where(values.notna(), "").map(str).tolist()
        wanted = np.array([pixels.get(id_, -1) for id_ in ids.astype(str).tolist()], np.int64)
        faults = _faults(texts, wanted)
        wrong = np.array([bool(fault) for fault in faults]) & (np.array([text != "" for text in texts]) | (wanted < 0))
        if not wrong.any():
            return None
        row = int(wrong.argmax())
        told = faults[row] if wanted[row] >= 0 else "is of an image whose height and width are unknown"
        return f"must be COCO run lengths; {wrong_rows(wrong, ids)}: {texts[row][:20]!r} {told}"

    return check


def _characters(number: int) -> str:
    """The groups of one number as characters."""
    text = ""
    while True:
        group, number = number & BITS, number >> 5
        last = number == (-1 if group & SIGN else 0)
        text += chr((group if last else group | MORE) + ZERO)
        if last:
            return text


def _faults(texts: Sequence[str], pixels: np.ndarray) -> list[str]:
    """What is wrong with each text, empty if nothing; pixels: (n,) of its image."""
    joined = "".join(texts).encode("utf-8", "replace")
    known = not joined.translate(None, CHARACTERS)  # in one go for all of them, since a search for each is slow
    faults = [_unreadable(text, known) for text in texts]
    sound = [at for at, fault in enumerate(faults) if not fault]
    lengths = np.cumsum([len(texts[at]) for at in sound]) // PART
    for those in np.split(np.array(sound, np.int64), np.flatnonzero(np.diff(lengths)) + 1):
        if not len(those):
            continue
        counts, owner = _counts([texts[at] for at in those])
        negative = np.bincount(owner, counts < 0, minlength=len(those)) > 0
        total = np.bincount(owner, counts.astype(np.float64), minlength=len(those))
        for at in np.flatnonzero(negative | (total != pixels[those])):
            told = "hold a negative count in an image" if negative[at] else f"cover {total[at]:,.0f} pixels in an image"
            faults[those[at]] = told
    return faults


def _unreadable(text: str, known: bool) -> str:
    """What is wrong with the characters of a text; known: whether all of them occur in run lengths."""
    if not text:
        return "are empty for an image"
    if not known and text.encode("utf-8", "replace").translate(None, CHARACTERS):
        return "hold a character beyond '0' to 'o' in an image"
    return "end in the middle of a number in an image" if (ord(text[-1]) - ZERO) & MORE else ""


def _counts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The counts of readable texts, one text after the other, and the text of each count."""
    groups = np.frombuffer("".join(texts).encode("ascii"), np.uint8).astype(np.int64) - ZERO
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    ends = np.flatnonzero((groups & MORE) == 0)
    starts = np.append(0, ends[:-1] + 1)
    place = np.minimum(np.arange(len(groups)) - np.repeat(starts, ends - starts + 1), LONGEST)
    numbers = np.add.reduceat((groups & BITS) << (5 * place), starts)
    negative = (groups[ends] & SIGN) > 0
    numbers -= np.where(negative, np.int64(1) << (5 * np.minimum(ends - starts + 1, LONGEST)), 0)
    return _summed(numbers, owner[ends]), owner[ends]


def _summed(numbers: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Undo the differences to the count two before, in each text from its fourth count on."""
    at = np.arange(len(numbers)) - _firsts(owner)
    chain = 3 * owner + np.where(at == 0, 0, 1 + at % 2)  # the first count is alone, then every other one
    order = np.argsort(chain, kind="stable")
    added, chain = numbers[order], chain[order]
    sums, begins = added.cumsum(), _firsts(chain)
    counts = np.empty_like(numbers)
    counts[order] = sums - (sums[begins] - added[begins])
    return counts


def _firsts(ascending: np.ndarray) -> np.ndarray:
    """The position of the first of the values that are equal to each; far faster than a search for each."""
    sizes = np.bincount(ascending)
    return np.repeat(np.cumsum(sizes) - sizes, sizes)
