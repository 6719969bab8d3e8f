"""Areas and overlaps of true and predicted objects of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import check_predictions, shape_of_rows
from goldfold.metrics.masks.class_masks import resized

if TYPE_CHECKING:
    from pandas import DataFrame

    Truth = Callable[[DataFrame], Iterable[np.ndarray]]
    Split = Callable[[np.ndarray], np.ndarray]

ONE_CLASS = ("object",)


class Overlaps(NamedTuple):
    """True and predicted objects of one image, and the pairs that share pixels.

    true, predicted: their values in the maps, ascending. true_areas, predicted_areas: pixels, without void ones of the
    truth. void: pixels of each predicted object that are void in the truth. pairs: (pairs, 2) positions of a true and
    a predicted object. shared: pixels of each pair.
    """

    true: np.ndarray
    true_areas: np.ndarray
    predicted: np.ndarray
    predicted_areas: np.ndarray
    void: np.ndarray
    pairs: np.ndarray
    shared: np.ndarray


@dataclass(frozen=True)
class ObjectMaps:
    """How maps of objects are read.

    truth: rows -> an (h, w) integer map for each row. split: (h, w) or (classes, h, w) float32 probabilities at the
        size of the truth -> such a map.
    classes: names; the value of an object is its class, counted from 1, * `divisor` + a number below it. None: all
        values above 0 are objects of one class. 0 is no object.
    void: the value of pixels that do not count.
    """

    truth: Truth
    split: Split
    classes: tuple[str, ...] | None = None
    divisor: int = 1000
    void: int | None = None

    def names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.classes or ONE_CLASS

    def class_of(self, values: np.ndarray) -> np.ndarray:
        """The class index of each value of a map.

        Raises:
            GoldfoldError: `unknown_class`.
        """
        if self.classes is None:
            return np.zeros(len(values), np.int64)
        found = values // self.divisor
        wrong = (found < 1) | (found > len(self.classes))
        if wrong.any():
            raise GoldfoldError(
                "unknown_class",
                f"the value {values[wrong][0]} is of class {found[wrong][0]}, but classes are 1 to "
                f"{len(self.classes)}: name every class, or check the divisor",
            )
        return found - 1

    def pairs(self, rows: DataFrame, predictions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """True map, predicted map and the probabilities at their size, for each row."""
        predictions = check_predictions(predictions, rows)
        wanted = (3,) if self.classes is None else (3, 4)
        if predictions.ndim not in wanted:
            raise GoldfoldError(
                "wrong_prediction_shape",
                f"masks must have shape (n, height, width){'' if self.classes is None else ' or with classes second'}, "
                f"got {shape_of_rows(predictions.shape[1:])}: check `Plan.predict`",
            )
        for true, maps in zip(self.truth(rows), predictions, strict=True):
            sized = (
                resized(maps, true.shape) if maps.ndim == 2 else np.stack([resized(one, true.shape) for one in maps])
            )
            yield true, self.split(sized), sized

    def overlaps(self, true: np.ndarray, predicted: np.ndarray) -> Overlaps:
        """Compare two maps.

        Raises:
            GoldfoldError: `object_map_invalid`, maps of two shapes, of another type or with negative values.
        """
        for objects in (true, predicted):
            negative = (objects < 0) if self.void is None else (objects < 0) & (objects != self.void)
            if objects.shape != true.shape or objects.dtype.kind not in "iu" or negative.any():
                raise GoldfoldError(
                    "object_map_invalid",
                    f"object maps must be integers >= 0 of one shape, got {true.dtype} {true.shape} and "
                    f"{predicted.dtype} {predicted.shape}: label the objects 1, 2, ... on background 0",
                )
        return self._compared(true.ravel().astype(np.int64), predicted.ravel().astype(np.int64))

    def _compared(self, true: np.ndarray, predicted: np.ndarray) -> Overlaps:
        known, at = np.unique(true, return_inverse=True)
        found, place = np.unique(predicted, return_inverse=True)
        table = np.bincount(at * len(found) + place, minlength=len(known) * len(found))
        table = table.reshape(len(known), len(found))
        void = table[known == self.void].sum(axis=0) if self.void is not None else np.zeros(len(found), np.int64)
        rows, columns = (~np.isin(each, [0] if self.void is None else [0, self.void]) for each in (known, found))
        areas, shared = table.sum(axis=1)[rows], table[np.ix_(rows, columns)]
        pairs = np.argwhere(shared)
        kept = (table.sum(axis=0) - void)[columns]
        return Overlaps(known[rows], areas, found[columns], kept, void[columns], pairs, shared[tuple(pairs.T)])
