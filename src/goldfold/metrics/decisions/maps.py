"""Decisions from probability maps: thresholds, holes, the smallest object, and the parameters of a watershed.

Maps are decided one row at a time, when a metric or a writer reads it. Sizes are pixels of the predicted map, except
those of a watershed, which splits the map at the size of its image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.metrics.decisions.thresholds import DEFAULT, at_one_half, not_a_share
from goldfold.metrics.row_by_row import RowByRow
from goldfold.optional_parts import Decision, DecisionParameter

if TYPE_CHECKING:
    from pandas import DataFrame

    Split = Callable[..., np.ndarray]

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(4, 17))  # 0.2 to 0.8
SIZES = (0, 8, 16, 32, 64, 128)


def _not_a_size(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return "" if whole else "a size is a whole number of pixels, 0 or more"


def _not_a_switch(value: Any) -> str:
    return "" if isinstance(value, bool) else "it is true or false"


def _not_positive(value: Any) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "" if number and value > 0 else "it is a number above 0"


def _not_a_distance(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return "" if whole else "a distance is a whole number of pixels, 1 or more"


def of_masks(classes: Sequence[str] = (), *, exclusive: bool = False) -> Decision:
    """What is decided from maps (n, h, w), or (n, classes, h, w) of classes that overlap or exclude each other.

    threshold: pixels above it are of the class. fill_holes: whether holes of an object become the object. min_size:
    smaller connected components (4 neighbors) are dropped; of exclusive classes their pixels become the next probable
    class. Exclusive classes have neither thresholds nor holes.
    """
    maps, several = len(classes), len(classes) > 0
    size = DecisionParameter(0, SIZES, _not_a_size, per_column=several)
    parameters = {"min_size": size}
    if not exclusive:
        parameters = {
            "threshold": DecisionParameter(DEFAULT, THRESHOLDS, not_a_share, per_column=several),
            "fill_holes": DecisionParameter(False, (False, True), _not_a_switch, per_column=several),
            "min_size": size,
        }
    decide = _exclusive if exclusive else _independent

    def apply(rows: DataFrame, predictions: np.ndarray, values: Mapping[str, Any]) -> RowByRow:
        second = exclusive and maps == 2 and predictions.ndim == 3  # the map of the second class alone
        if predictions.ndim < 3 or not (second or predictions.shape[1:-2] == ((maps,) if several else ())):
            raise GoldfoldError(
                "decision_unsuitable",
                f"masks are decided from probability maps, {maps or 1} for each row, got the shape "
                f"{predictions.shape}: leave `decide:` out",
            )
        return RowByRow(predictions, lambda _, row: decide(row, values), np.float32)

    return Decision(parameters=parameters, apply=apply, columns=tuple(map(str, classes)))


def _independent(row: np.ndarray, values: Mapping[str, Any]) -> np.ndarray:
    """One row, (h, w) or (maps, h, w): every map is decided alone."""
    if row.ndim == 2:
        return _of_map(row, *(values[name] for name in ("threshold", "fill_holes", "min_size")))
    each = {name: np.broadcast_to(value, len(row)) for name, value in values.items()}
    chosen = zip(row, each["threshold"], each["fill_holes"], each["min_size"], strict=True)
    return np.stack([_of_map(*one) for one in chosen])


def _of_map(probability: np.ndarray, threshold: float, fill_holes: bool, min_size: int) -> np.ndarray:
    """Probabilities (h, w) shifted so that 0.5 is the threshold; filled pixels are 1, dropped ones 0."""
    from scipy import ndimage

    shifted = probability.astype(np.float32)
    if threshold != DEFAULT:
        shifted = at_one_half(shifted, float(threshold)).astype(np.float32)
        shifted[probability > threshold] = shifted[probability > threshold].clip(np.nextafter(np.float32(0.5), 1))
    if fill_holes:
        shifted[ndimage.binary_fill_holes(shifted > DEFAULT) & (shifted <= DEFAULT)] = 1
    if min_size > 1:
        shifted[small_parts(shifted > DEFAULT, min_size)] = 0
    return shifted


def _exclusive(row: np.ndarray, values: Mapping[str, Any]) -> np.ndarray:
    """One row, (classes, h, w) or (h, w) of the second of two: small parts become the next probable class."""
    maps = row.astype(np.float32) if row.ndim == 3 else np.stack([1 - row, row]).astype(np.float32)
    best = maps.argmax(axis=0)
    for index, size in enumerate(np.broadcast_to(values["min_size"], len(maps)).tolist()):
        if size > 1:
            maps[index][small_parts(best == index, size)] = 0
    return maps if row.ndim == 3 else np.where(maps[0] + maps[1] > 0, maps[1] / (maps[0] + maps[1]), row)


def small_parts(mask: np.ndarray, min_size: int) -> np.ndarray:
    """Pixels of a mask (h, w) in connected components (4 neighbors) of fewer than `min_size` pixels.

    >>> small_parts(np.array([[1, 1, 0], [0, 0, 1]], bool), 2).astype(int).tolist()
    [[0, 0, 0], [0, 0, 1]]
    """
    from scipy import ndimage

    parts = ndimage.label(mask)[0]
    small = np.bincount(parts.ravel()) < min_size
    small[0] = False  # the background
    return small[parts]


def of_watershed(
    split: Split, sizes: Callable[[DataFrame], Iterable[tuple[int, int]]], plain: Mapping[str, Any] | None = None
) -> Decision:
    """The objects of `images.instances.watershed`, or of a function like it, at the size of each image.

    split: (h, w) probabilities and the parameters threshold, min_size, min_distance and smoothing -> (h, w) objects.
    sizes: rows -> (height, width) of their images, known without targets. plain: the parameters that hold without
    `decide:`, by default those of `watershed`.

    Decided predictions are (n,) objects, an int32 map each, which `dsb2018_map` takes in place of probabilities.
    """
    plain = {"threshold": DEFAULT, "min_size": 10, "min_distance": 3, "smoothing": 1.0, **(plain or {})}
    parameters = {
        "threshold": DecisionParameter(plain["threshold"], (0.3, 0.4, 0.5, 0.6, 0.7), not_a_share),
        "min_size": DecisionParameter(plain["min_size"], SIZES, _not_a_size),
        "min_distance": DecisionParameter(plain["min_distance"], (2, 3, 4, 5, 7, 10), _not_a_distance),
        "smoothing": DecisionParameter(plain["smoothing"], (0.5, 1.0, 1.5, 2.0), _not_positive),
    }

    def apply(rows: DataFrame, predictions: np.ndarray, values: Mapping[str, Any]) -> RowByRow:
        if predictions.ndim != 3:
            raise GoldfoldError(
                "decision_unsuitable",
                f"a watershed needs foreground maps (n, height, width), got the shape {predictions.shape}: leave "
                "`decide:` out",
            )
        known, found = list(sizes(rows)), partial(split, **values)
        return RowByRow(predictions, lambda at, row: found(_resized(row, known[at])), object)

    return Decision(parameters=parameters, apply=apply)


def _resized(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    height, width = map(int, size)
    return cv2.resize(probability.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
