"""Tiles: they cover an image, blend without seams, and are let go of as soon as their rows are finished."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from goldfold.images import tiles


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def red(some: np.ndarray) -> np.ndarray:
    return some[..., 0].astype(np.float32)


def convolutions(*layers: nn.Module):
    torch.manual_seed(0)
    network = nn.Sequential(*layers).eval()

    def predict(some: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255)[:, 0].sigmoid().numpy()

    return predict


def whole(pixels, tile, overlap, predict, at_once=4) -> np.ndarray:
    return np.concatenate(list(tiles.row_blocks(pixels, tile, overlap, predict, at_once)), axis=-2)


@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("tile", [64, 96, 256])
def test_tiles_cover_a_side_on_the_grid_with_the_overlap(tile: int, overlap: float) -> None:
    for side in (tile - 1, tile, tile + 1, 2 * tile, 2 * tile + 33, 997, 1024):
        found = tiles.starts(side, tile, overlap)
        assert found[0] == 0
        assert all(start % tiles.GRID == 0 for start in found[:-1])
        if side > tile:
            assert found[-1] + tile == side
        for begin, following in pairwise(found):
            assert 0 < following - begin <= tile * (1 - overlap)
        weights = np.zeros(max(side, tile))
        for start, own in zip(found, tiles.windows(found, tile), strict=True):
            weights[start : start + tile] += own
        assert weights.min() > 0.4  # every pixel is seen by a tile that counts


def test_blended_values_that_agree_stay_as_they_are() -> None:
    pixels = image(300, 500)
    np.testing.assert_allclose(whole(pixels, (96, 128), 0.25, red), pixels[..., 0], rtol=1e-6)


def test_windows_are_smooth_and_leave_out_what_borders_see() -> None:
    before, after = tiles.windows([0, 192], 256)
    shared = slice(192, 256)
    np.testing.assert_allclose(before[shared] + after[:64], 1, atol=1e-6)
    assert after[:16].max() == 0  # a quarter of the overlap
    assert np.abs(np.diff(before)).max() < 0.05
    assert before[:192].min() == 1


def test_one_tile_is_the_prediction_itself() -> None:
    pixels, predict = image(96, 128), convolutions(nn.Conv2d(3, 1, 5, padding=2))
    assert np.array_equal(whole(pixels, (96, 128), 0.25, predict), predict(pixels[None])[0])


@pytest.mark.parametrize("size", [(320, 512), (300, 501)])
def test_a_network_whose_receptive_field_is_below_the_overlap_shows_no_seams(size: tuple[int, int]) -> None:
    pixels = image(*size)
    layers = [nn.Conv2d(3, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 1, 7, padding=3)]  # sees 6 pixels to each side
    predict = convolutions(*layers)
    assert np.abs(whole(pixels, 128, 0.25, predict) - predict(pixels[None])[0]).max() < 1e-6
    assert np.abs(whole(pixels, 128, 0, predict) - predict(pixels[None])[0]).max() > 1e-3


def test_a_network_that_halves_its_image_samples_the_same_pixels_in_tiles() -> None:
    pixels = image(256, 320)
    predict = convolutions(nn.Conv2d(3, 1, 2, stride=2), nn.AvgPool2d(4), nn.Upsample(scale_factor=8))
    np.testing.assert_allclose(whole(pixels, 96, 0.3, predict), predict(pixels[None])[0], atol=1e-6)


def test_a_smaller_image_is_continued_by_reflection() -> None:
    pixels = image(50, 200)
    seen = []
    found = whole(pixels, (64, 96), 0.25, lambda some: seen.extend(some) or red(some))
    np.testing.assert_allclose(found, pixels[..., 0], rtol=1e-6)
    assert np.array_equal(seen[0][50:], pixels[48:34:-1, :96])


def test_blocks_come_from_the_top_and_hold_finished_rows_of_all_maps(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", image(400, 300))
    pixels = np.load(tmp_path / "image.npy", mmap_mode="r")
    counts = []

    def predict(some: np.ndarray) -> np.ndarray:
        counts.append(len(some))
        return np.stack([red(some), some[..., 1].astype(np.float32)], axis=1)

    blocks = list(tiles.row_blocks(pixels, 128, 0.25, predict, 2))
    assert [block.shape for block in blocks] == [(2, 96, 300), (2, 96, 300), (2, 80, 300), (2, 128, 300)]
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), np.moveaxis(pixels[..., :2], 2, 0), rtol=1e-6)
    assert max(counts) == 2
    assert sum(counts) == 4 * 3
