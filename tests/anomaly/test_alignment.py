"""A reference is moved onto an image by a known transform, or not at all; differences have closed forms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from made_boards import break_trace, photograph, template

from goldfold.anomaly import alignment
from goldfold.anomaly.alignment import difference, largest_of_cells, lay_over

BOARD = template(0, 192)


@pytest.mark.parametrize(
    ("shift", "turn", "motion"),
    [((3.4, -2.2), 0, "translation"), ((-7, 5), 0, "translation"), ((4, 4), 1.5, "euclidean"), ((4, 4), 1.5, "affine")],
)
def test_shifted_and_turned_boards_are_laid_over_each_other(shift, turn, motion):
    image = photograph(BOARD, shift, seed=1, turn=turn)
    laid = lay_over(image, BOARD, motion, largest_shift=0.1)
    assert laid.aligned
    assert difference(image, laid.pixels).max() < 20 < difference(image, BOARD).max()


def test_the_transform_is_the_one_that_the_image_was_made_with_also_at_full_size():
    large = cv2.resize(BOARD, (1500, 1100), interpolation=cv2.INTER_CUBIC)
    image = cv2.warpAffine(
        large, np.float64([[1, 0, 31.3], [0, 1, -17.7]]), (1500, 1100), borderMode=cv2.BORDER_REFLECT
    )
    found = alignment._transform(image, large, "translation", 0.05)
    np.testing.assert_allclose(found, [[1, 0, -31.3], [0, 1, 17.7]], atol=0.3)


@pytest.mark.parametrize("motion", ["translation", "euclidean", "affine"])
def test_what_cannot_be_aligned_stays_where_it_is(motion):
    lit = photograph(BOARD, (0, 0), seed=1)
    flat = np.full_like(BOARD, 90)
    pairs = [(photograph(BOARD, (25, 0), seed=1), BOARD), (lit, template(1, 192)), (flat, BOARD), (BOARD, flat)]
    for image, reference in [*pairs, (BOARD[:1, :1], BOARD[:1, :1]), (BOARD[:2], BOARD[:2])]:
        laid = lay_over(image, reference, motion, largest_shift=0.05)
        assert not laid.aligned or image.shape[0] < 9
        if not laid.aligned:
            np.testing.assert_array_equal(laid.pixels, lay_over(image, reference, "none", 0.05).pixels)


def test_beyond_the_reference_the_image_itself_stands():
    image = photograph(BOARD, (10, 0), seed=1)
    laid = lay_over(image, BOARD, "translation", largest_shift=0.1)
    np.testing.assert_array_equal(laid.pixels[:, :9], image[:, :9])
    assert (laid.pixels[:, 12:] != image[:, 12:]).any()


def test_a_difference_is_that_to_the_nearest_value_around():
    image = np.full((20, 20, 3), 100, np.uint8)
    changed = image.copy()
    changed[5:15, 5:15, 1] = 160  # one channel
    for pair in ((image, changed), (changed, image)):
        apart = difference(*pair)
        assert apart[8:12, 8:12] == pytest.approx(60, abs=0.5)
        assert apart[:2].max() < 0.02
    shifted = np.roll(changed, 1, axis=1)
    assert difference(changed, shifted).max() < 1, "edges that are a pixel off do not count"


def test_a_missing_trace_and_an_added_one_count_alike():
    added = break_trace(BOARD, (90, 90))
    assert difference(added, BOARD).max() == difference(BOARD, added).max() > 50


@pytest.mark.parametrize(("shape", "cells"), [((17, 30), (5, 7)), ((8, 8), (8, 8)), ((6, 4), (12, 9))])
def test_cells_hold_the_largest_value_of_their_pixels(shape, cells):
    values = np.random.default_rng(0).random(shape)
    found = largest_of_cells(values, cells)
    assert found.shape == cells
    rows, columns = ([n * at // k for at in range(k + 1)] for n, k in zip(shape, cells, strict=True))
    for y in range(cells[0]):
        for x in range(cells[1]):
            down, across = (
                slice(rows[y], max(rows[y] + 1, rows[y + 1])),
                slice(columns[x], max(columns[x] + 1, columns[x + 1])),
            )
            assert found[y, x] == values[down, across].max()
