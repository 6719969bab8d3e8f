"""The highest Dice that masks of a smaller size can reach at the size of the truth, whatever predicts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from goldfold.metrics.masks.class_masks import most_probable, resized
from goldfold.metrics.masks.means import mean_of_known


def dice_by_size(maps: Iterable[np.ndarray], sizes: Sequence[int], classes: int) -> np.ndarray:
    """Mean Dice over images of each class of the truth itself, resized to each size and back: (sizes, classes).

    maps: (h, w) integers of each image. classes: 1, every value above 0 is one class; else class indices, where values
        beyond do not count. sizes: sides of square predictions.

    The truth is resized as targets of a segmenter are, by areas, and back as its predictions are, bilinearly. The
    better of the covered share of each pixel and of 0 and 1 at one half counts. A class that no image shows is NaN.
    """
    found = np.array([[_of_image(truth, size, classes) for size in sizes] for truth in maps])
    return mean_of_known(np.moveaxis(found, 0, -1), np.nan)


def _of_image(truth: np.ndarray, size: int, classes: int) -> np.ndarray:
    """The better Dice of each class of one image, (classes,)."""
    parts = [truth > 0] if classes == 1 else [truth == index for index in range(classes)]
    small = np.stack([_shrunk(part, size) for part in parts])
    hard = small > 0.5 if classes == 1 else small == small.max(axis=0)
    counted = np.ones(truth.shape, bool) if classes == 1 else truth < classes
    found = []
    for maps in (small, hard.astype(np.float32)):
        said = _decided(maps, truth.shape)
        found.append([_dice(part, guess & counted) for part, guess in zip(parts, said, strict=True)])
    return np.fmax(*np.array(found))


def _shrunk(part: np.ndarray, size: int) -> np.ndarray:
    """The covered share of each pixel of (size, size), float32."""
    import cv2

    shrinks = min(part.shape) >= size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(part.astype(np.float32), (size, size), interpolation=interpolation)


def _decided(maps: np.ndarray, shape: Sequence[int]) -> list[np.ndarray]:
    if len(maps) == 1:
        return [resized(maps[0], shape) > 0.5]
    decided = most_probable(maps, shape)
    return [decided == index for index in range(len(maps))]


def _dice(true: np.ndarray, predicted: np.ndarray) -> float:
    """Dice of a class; NaN where the truth has none, since an empty mask is predicted at any size."""
    area = np.count_nonzero(true)
    return 2 * np.count_nonzero(true & predicted) / (area + np.count_nonzero(predicted)) if area else np.nan
