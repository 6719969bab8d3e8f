"""Maps joined on one grid, mirrored views, and what is made of distances, against slow re-expressions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from error_codes import raises_code
from scipy.ndimage import zoom

from goldfold.anomaly import patch_features
from goldfold.images.views import VIEWS, ViewSet, make_views


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_one_map_is_averaged_over_neighbors_that_are_zero_outside():
    found = patch_features.join_maps([drawn(2, 5, 4, 6)]).numpy()
    padded = np.pad(drawn(2, 5, 4, 6).numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for y, x in np.ndindex(4, 6):
        expected = padded[:, :, y : y + 3, x : x + 3].sum((2, 3)) / 9
        np.testing.assert_allclose(found[:, 6 * y + x], expected, atol=1e-6)


def test_coarse_maps_are_enlarged_to_the_finest():
    fine, coarse = drawn(1, 3, 8, 8), drawn(1, 2, 4, 4)
    found = patch_features.join_maps([coarse, fine])
    alone = patch_features.join_maps([coarse])[0].T.unflatten(1, (4, 4)).numpy()
    enlarged = np.stack([zoom(each, 2, order=1, grid_mode=True, mode="nearest") for each in alone])
    assert found.shape == (1, 64, 5)
    np.testing.assert_allclose(found[0, :, :2].T.unflatten(1, (8, 8)).numpy(), enlarged, atol=1e-6)
    torch.testing.assert_close(found[:, :, 2:], patch_features.join_maps([fine]))


def test_relative_patches_forget_what_all_of_an_image_share():
    units = drawn(2, 3, 7, 4)
    found = patch_features.subtract_image_mean(units + 5 * drawn(2, 3, 1, 4))
    torch.testing.assert_close(found, patch_features.subtract_image_mean(units))
    torch.testing.assert_close(found[1, 2, 3], units[1, 2, 3] - sum(units[1, 2]) / 7)


def test_blur_weighs_positions_by_a_gaussian_of_their_distance():
    point = torch.zeros(2, 31, 31)
    point[0, 15, 15] = 1
    found = patch_features.blur(point, 1.5)
    distances = (np.indices((31, 31)) - 15) ** 2
    expected = np.exp(-distances.sum(0) / (2 * 1.5**2))
    np.testing.assert_allclose(found[0].numpy(), expected / expected.sum(), atol=1e-4)
    assert not found[1].any()
    torch.testing.assert_close(patch_features.blur(drawn(1, 5, 5), 0), drawn(1, 5, 5))


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.1, 5), (1, 50)])
def test_the_top_is_at_least_one_patch(share: float, count: int):
    distances = drawn(3, 50)
    expected = [np.mean(sorted(row)[-count:]) for row in distances.tolist()]
    np.testing.assert_allclose(patch_features.top_mean(distances, share).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("views", ["none", "mirrored", "turns"])
def test_views_follow_each_other_in_a_tower(views: ViewSet):
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    tower = patch_features.PatchBackbone("efficientnet_lite0", False, (8, 16), views).eval()
    with torch.inference_mode():
        found = tower(pixels).unflatten(1, (len(VIEWS[views]), -1))
        for view, seen in zip(found.unbind(1), make_views(pixels, views), strict=True):
            expected = [each.movedim(1, 3).flatten(1) for each in tower.maps(seen)]
            torch.testing.assert_close(view, torch.cat(expected, 1))


def test_an_absent_stride_is_refused_with_those_that_exist():
    with raises_code("unknown_stride", "2, 4, 8, 16, 32, not 6"):
        patch_features.PatchBackbone("efficientnet_lite0", False, (6,))
