"""Masks and object maps made of discs, by equations alone, so that numbers of other programs stay comparable."""

from __future__ import annotations

import numpy as np


def discs(size: tuple[int, int], *which: tuple[float, float, float]) -> np.ndarray:
    """An int32 (h, w) map with label i + 1 in the i-th disc (row, column, radius); later ones cover earlier ones."""
    rows, columns = np.indices(size)
    objects = np.zeros(size, np.int32)
    for label, (row, column, radius) in enumerate(which, 1):
        objects[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = label
    return objects


SIZE = (40, 50)
TRUE = [
    discs(SIZE, (12, 12, 8), (28, 35, 9.5)),
    discs(SIZE, (0, 0, 12), (20, 25, 7), (34, 45, 4)),
    discs(SIZE),
    discs(SIZE, (20, 20, 11)),
]
FOUND = [
    discs(SIZE, (13, 14, 8.5), (27, 36, 8), (5, 45, 3)),
    discs(SIZE, (1, 1, 10), (22, 27, 7), (33, 40, 3.5)),
    discs(SIZE, (10, 10, 4)),
    discs(SIZE),
]
CONFIDENCE = [(0.9, 0.6, 0.7), (0.8, 0.55, 0.95), (0.65,), ()]


def many() -> tuple[list[np.ndarray], list[np.ndarray], list[list[float]]]:
    """True maps, found maps and confidences of 12 images with crowded discs, drawn with a fixed seed."""
    rng, true, found, confidences = np.random.default_rng(3), [], [], []
    for _ in range(12):
        known = [(int(rng.integers(6, 90)), int(rng.integers(6, 110)), int(rng.integers(5, 13))) for _ in range(9)]
        moved = [
            (row + int(rng.integers(-3, 4)), column + int(rng.integers(-3, 4)), radius + int(rng.integers(-1, 2)))
            for row, column, radius in known[:8]
        ]
        true.append(discs((96, 116), *known))
        found.append(discs((96, 116), *moved, (50, 60, 4)))
        drawn = rng.permutation(99)[: len(np.unique(found[-1])) - 1] + 1
        confidences.append([int(each) / 100 for each in drawn])
    return true, found, confidences
