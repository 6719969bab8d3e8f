"""Watershed: touching discs are split between their centers, separate discs are connected components."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from goldfold.images.instances import watershed

SIZE = 64


def discs(centers: list[tuple[int, int]], radius: float) -> np.ndarray:
    """(SIZE, SIZE) map of discs; a pixel in several belongs to the nearest center."""
    grid = np.indices((SIZE, SIZE))
    distances = np.stack([np.hypot(grid[0] - row, grid[1] - column) for row, column in centers])
    return np.where(distances.min(axis=0) <= radius, distances.argmin(axis=0) + 1, 0)


def agreement(truth: np.ndarray, found: np.ndarray) -> float:
    """The lowest, over true objects, of the best IoU with a found one."""
    best = []
    for label in range(1, truth.max() + 1):
        ious = [
            ((truth == label) & (found == other)).sum() / ((truth == label) | (found == other)).sum()
            for other in range(1, found.max() + 1)
        ]
        best.append(max(ious))
    return min(best)


@pytest.mark.parametrize("centers", [[(30, 20), (30, 34)], [(20, 20), (30, 30)], [(15, 12), (15, 28), (30, 20)]])
def test_touching_discs_are_split_between_their_centers(centers: list[tuple[int, int]]) -> None:
    truth = discs(centers, radius=9)
    assert ndimage.label(truth > 0)[1] == 1
    found = watershed((truth > 0).astype(np.float32))
    assert found.max() == len(centers)
    assert agreement(truth, found) > 0.9


def test_separate_discs_are_connected_components() -> None:
    truth = discs([(8, 8), (8, 40), (40, 12), (50, 50)], radius=6)
    found = watershed(truth > 0)
    components, count = ndimage.label(truth > 0)
    assert found.max() == count == 4
    pairs = np.unique(np.stack([components.ravel(), found.ravel()]), axis=1)
    assert pairs.shape[1] == 1 + count


def test_objects_at_the_border_stay() -> None:
    truth = discs([(0, 20), (32, 20)], radius=8)
    truth[40:48, -3:] = 3
    found = watershed(truth > 0)
    assert found.max() == 3
    assert agreement(truth, found) == 1


def test_rough_outline_is_one_object_once_smoothed() -> None:
    rows, columns = np.indices((SIZE, SIZE)) - SIZE // 2
    angle = np.arctan2(rows, columns)
    rough = np.hypot(rows, columns * 0.5) <= 12 + 1.5 * np.sin(11 * angle)
    assert watershed(rough, smoothing=0).max() > 1
    assert watershed(rough, smoothing=3).max() == 1


def test_map_is_int32_without_gaps_and_repeats() -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((SIZE, SIZE + 9)), 2)
    probability = ((noise - noise.min()) / np.ptp(noise)).astype(np.float16)
    found = watershed(probability)
    assert found.dtype == np.int32
    assert found.shape == probability.shape
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))
    assert found.max() > 3
    assert not found[probability <= 0.5].any()
    assert np.array_equal(found, watershed(probability))


def test_small_objects_are_dropped_and_the_rest_renumbered() -> None:
    probability = np.zeros((SIZE, SIZE), np.float32)
    probability[2:5, 2:5] = 0.9  # 9 pixels, labeled first
    probability[20:30, 20:30] = 0.9
    assert watershed(probability, min_size=9).max() == 2
    found = watershed(probability, min_size=10)
    assert np.array_equal(found, (probability > 0).astype(int) * (np.indices(found.shape).sum(axis=0) > 20))


def test_threshold_is_exclusive() -> None:
    probability = np.full((SIZE, SIZE), 0.6, np.float32)
    assert watershed(probability, threshold=0.59).all()
    assert not watershed(probability, threshold=float(np.float32(0.6))).any()


def test_larger_distance_merges_a_dumbbell() -> None:
    truth = discs([(30, 20), (30, 31)], radius=7)
    assert watershed(truth > 0, min_distance=3).max() == 2
    assert watershed(truth > 0, min_distance=12).max() == 1


@pytest.mark.parametrize(("value", "objects"), [(0.0, 0), (1.0, 1)])
def test_uniform_maps(value: float, objects: int) -> None:
    found = watershed(np.full((SIZE, SIZE), value, np.float32))
    assert found.max() == objects
    assert found.dtype == np.int32
