"""Test-time views against torch and albumentations, their inverses, and crops against their pixels."""

from __future__ import annotations

from typing import get_args

import albumentations as A
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from goldfold.errors import GoldfoldError
from goldfold.images.views import VIEWS, FlipTurn, MapViewSet, ViewSet, make_views, undo_views

INVERTIBLE = get_args(MapViewSet)
SHAPES = [(2, 7, 7, 3), (1, 8, 8, 1), (3, 1, 1, 3)]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def as_set(images: list[torch.Tensor]) -> set[bytes]:
    return {image.contiguous().numpy().tobytes() for image in images}


def test_each_set_has_the_views_of_its_name():
    image = drawn(2, 7, 7, 3)
    assert torch.equal(make_views(image, "none")[0], image)
    by_hand = {
        "none": [image],
        "mirrored": [image, image.flip(2)],
        "flips": [image, image.flip(2), image.flip(1), image.flip(1, 2)],
        "turns": [side.rot90(quarters, (1, 2)) for side in (image, image.flip(2)) for quarters in range(4)],
    }
    for name, expected in by_hand.items():
        found = make_views(image, name)
        assert len(found) == len(expected) == len(as_set(expected))
        assert as_set(found) == as_set(expected)
    for found, expected in zip(make_views(image, "flips"), by_hand["flips"], strict=True):
        assert torch.equal(found, expected)  # in this order too, on which kept features and libraries rely


def test_turns_are_the_symmetries_of_albumentations():
    image = drawn(1, 9, 9, 3)
    group = [
        A.D4(p=1).apply(image[0].numpy(), group_element=each)
        for each in ("e", "r90", "r180", "r270", "v", "hvt", "h", "t")
    ]
    expected = {np.ascontiguousarray(each).tobytes() for each in group}
    assert as_set([view[0] for view in make_views(image, "turns")]) == expected


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", INVERTIBLE)
def test_views_of_maps_are_undone_exactly(name: str, shape: tuple[int, ...]):
    maps = torch.rand(shape[:3], generator=torch.Generator().manual_seed(1))
    seen = make_views(maps[..., None], name)
    for back in undo_views([view[..., 0] for view in seen], name):
        assert torch.equal(back, maps)


@pytest.mark.parametrize("view", VIEWS["turns"])
@pytest.mark.parametrize("shape", [(2, 5, 8), (1, 3, 4, 3), (2, 1, 6)])
def test_single_view_is_undone_if_sides_differ(view: FlipTurn, shape: tuple[int, ...]):
    values = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    seen = view.apply(values)
    assert seen.is_contiguous()
    assert seen.shape[1:3] == (shape[1:3][::-1] if view.quarter_turns % 2 else shape[1:3])
    assert torch.equal(view.undo(seen), values)
    assert torch.equal(view.apply(view.undo(values)), values)


def test_sets_without_quarter_turns_accept_any_shape():
    image = drawn(2, 5, 8, 3)
    for name in ("none", "mirrored", "flips", "crops"):
        assert {view.shape for view in make_views(image, name)} == {image.shape}
    with pytest.raises(GoldfoldError, match="5 x 8") as error:
        make_views(image, "turns")
    assert error.value.code == "views_need_square_images"


def test_crops_are_the_center_and_the_corners_resized():
    ramp = torch.arange(32).view(1, 32, 1, 1).expand(1, 32, 32, 1).clone()
    image = torch.cat([ramp, ramp.transpose(1, 2)], dim=3).to(torch.uint8) * 8  # row and column of each pixel
    places = {"center": (2, 2), "top left": (0, 0), "top right": (0, 4), "lower left": (4, 0), "lower right": (4, 4)}
    found = make_views(image, "crops")
    for crop, (top, left) in zip(found, places.values(), strict=True):
        window = image[:, top : top + 28, left : left + 28].permute(0, 3, 1, 2).float()
        expected = F.interpolate(window, (32, 32), mode="bilinear").permute(0, 2, 3, 1)
        assert crop.dtype == torch.uint8
        assert (crop.float() - expected).abs().max() <= 1  # gray levels


def test_every_set_name_has_views():
    assert tuple(VIEWS) == get_args(ViewSet)
