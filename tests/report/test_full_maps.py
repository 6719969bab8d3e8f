"""Regions, 16-bit values and overlays of anomaly maps, against scipy and planted pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from goldfold.report.anomaly import full_maps
from goldfold.report.epochs.atlas import OUTLINE
from goldfold.report.plotting import canvas


def decoded(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_blobs_are_those_of_scipy_with_diagonal_neighbors():
    values = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(60, 90)), 2).astype(np.float32)
    threshold = float(np.quantile(values, 0.8))
    labels, count = ndimage.label(values >= threshold, structure=np.ones((3, 3)))
    found = full_maps.blobs(values, threshold)
    assert len(found) == count > 5
    assert [each["peak"] for each in found] == sorted((each["peak"] for each in found), reverse=True)
    for each in found:
        assert values[each["peak_y"], each["peak_x"]] == each["peak"]
        number = labels[each["peak_y"], each["peak_x"]]
        down, across = ndimage.find_objects((labels == number).astype(int))[0]
        assert (each["x"], each["y"]) == (across.start, down.start)
        assert (each["width"], each["height"]) == (across.stop - across.start, down.stop - down.start)
        assert each["area"] == (labels == number).sum()
        assert each["peak"] == values[labels == number].max()


def test_a_map_below_the_threshold_has_no_blob_and_one_above_is_one():
    values = np.ones((4, 5), np.float32)
    assert full_maps.blobs(values, 1.5) == []
    (whole,) = full_maps.blobs(values, 1.0)
    assert (whole["x"], whole["y"], whole["width"], whole["height"], whole["area"]) == (0, 0, 5, 4, 20)


def test_sixteen_bits_give_the_values_back_within_a_step():
    values = np.random.default_rng(0).uniform(3, 7, (20, 30)).astype(np.float32)
    pixels = decoded(full_maps.sixteen_bit(values, (2.0, 8.0)))
    assert pixels.dtype == np.uint16
    np.testing.assert_allclose(2 + pixels / 65535 * 6, values, atol=6 / 65535)
    assert set(decoded(full_maps.sixteen_bit(np.array([[1.0, 9.0]]), (2.0, 8.0))).ravel()) == {0, 65535}
    assert decoded(full_maps.sixteen_bit(np.full((2, 2), 5.0), (5.0, 5.0))).max() == 0, "a constant map has no range"


def test_an_overlay_shows_cold_pixels_bare_and_outlines_threshold_and_truth():
    image = np.full((40, 60, 3), (10, 120, 60), np.uint8)
    values, truth = np.zeros((40, 60), np.float32), np.zeros((40, 60), bool)
    values[10:20, 10:20], truth[25:35, 40:50] = 1, True
    drawn = decoded(full_maps.overlay(image, values, (0, 1), 0.5, truth))[..., ::-1]
    assert drawn.shape == image.shape
    assert (drawn[0, 0] == image[0, 0]).all()
    assert (drawn[15, 15] != image[15, 15]).any()
    assert (drawn == 255).all(axis=2).sum() > 20
    assert (drawn == canvas.rgb(OUTLINE)).all(axis=2).sum() > 20


def test_a_twentieth_of_normal_images_reach_the_threshold():
    maps = np.random.default_rng(0).normal(size=(200, 6, 6))
    threshold = full_maps.threshold_of(maps, 0.05)
    assert (maps.max(axis=(1, 2)) >= threshold).sum() == 10


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["a", "A", "a"], ["a", "A-2", "a-3"]),
        (["a", "a", "a-2"], ["a", "a-2", "a-2-2"]),
        (["../x", ".", "板/1"], ["-x", "image", "板-1"]),
    ],
)
def test_names_of_files_are_safe_and_different(ids, names):
    assert full_maps.file_names(ids) == names
    long = full_maps.file_names(["x" * 500, "x" * 501])
    assert len(set(long)) == 2
    assert max(map(len, long)) < 100
