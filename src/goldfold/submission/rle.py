"""Run-length encoding (RLE) of masks in the format of the Data Science Bowl 2018: "start length start length ...".

Pixels are numbered from 1, or `first`, in column-major order: 1 is the upper left pixel, 2 the one below it. An empty
mask is the empty string. `goldfold.submission.mask_runs` has the dialects of other hosts. Definition: https://www.kaggle.com/competitions/data-science-bowl-2018/overview/evaluation
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, compress, pairwise
from typing import NamedTuple

import numpy as np

from goldfold.errors import GoldfoldError


class Runs(NamedTuple):
    """Runs of pixels, each array (runs,) int64.

    starts: first pixel, from 0. ends: pixel after the last, from 0. labels: label of the object.
    """

    starts: np.ndarray
    ends: np.ndarray
    labels: np.ndarray


_NONE = Runs(*[np.empty(0, np.int64)] * 3)
_PAIR = r"(?:0|[1-9][0-9]*) [1-9][0-9]*"
_PAIRS = re.compile(rf"{_PAIR}(?: {_PAIR})*")
_PART = 1 << 20  # characters per chunk: the chunk and its intermediate arrays fit the processor's cache
_WHOLES = re.compile(r"-?[0-9]{1,18}(?: -?[0-9]{1,18})*+")
_WHOLE = re.compile(r"-?[0-9]{1,18}")  # 18 digits fit an int64, and so does the sum of two such numbers


def encode(mask: np.ndarray, first: int = 1) -> str:
    """Encode a (height, width) bool or integer mask; every pixel that is not 0 belongs to the object.

    first: the number of the upper left pixel, here and below.

    Raises:
        GoldfoldError: `mask_invalid`, the array is not 2-dimensional or not bool or integer.

    >>> encode(np.array([[1, 0, 1], [1, 0, 0]]))
    '1 2 5 1'
    """
    return _text(_find(_image(mask).astype(bool, copy=False)), first)


def encode_instances(instances: np.ndarray, first: int = 1) -> list[str]:
    """Encode every object of a (height, width) integer map, in the order of the labels; 0 is background.

    Raises:
        GoldfoldError: `mask_invalid`; `label_negative`.
    """
    runs = _find(_image(instances))
    if (runs.labels < 0).any():
        raise GoldfoldError(
            "label_negative",
            f"object labels must be 1 or more and background 0, found {runs.labels.min()}: relabel the map",
        )
    by_label = np.argsort(runs.labels, kind="stable")
    borders = np.flatnonzero(np.diff(runs.labels[by_label])) + 1
    return [_text(_take(runs, those), first) for those in np.split(by_label, borders) if len(those)]


def decode(text: str | float | None, height: int, width: int, first: int = 1) -> np.ndarray:
    """Decode `text` to a (height, width) bool mask; empty text, None and NaN give an empty mask.

    Raises:
        GoldfoldError: `rle_not_pairs`, an odd count of numbers; `rle_not_whole_numbers`; `rle_run_invalid`, a run
            starts before the first pixel, has no pixel, overlaps or precedes the run before it, or passes the end of
            the image.
    """
    return _paint(_parse([text], height, width, first), height, width).astype(bool)


def decode_instances(texts: Sequence[str | float | None], height: int, width: int, first: int = 1) -> np.ndarray:
    """Decode objects to a (height, width) int32 map with label i + 1 for `texts[i]`; raises as `instance_runs`."""
    return _paint(instance_runs(texts, height, width, first), height, width)


def instance_runs(texts: Sequence[str | float | None], height: int, width: int, first: int = 1) -> Runs:
    """Return the runs of all objects of one image in the order of pixels; `texts[0]` has label 1.

    Raises:
        GoldfoldError: as `decode`; `objects_overlap`, two objects share a pixel.
    """
    runs = _parse(texts, height, width, first)
    runs = _take(runs, np.argsort(runs.starts, kind="stable"))
    shared = np.flatnonzero(runs.starts[1:] < runs.ends[:-1])
    if len(shared):
        one, other = runs.labels[shared[0]], runs.labels[shared[0] + 1]
        raise GoldfoldError(
            "objects_overlap",
            f"objects {one} and {other} (counted from 1) share pixel {runs.starts[shared[0] + 1] + first}, but a pixel"
            " belongs to at most one object: remove it from one of them",
        )
    return runs


def invalid_images(texts: Sequence[str], images: np.ndarray, pixels: np.ndarray, first: int = 1) -> np.ndarray:
    """Return for which images `instance_runs` raises, (images,) bool; much faster for many images.

    images: (texts,) int64, the image of each text, ascending. pixels: (images,) int64, number of pixels per image.
    """
    faulty = np.zeros(len(pixels), bool)
    begins = np.flatnonzero(np.diff(images, prepend=-1))  # texts of each image
    part = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts))) // _PART
    cuts = begins[np.flatnonzero(np.diff(part[begins], prepend=-1))].tolist()
    for start, end in pairwise([*cuts, len(texts)]):
        _mark_invalid(texts[start:end], images[start:end], pixels, faulty, first)
    return faulty


def _mark_invalid(texts: Sequence[str], images: np.ndarray, pixels: np.ndarray, faulty: np.ndarray, first: int) -> None:
    if not len(texts):
        return
    counts = np.fromiter((text.count(" ") + 1 for text in texts), np.int64, len(texts))
    joined = " ".join(texts)
    if (counts % 2).any() or not _plain(joined):
        texts = [" ".join(_words(text)) for text in texts]
        irregular = np.unique(images[[not _PAIRS.fullmatch(text) for text in texts]])
        ends = np.searchsorted(images, irregular, "right")
        for image, start, end in zip(irregular, np.searchsorted(images, irregular), ends, strict=True):
            faulty[image] = _refused(texts[start:end], pixels[image], first)
        kept = ~np.isin(images, irregular)
        _mark_invalid(list(compress(texts, kept)), images[kept], pixels, faulty, first)
    else:
        numbers = np.fromstring(joined, np.int64, sep=" ")
        numbers[::2] -= first
        _mark_misplaced(numbers, counts // 2, images, pixels, faulty)


def _mark_misplaced(
    numbers: np.ndarray, counts: np.ndarray, images: np.ndarray, pixels: np.ndarray, faulty: np.ndarray
) -> None:
    """Mark images with runs past their end or before the end of an earlier run; numbers beyond int64 are clipped.

    numbers: starts from 0 and lengths in turn.
    """
    whose, begins = np.repeat(images, counts), np.zeros(counts.sum(), bool)
    begins[np.cumsum(counts[:-1])] = True  # first runs of objects, which may precede the last run of the object before
    starts, beyond = numbers[::2], pixels[whose]
    ends = np.minimum(starts, beyond) + np.minimum(numbers[1::2], beyond + 1)  # avoids overflow of int64
    faulty[whose[(ends > beyond) | (starts < 0) | (numbers[1::2] < 1)]] = True
    faulty[whose[1:][(starts[1:] < ends[:-1]) & ~begins[1:]]] = True
    if (images[1:] == images[:-1]).any():
        order = np.lexsort((starts, whose))
        starts, ends, whose = starts[order], ends[order], whose[order]
        faulty[whose[1:][(starts[1:] < ends[:-1]) & (whose[1:] == whose[:-1])]] = True


def _plain(text: str) -> bool:
    """Return whether `text` holds only whole numbers from 0 up, separated by single spaces."""
    data = f" {text} ".encode("utf-8", "replace")
    if data.translate(None, b"0123456789 ") or b"  " in data:
        return False
    return b" 0" not in data or data.count(b" 0") == data.count(b" 0 ")


def _refused(texts: Sequence[str], pixels: int, first: int) -> bool:
    try:
        instance_runs(texts, int(pixels), 1, first)
    except GoldfoldError:
        return True
    return False


def _image(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise GoldfoldError(
            "mask_invalid",
            f"a mask must be (height, width) of bool or integers, not {values.shape} of {values.dtype}: threshold"
            " probabilities, and encode one image at a time",
        )
    return values


def _find(image: np.ndarray) -> Runs:
    """Find the runs of equal values that are not 0."""
    if not image.size:
        return _NONE
    height, width = image.shape
    rows, columns = np.divmod(np.flatnonzero(image[1:] != image[:-1]), width)  # faster than reading down the columns
    over_edge = np.flatnonzero(image[0, 1:] != image[-1, :-1]) + 1
    starts = np.concatenate([[0], columns * height + rows + 1, over_edge * height])
    starts.sort(kind="stable")  # half the time of the default for partly sorted values
    columns, rows = np.divmod(starts, height)
    labels = image[rows, columns].astype(np.int64)
    return _take(Runs(starts, np.append(starts[1:], image.size), labels), labels != 0)


def _take(runs: Runs, which: np.ndarray) -> Runs:
    return Runs(*(values[which] for values in runs))


def _text(runs: Runs, first: int) -> str:
    numbers = np.column_stack([runs.starts + first, runs.ends - runs.starts]).ravel().tolist()
    return ("%d " * len(numbers) % tuple(numbers))[:-1]  # a third of the time of joining str(number)


def _paint(runs: Runs, height: int, width: int) -> np.ndarray:
    """Paint ascending runs into a (height, width) int32 map."""
    borders = np.concatenate([[0], np.column_stack([runs.starts, runs.ends]).ravel(), [height * width]])
    labels = np.zeros(len(borders) - 1, np.int32)
    labels[1::2] = runs.labels
    return np.repeat(labels, np.diff(borders)).reshape((height, width), order="F")


def _parse(texts: Sequence[str | float | None], height: int, width: int, first: int) -> Runs:
    """Parse and check each text; return the runs of all texts, one text after the other."""
    words = [[] if text is None or text != text else _words(str(text)) for text in texts]  # empty fields read as NaN
    counts = np.array([len(each) for each in words], np.int64)
    if (counts % 2).any():
        odd = counts[counts % 2 == 1][0]
        raise GoldfoldError(
            "rle_not_pairs", f"run lengths must be pairs of start and length, found {odd} numbers: write both"
        )
    numbers = _whole_numbers(list(chain.from_iterable(words)))
    starts, lengths = numbers[::2] - first, numbers[1::2]
    runs = Runs(starts, starts + lengths, np.repeat(np.arange(1, len(words) + 1), counts // 2))
    _check(runs, height, width, len(words), first)
    return runs


def _words(text: str) -> list[str]:
    """The words between plain spaces; a tab or a no-break space is part of a word, so that it is refused."""
    return [word for word in text.split(" ") if word]


def _check(runs: Runs, height: int, width: int, objects: int, first: int) -> None:
    previous_ends = np.append(0, runs.ends)[:-1]
    previous_ends[np.append(0, runs.labels)[:-1] != runs.labels] = 0  # of the first run of each object
    faults = {
        f"starts before pixel {first}: number the pixels from {first}": runs.starts < 0,
        "has no pixel: leave it out": runs.ends <= runs.starts,
        "passes the end of the image: encode the mask at the image's own size": runs.ends > height * width,
        "starts before the previous run ends: sort the runs and merge them": runs.starts < previous_ends,
    }
    for fault, where in faults.items():
        if where.any():
            raise GoldfoldError(
                "rle_run_invalid",
                f"{_name(runs, int(where.argmax()), objects, first)} in an image of height {height} and width {width}"
                f" ({height * width} pixels) {fault}",
            )


def _whole_numbers(words: list[str]) -> np.ndarray:
    joined = " ".join(words)
    if _WHOLES.fullmatch(joined):  # one search for all of them is far faster than one for each
        return np.fromstring(joined, np.int64, sep=" ")
    invalid = next((word for word in words if not _WHOLE.fullmatch(word)), None)
    if invalid is not None:
        raise GoldfoldError(
            "rle_not_whole_numbers",
            f"run lengths must be whole numbers separated by plain spaces, found {invalid!r}: write start and length",
        )
    return np.empty(0, np.int64)


def _name(runs: Runs, position: int, objects: int, first: int) -> str:
    label = runs.labels[position]
    number = position - np.searchsorted(runs.labels, label) + 1
    text = f"run {number}, '{runs.starts[position] + first} {runs.ends[position] - runs.starts[position]}',"
    return f"{text} of object {label}" if objects > 1 else text
