"""True and predicted masks of each class of each image, read and resized one image at a time.

Truth: rows -> an integer map for each row, (h, w) class indices if a pixel has one class, (classes, h, w) of 0 and 1 if
classes overlap. Predictions are (n, classes, H, W) probabilities of any float type, or (n, H, W) of the second of two
classes; each map is resized bilinearly to the size of its truth. Exclusive classes: the most probable one counts.
Overlapping classes: those with a probability > 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import check_predictions, shape_of_rows

if TYPE_CHECKING:
    from pandas import DataFrame

    Truth = Callable[[DataFrame], Iterable[np.ndarray]]

THRESHOLD = 0.5


class ClassMask(NamedTuple):
    """Masks of one class of one image, bool (h, w) both; pixels of the void index are in neither.

    number: index of the class.
    """

    number: int
    true: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class ClassMasks:
    """How masks of classes are read.

    truth: as above. classes: their names, in the order of the indices and of the predicted maps. void: the value of
        pixels in the truth that do not count; None: all count. overlapping: whether a pixel may have several classes.
    """

    truth: Truth
    classes: tuple[str, ...]
    void: int | None = None
    overlapping: bool = False

    def pairs(self, rows: DataFrame, predictions: np.ndarray) -> Iterator[Iterator[ClassMask]]:
        """The masks of each class, for each row.

        Raises:
            GoldfoldError: those of `check_predictions`; `wrong_prediction_shape`; `class_map_invalid`, the truth has
                another shape or type, or a value that is no class.
        """
        count = len(self.classes)
        predictions = check_predictions(predictions, rows)
        if predictions.shape[1:-2] != (count,) and (predictions.ndim, count, self.overlapping) != (3, 2, False):
            raise GoldfoldError(
                "wrong_prediction_shape",
                f"masks of {count} classes must have shape (n, {count}, height, width), got "
                f"{shape_of_rows(predictions.shape[1:])}: check `Plan.predict`",
            )
        for truth, maps in zip(self.maps(rows), predictions, strict=True):
            yield self._of_image(truth, maps)

    def counted(self) -> tuple[str, ...]:
        """Classes with an object to find: all that overlap, else all but the first, which is the background."""
        return self.classes if self.overlapping else self.classes[1:]

    def true_areas(self, rows: DataFrame) -> np.ndarray:
        """Pixels of each class and, last, pixels that count, of each row: int64 (n, classes, 2)."""
        return np.array([[self._areas(truth, each) for each in range(len(self.classes))] for truth in self.maps(rows)])

    def maps(self, rows: DataFrame) -> Iterator[np.ndarray]:
        """The checked truth of each row."""
        for truth, name in zip(self.truth(rows), _names(rows), strict=True):
            yield self._checked(truth, name)

    def true_masks(self, truth: np.ndarray) -> Iterator[ClassMask]:
        """The masks of each class that counts of one image, with a prediction of that class everywhere."""
        first = len(self.classes) - len(self.counted())
        for index in range(first, len(self.classes)):
            part = truth[index] if self.overlapping else truth
            everywhere = np.ones(part.shape, bool) if self.void is None else part != self.void
            yield ClassMask(index, part == (1 if self.overlapping else index), everywhere)

    def _areas(self, truth: np.ndarray, index: int) -> tuple[int, int]:
        part = truth[index] if self.overlapping else truth
        counted = part.size if self.void is None else np.count_nonzero(part != self.void)
        return int(np.count_nonzero(part == (1 if self.overlapping else index))), int(counted)

    def _of_image(self, truth: np.ndarray, maps: np.ndarray) -> Iterator[ClassMask]:
        decided = None if self.overlapping else most_probable(maps, truth.shape)
        for index in range(len(self.classes)):
            part = truth if decided is not None else truth[index]
            true = part == (1 if decided is None else index)
            predicted = decided == index if decided is not None else resized(maps[index], part.shape) > THRESHOLD
            yield ClassMask(index, true, predicted if self.void is None else predicted & (part != self.void))

    def _checked(self, truth: np.ndarray, name: str) -> np.ndarray:
        """The truth of one image, after checks of its shape, type and values. name: of its row, for messages."""
        count, dimensions = len(self.classes), 3 if self.overlapping else 2
        wanted = f"({count}, h, w) of 0 and 1" if self.overlapping else "(h, w) class indices"
        if truth.ndim != dimensions or truth.dtype.kind not in "biu" or (self.overlapping and len(truth) != count):
            raise GoldfoldError(
                "class_map_invalid",
                f"the truth{name} must be {wanted} as integers, got {truth.shape} of {truth.dtype}: correct what the "
                "competition's masks() returns",
            )
        most = 2 if self.overlapping else count
        wrong = (truth < 0) | (truth >= most) if truth.dtype.kind != "b" else np.zeros(1, bool)
        if self.void is not None:
            wrong = wrong & (truth != self.void)
        if wrong.any():
            void = "" if self.void is None else f" or {self.void} (void)"
            raise GoldfoldError(
                "class_map_invalid",
                f"the truth{name} must hold 0 to {most - 1}{void}, found {truth[wrong][0]} in "
                f"{np.count_nonzero(wrong):,} pixels: name every class, or give their value as `void`",
            )
        return truth


def _names(rows: DataFrame) -> list[str]:
    """Id and file of each row's mask, as far as they are known, for messages."""
    ids, files = rows.get("id"), rows.get("mask_path")
    if ids is None:
        return [""] * len(rows)
    told = [""] * len(rows) if files is None else [f" ('{file}')" for file in files]
    return [f" of row {id_!r}{file}" for id_, file in zip(ids.tolist(), told, strict=True)]


def most_probable(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Index of the most probable class of each pixel, int16 (h, w); of equally probable ones the first.

    maps: (classes, H, W) probabilities, or (H, W) of the second of two classes. size: (h, w).
    """
    if maps.ndim == 2:
        return (resized(maps, size) > THRESHOLD).astype(np.int16)
    best, decided = resized(maps[0], size), np.zeros(size, np.int16)
    for index, each in enumerate(maps[1:], 1):
        probability = resized(each, size)
        better = probability > best
        decided[better] = index
        np.copyto(best, probability, where=better)
    return decided


def resized(probability: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """One map (H, W) as a new float32 array of `size` (h, w), bilinear."""
    import cv2

    height, width = size
    return cv2.resize(probability.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
