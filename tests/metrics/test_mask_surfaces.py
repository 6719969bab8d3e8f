"""Boundary F1, surface Dice and the Hausdorff distance: against monai's numbers and slow definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_shapes import FOUND, SIZE, TRUE, discs

from goldfold import metrics
from goldfold.metrics.masks.surfaces import boundary_distances

ROWS = pd.DataFrame({"id": range(4)})
PREDICTIONS = np.stack([(each > 0).astype(np.float32) for each in FOUND])
# monai 1.6.1: compute_surface_dice(found, true, [pixels], include_background=True) and
# compute_hausdorff_distance(found, true, include_background=True, percentile=95) of made_shapes; NaN of one empty mask
SURFACE_DICE = {1: [0.4166666567325592, 0.5869565010070801, 0, 0], 2: [0.656862735748291, 0.75, 0, 0]}
HAUSDORFF = [16.917068481445312, 5.0]


def truth_of(rows: pd.DataFrame):
    return (TRUE[i] for i in rows["id"])


def edge_of(mask: np.ndarray) -> list[tuple[int, int]]:
    """Pixels of a mask with a neighbor of 4 outside, one by one."""
    height, width = mask.shape

    def outside(row: int, column: int) -> bool:
        return not (0 <= row < height and 0 <= column < width) or not mask[row, column]

    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    return [(r, c) for r, c in np.argwhere(mask).tolist() if any(outside(r + i, c + j) for i, j in steps)]


def slow_distances(one: np.ndarray, other: np.ndarray) -> list[float]:
    targets = np.array(edge_of(other))
    return [float(np.sqrt(((targets - each) ** 2).sum(axis=1).min())) for each in np.array(edge_of(one))]


@pytest.mark.parametrize("at", [0, 1])
def test_distances_between_boundaries_are_the_slow_ones(at: int) -> None:
    true, found = TRUE[at] > 0, FOUND[at] > 0
    there, back = boundary_distances(true, found)
    assert sorted(there) == pytest.approx(sorted(slow_distances(true, found)), abs=1e-5)
    assert sorted(back) == pytest.approx(sorted(slow_distances(found, true)), abs=1e-5)


def test_surface_dice_and_hausdorff_are_monais() -> None:
    for pixels, known in SURFACE_DICE.items():
        metric = metrics.surface_dice(truth_of, pixels=pixels)
        assert metric.options.per_row(ROWS, PREDICTIONS) == pytest.approx(known, abs=1e-6)
        assert metric.score(ROWS, PREDICTIONS) == pytest.approx(np.mean(known), abs=1e-6)
    distances = metrics.hausdorff_95(truth_of).options.per_row(ROWS, PREDICTIONS)
    assert distances == pytest.approx([*HAUSDORFF, *[np.hypot(*SIZE)] * 2], abs=1e-5)


@pytest.mark.parametrize("options", [{"pixels": 1}, {"pixels": 2.5}, {}])
def test_boundary_f1_is_its_definition(options: dict[str, float]) -> None:
    metric, expected = metrics.boundary_f1(truth_of, **options), []
    near = options.get("pixels", 0.0075 * np.hypot(*SIZE))
    for true, found in zip(TRUE[:2], FOUND[:2], strict=True):
        recall, precision = (
            np.mean(np.array(slow_distances(*each)) <= near) for each in ((true > 0, found > 0), (found > 0, true > 0))
        )
        expected.append(2 * precision * recall / (precision + recall))
    assert metric.options.per_row(ROWS, PREDICTIONS) == pytest.approx([*expected, 0, 0], abs=1e-6)
    assert metric.name == (
        "boundary_f1_{:g}px".format(*options.values()) if options else "boundary_f1_0.0075_of_diagonal"
    )


def test_classes_are_scored_apart_and_the_background_is_not() -> None:
    classes = [np.where(each == 2, 2, each > 0) for each in TRUE]
    guess = [np.where(each == 2, 2, each > 0) for each in FOUND]
    predictions = np.stack([np.stack([each == index for index in range(3)]) for each in guess]).astype(np.float16)
    metric = metrics.surface_dice(lambda rows: (classes[i] for i in rows["id"]), ("none", "a", "b"), pixels=2)
    found = []
    for index in (1, 2):
        one = metrics.surface_dice(lambda rows, index=index: (classes[i] == index for i in rows["id"]), pixels=2)
        found.append(one.options.per_row(ROWS, predictions[:, index]))
    mean = np.mean(found, axis=0)
    assert metric.options.per_row(ROWS[:2], predictions[:2]) == pytest.approx(mean[:2], abs=1e-12)
    by_class = metric.options.mask_classes.by_class(ROWS, predictions)(np.arange(2))
    assert by_class == pytest.approx([each[:2].mean() for each in found], abs=1e-12)
    assert metric.options.mask_classes.names == ("a", "b")


def test_void_pixels_are_in_no_mask() -> None:
    void = np.zeros(SIZE, bool)
    void[:, 25:] = True
    holed = [np.where(void, 9, each > 0) for each in TRUE]
    metric = metrics.hausdorff_95(lambda rows: (holed[i] for i in rows["id"]), void=9)
    cut = metrics.hausdorff_95(lambda rows: (np.where(void, 0, TRUE[i]) for i in rows["id"]))
    assert metric.score(ROWS, PREDICTIONS) == cut.score(ROWS, np.where(void, 0, PREDICTIONS))


def test_edges_of_the_definitions() -> None:
    rows, nothing, thing = ROWS[:1], np.zeros((1, 40, 50)), discs(SIZE, (9, 9, 5))[None] > 0
    for factory, perfect in ((metrics.boundary_f1, 1.0), (metrics.hausdorff_95, 0.0)):
        assert factory(lambda rows: nothing.astype(int)).score(rows, nothing) == perfect
        assert factory(lambda rows: thing).score(rows, thing.astype(float)) == perfect
        metric = factory(truth_of)
        constants = [np.full((4, 2, 2), value) for value in (0.0, 1.0)]
        best = max if perfect else min
        assert metric.chance(ROWS) == pytest.approx(best(metric.score(ROWS, each) for each in constants), abs=1e-12)
        assert metric.options.row_error(ROWS, PREDICTIONS).min() >= 0
    with raises_code("tolerance_negative"):
        metrics.surface_dice(truth_of, pixels=-1)
    with raises_code("no_rows"):
        metric.chance(ROWS[:0])
