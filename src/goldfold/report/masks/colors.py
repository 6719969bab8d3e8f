"""Colors of masks in pictures: classes by name, and what a prediction of a foreground found, missed and added."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from goldfold.report.plotting import canvas
from goldfold.report.plotting.style import FOLDS

FOUND, ADDED, MISSED = "#009e73", "#e69f00", "#56b4e9"  # true positives, false positives, false negatives
OUTCOMES = {"found (TP)": FOUND, "only predicted (FP)": ADDED, "missed (FN)": MISSED}
OPACITY = 0.65
DARKER = 3  # the image is divided by it where a pixel has no class
NO_CLASS = "no class: dark"
GOLDEN = 0.618034  # share of the hue circle between two colors beyond the first ten
SWATCH = (12, 18)  # pixels of a color in a legend


def class_colors(count: int) -> np.ndarray:
    """Colors of classes, uint8 (count, 3): those that color-blind readers can tell apart first."""
    more = (colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.55, 0.8) for number in range(count - len(FOLDS)))
    return np.array(
        [*map(canvas.rgb, FOLDS[:count]), *(tuple(round(255 * part) for part in color) for color in more)], np.uint8
    )


def class_map(maps: np.ndarray) -> np.ndarray:
    """The class of each pixel of probabilities (classes, h, w): the most probable one, int64 (h, w).

    -1 where no class is above 0.5, if the probabilities of a pixel do not add up to 1, as those of overlapping classes.
    """
    best = maps.argmax(axis=0)
    exclusive = np.abs(maps.sum(axis=0, dtype=np.float32) - 1).max() < 0.02
    return best if exclusive else np.where(maps.max(axis=0) > 0.5, best, -1)


def paint(image: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Lay the colors of classes over an image uint8 (h, w, 3); labels outside 0 to count - 1 stay bare and dark."""
    resized = cv2.resize(labels.astype(np.int16), image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    known = (resized >= 0) & (resized < count)
    colors = class_colors(count)[np.where(known, resized, 0)]
    return np.where(known[..., None], _mixed(image, colors), image // DARKER).astype(np.uint8)


def outcomes(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Lay true positives, false positives and false negatives over the gray image, uint8 (h, w, 3).

    truth, predicted: bool of one size. A pixel of the picture that holds a wrong one is drawn as wrong, so that thin
    structures stay visible.
    """
    gray = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    drawn = gray
    for mask, color in ((truth & predicted, FOUND), (predicted & ~truth, ADDED), (truth & ~predicted, MISSED)):
        there = _any(mask, image.shape[:2])
        drawn = np.where(there[..., None], _mixed(gray, np.array(canvas.rgb(color))), drawn)
    return drawn.astype(np.uint8)


def _any(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask: pixels that hold any of it if it shrinks, else those of the nearest pixel."""
    shrinks = mask.size > size[0] * size[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST_EXACT
    return cv2.resize(mask.astype(np.uint8) * 255, size[::-1], interpolation=interpolation) > 0


def _mixed(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    return OPACITY * colors + (1 - OPACITY) * image


def named(predictions: np.ndarray, classes: Sequence[str] | None) -> dict[str, tuple[int, int, int]]:
    """Name -> color: of outcomes for foreground probabilities (n, h, w), else of the classes of (n, classes, h, w).

    After the classes comes an entry for pixels without one: void, or below 0.5 for every class of several.
    """
    if predictions.ndim == 3:
        return {name: canvas.rgb(color) for name, color in OUTCOMES.items()}
    count = predictions.shape[1]
    of_classes = zip(classes or map(str, range(count)), map(tuple, class_colors(count).tolist()), strict=True)
    gray = 128 // DARKER
    return dict(of_classes) | {NO_CLASS: (gray, gray, gray)}


def color_legend(colors: Mapping[str, Sequence[int]], width: int) -> np.ndarray:
    """Names beside their colors, in as many lines as they need."""
    entries = []
    for name, color in colors.items():
        swatch = np.broadcast_to(np.array(color, np.uint8), (*SWATCH, 3))
        text = canvas.text_line(name, width // 3)
        entries.append(canvas.hstack([canvas.centered(swatch, text.shape[0], SWATCH[1]), text], gap=5))
    lines: list[list[np.ndarray]] = [[]]
    for entry in entries:
        if lines[-1] and sum(each.shape[1] + 16 for each in lines[-1]) + entry.shape[1] > width:
            lines.append([])
        lines[-1].append(entry)
    return canvas.vstack((canvas.hstack(line, gap=16) for line in lines), gap=2)
