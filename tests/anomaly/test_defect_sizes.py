"""Spots of several sizes: as large as they say, with the contrast they say, and told apart from which size on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from goldfold.anomaly.defect_sizes import CONTRAST, SIZES, auroc_by_size, smallest_seen, spot, spotted


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [0, 100, 200, 255])
def test_a_spot_is_as_long_as_it_says_and_has_its_contrast(size: int, level: int) -> None:
    image = np.full((60, 90, 3), level, np.uint8)
    lengths = []
    for sample in range(12):
        changed = spot(image, size, sample).astype(int) - level
        inside = changed.any(axis=2)
        points = np.argwhere(inside).astype(np.float32)
        (_, sides, _) = cv2.minAreaRect(points)
        lengths.append(max(sides) + 1)
        assert CONTRAST[0] - 1 <= np.abs(changed[inside]).min() <= np.abs(changed).max() <= CONTRAST[1]
        assert (changed[inside] < 0).all() == (level >= 128)
        assert np.pi / 8 * size**2 * 0.7 - 2 <= inside.sum() <= np.pi / 4 * size**2 * 1.2 + 2
    assert np.mean(lengths) == pytest.approx(size, abs=max(1, 0.1 * size))


def test_spots_are_drawn_from_the_sample_and_fit_into_any_image() -> None:
    image = np.full((60, 90, 3), 100, np.uint8)
    assert np.array_equal(spot(image, 8, "a"), spot(image, 8, "a"))
    assert not np.array_equal(spot(image, 8, "a"), spot(image, 8, "b"))
    small = spot(np.full((10, 20, 1), 100, np.uint8), 32, "a")
    assert small.shape == (10, 20, 1)
    assert (small != 100).any()


def test_a_spot_has_its_size_in_the_file_before_it_is_resized(tmp_path: Path) -> None:
    cv2.imencode(".png", np.full((400, 400, 3), 200, np.uint8))[1].tofile(tmp_path / "砖.png")
    areas = [
        (np.abs(spotted(tmp_path / "砖.png", 32, side).astype(int) - 200) > 20).any(axis=2).sum() for side in (400, 100)
    ]
    assert areas[0] / areas[1] == pytest.approx(16, rel=0.25)


def test_sizes_are_seen_from_the_smallest_whose_larger_ones_are_seen() -> None:
    normal = np.arange(10.0)
    found = auroc_by_size(normal, {2: normal, 8: normal + 100, 4: np.array([7.5, 8.5])})
    assert found == pytest.approx({2: 0.5, 8: 1.0, 4: 0.85})
    assert smallest_seen(found) == 4
    assert smallest_seen({**found, 16: 0.69}) is None
    assert smallest_seen({2: 0.9, 4: 0.6, 8: 0.9}) == 8
