"""Run-length coding of masks as the Data Science Bowl 2018 writes them: "start length start length ...".

Pixels are numbered from 1, down the columns first: 1 is the upper left pixel, 2 the one below it. A mask without
pixels is the empty string. Definition: https://www.kaggle.com/competitions/data-science-bowl-2018/overview/evaluation
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from goldfold.errors import GoldfoldError


class Runs(NamedTuple):
    """Stretches of pixels, each (runs,) int64: first pixel, pixel after the last (both from 0), label of the object."""

    starts: np.ndarray
    ends: np.ndarray
    labels: np.ndarray


_NONE = Runs(*[np.empty(0, np.int64)] * 3)
_WHOLE = re.compile(r"-?[0-9]{1,18}")  # 18 digits fit an int64, and so does the sum of two such numbers


def encode(mask: np.ndarray) -> str:
    """The runs of a (height, width) bool or integer mask, where what is not 0 belongs to the object.

    >>> encode(np.array([[1, 0, 1], [1, 0, 0]]))
    '1 2 5 1'
    """
    return _text(_find(_image(mask).astype(bool, copy=False)))


def encode_instances(instances: np.ndarray) -> list[str]:
    """The runs of every object in a (height, width) integer map, in the order of their labels; 0 is background."""
    runs = _find(_image(instances))
    if (runs.labels < 0).any():
        raise GoldfoldError(f"objects are labelled from 1 up, background 0, found {runs.labels.min()}: relabel the map")
    by_label = np.argsort(runs.labels, kind="stable")
    borders = np.flatnonzero(np.diff(runs.labels[by_label])) + 1
    return [_text(_take(runs, those)) for those in np.split(by_label, borders) if len(those)]


def decode(text: str | float | None, height: int, width: int) -> np.ndarray:
    """The (height, width) bool mask that `text` describes; empty text, None and NaN are a mask without pixels.

    Raises GoldfoldError for an odd count of numbers, for what is no whole number, and for runs that start before pixel
    1, hold no pixel, overlap, do not ascend, or pass the end of the image.
    """
    return _paint(_parse([text], height, width), height, width).astype(bool)


def decode_instances(texts: Sequence[str | float | None], height: int, width: int) -> np.ndarray:
    """The (height, width) int32 map with label i + 1 where object `texts[i]` lies; raises as `instance_runs` does."""
    return _paint(instance_runs(texts, height, width), height, width)


def instance_runs(texts: Sequence[str | float | None], height: int, width: int) -> Runs:
    """The runs of all objects of one image in the order of pixels; `texts[0]` has label 1.

    Raises GoldfoldError where `decode` does, and where two objects share a pixel.
    """
    runs = _parse(texts, height, width)
    runs = _take(runs, np.argsort(runs.starts, kind="stable"))
    shared = np.flatnonzero(runs.starts[1:] < runs.ends[:-1])
    if len(shared):
        one, other = runs.labels[shared[0]], runs.labels[shared[0] + 1]
        raise GoldfoldError(
            f"objects {one} and {other} (counted from 1) share pixel {runs.starts[shared[0] + 1] + 1}, but a pixel"
            " belongs to one object at most: take it out of one of them"
        )
    return runs


def _image(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise GoldfoldError(
            f"a mask is (height, width) of bool or integers, not {values.shape} of {values.dtype}: threshold"
            " probabilities and encode one image at a time"
        )
    return values


def _find(image: np.ndarray) -> Runs:
    """The runs of equal values that are not 0."""
    columns = np.flatnonzero(image.any(axis=0))
    if not len(columns):
        return _NONE
    first = columns[0]
    pixels = image[:, first : columns[-1] + 1].ravel(order="F")  # reading down the columns is what takes time
    borders = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    starts, ends = np.append(0, borders), np.append(borders, len(pixels))
    labels, offset = pixels[starts].astype(np.int64), first * len(image)
    return _take(Runs(starts + offset, ends + offset, labels), labels != 0)


def _take(runs: Runs, which: np.ndarray) -> Runs:
    return Runs(*(values[which] for values in runs))


def _text(runs: Runs) -> str:
    return " ".join(map(str, np.column_stack([runs.starts + 1, runs.ends - runs.starts]).ravel().tolist()))


def _paint(runs: Runs, height: int, width: int) -> np.ndarray:
    """The (height, width) int32 map of runs that ascend."""
    borders = np.concatenate([[0], np.column_stack([runs.starts, runs.ends]).ravel(), [height * width]])
    labels = np.zeros(len(borders) - 1, np.int32)
    labels[1::2] = runs.labels
    return np.repeat(labels, np.diff(borders)).reshape((height, width), order="F")


def _parse(texts: Sequence[str | float | None], height: int, width: int) -> Runs:
    """The runs of all texts, one text after the other, each sound in itself."""
    words = [[] if text is None or text != text else str(text).split() for text in texts]  # empty fields read as NaN
    counts = np.array([len(each) for each in words], np.int64)
    if (counts % 2).any():
        odd = counts[counts % 2 == 1][0]
        raise GoldfoldError(f"run lengths are pairs of start and length, found {odd} numbers: write both of each run")
    numbers = _whole_numbers(list(chain.from_iterable(words)))
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    runs = Runs(starts, starts + lengths, np.repeat(np.arange(1, len(words) + 1), counts // 2))
    _check(runs, height, width, objects=len(words))
    return runs


def _check(runs: Runs, height: int, width: int, objects: int) -> None:
    ahead = np.append(0, runs.ends)[:-1]
    ahead[np.append(0, runs.labels)[:-1] != runs.labels] = 0  # the first run of an object has none ahead of it
    faults = {
        "starts before pixel 1: number the pixels from 1": runs.starts < 0,
        "holds no pixel: leave it out": runs.ends <= runs.starts,
        "passes the end of the image: encode the mask at the image's own size": runs.ends > height * width,
        "begins before the run ahead of it ends: sort the runs and merge them": runs.starts < ahead,
    }
    for fault, where in faults.items():
        if where.any():
            raise GoldfoldError(
                f"{_name(runs, int(where.argmax()), objects)} in an image {height} high and {width} wide"
                f" ({height * width} pixels) {fault}"
            )


def _whole_numbers(words: list[str]) -> np.ndarray:
    strange = next((word for word in words if not _WHOLE.fullmatch(word)), None)
    if strange is not None:
        raise GoldfoldError(f"run lengths are whole numbers apart by spaces, found {strange!r}: write start and length")
    return np.array(list(map(int, words)), np.int64)


def _name(runs: Runs, position: int, objects: int) -> str:
    label = runs.labels[position]
    number = position - np.searchsorted(runs.labels, label) + 1
    text = f"run {number}, '{runs.starts[position] + 1} {runs.ends[position] - runs.starts[position]}',"
    return f"{text} of object {label}" if objects > 1 else text
