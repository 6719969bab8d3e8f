"""Synthetic spots of several sizes, and from which size on a detector sees them.

They say what a detector cannot see, not what it sees: real defects of the same size have less contrast.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from goldfold.images import reading
from goldfold.io import seeding

SIZES = (2, 4, 8, 16, 32)  # pixels of the image file
CONTRAST = (64, 128)  # gray levels
LEAST_WIDTH = 0.5  # of the length
SEEN = 0.7  # AUROC from which a size counts as seen


def spot(image: np.ndarray, size: int, sample: object) -> np.ndarray:
    """A copy of the image with one elliptic spot, uint8 (h, w, c), darker than its place or, if that is dark, lighter.

    size: length of the spot in pixels; its width is between half of it and all of it. sample: anything with a stable
    `str`, from which place, turn and contrast are drawn.
    """
    drawn = np.random.default_rng(seeding.derive(0, "spot", size, sample))
    height, width = image.shape[:2]
    center = drawn.uniform((size / 2, size / 2), (max(size / 2, width - size / 2), max(size / 2, height - size / 2)))
    inside = _ellipse((height, width), center, size, drawn)
    sign = -1 if image[inside].mean() >= 128 else 1
    changed = image.copy()
    changed[inside] = np.clip(image[inside] + sign * drawn.uniform(*CONTRAST), 0, 255).astype(np.uint8)
    return changed


def _ellipse(shape: tuple[int, int], center: np.ndarray, size: int, drawn: np.random.Generator) -> np.ndarray:
    """Whether the center of each pixel is within a turned ellipse, bool; at least the nearest pixel is."""
    turn, wide = drawn.uniform(0, np.pi), size * drawn.uniform(LEAST_WIDTH, 1)
    y, x = (np.indices(shape, np.float32).T + 0.5 - center[::-1]).T
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    away = np.hypot(along / (size / 2), across / (wide / 2))
    return away <= max(1, away.min())


def spotted(path: str | Path, size: int, image_size: int) -> np.ndarray:
    """The image of a file with a spot, drawn at the file's own size and then resized to a square, uint8 (h, w, 3)."""
    return reading.resize(spot(reading.read(path), size, reading.content_hash(path)), image_size)


def auroc_by_size(normal: np.ndarray, spotted: Mapping[int, np.ndarray]) -> dict[int, float]:
    """AUROC of the spots of each size against normal images. normal: scores (n,). spotted: size -> scores (m,)."""
    from sklearn.metrics import roc_auc_score

    found = {}
    for size, scores in spotted.items():
        truth = np.repeat((0, 1), (len(normal), len(scores)))
        found[size] = float(roc_auc_score(truth, np.concatenate([normal, scores])))
    return found


def smallest_seen(auroc: Mapping[int, float]) -> int | None:
    """The smallest size from which on every larger one is seen; None if the largest is not.

    >>> smallest_seen({2: 0.9, 4: 0.5, 8: 0.8, 16: 1.0}), smallest_seen({2: 0.5})
    (8, None)
    """
    seen = None
    for size in sorted(auroc, reverse=True):
        if auroc[size] < SEEN:
            break
        seen = size
    return seen
