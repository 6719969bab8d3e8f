"""Views of images against torch and albumentations, what undoes them, and crops against their pixels."""

from __future__ import annotations

from typing import get_args

import albumentations as A
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from goldfold.errors import GoldfoldError
from goldfold.images import augmentation

UNDOABLE = get_args(augmentation.MapViews)
SHAPES = [(2, 7, 7, 3), (1, 8, 8, 1), (3, 1, 1, 3)]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def as_set(images: list[torch.Tensor]) -> set[bytes]:
    return {image.contiguous().numpy().tobytes() for image in images}


def test_views_are_the_images_that_their_names_say():
    image = drawn(2, 7, 7, 3)
    assert torch.equal(augmentation.views(image, "none")[0], image)
    by_hand = {
        "none": [image],
        "mirrored": [image, image.flip(2)],
        "flips": [image, image.flip(2), image.flip(1), image.flip(1, 2)],
        "turns": [side.rot90(quarters, (1, 2)) for side in (image, image.flip(2)) for quarters in range(4)],
    }
    for name, expected in by_hand.items():
        found = augmentation.views(image, name)
        assert len(found) == len(expected) == len(as_set(expected))
        assert as_set(found) == as_set(expected)
    for found, expected in zip(augmentation.views(image, "flips"), by_hand["flips"], strict=True):
        assert torch.equal(found, expected)  # in this order too, on which kept features and libraries rely


def test_turns_are_the_symmetries_that_albumentations_knows():
    image = drawn(1, 9, 9, 3)
    group = [
        A.D4(p=1).apply(image[0].numpy(), group_element=each)
        for each in ("e", "r90", "r180", "r270", "v", "hvt", "h", "t")
    ]
    expected = {np.ascontiguousarray(each).tobytes() for each in group}
    assert as_set([view[0] for view in augmentation.views(image, "turns")]) == expected


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNDOABLE)
def test_what_a_view_did_to_a_map_is_undone_exactly(name: str, shape: tuple[int, ...]):
    maps = torch.rand(shape[:3], generator=torch.Generator().manual_seed(1))
    seen = augmentation.views(maps[..., None], name)
    for back in augmentation.upright([view[..., 0] for view in seen], name):
        assert torch.equal(back, maps)


@pytest.mark.parametrize("view", augmentation.VIEWS["turns"])
@pytest.mark.parametrize("shape", [(2, 5, 8), (1, 3, 4, 3), (2, 1, 6)])
def test_a_single_view_is_undone_where_sides_differ(view: augmentation.Turn, shape: tuple[int, ...]):
    values = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    seen = view.of(values)
    assert seen.is_contiguous()
    assert seen.shape[1:3] == (shape[1:3][::-1] if view.quarters % 2 else shape[1:3])
    assert torch.equal(view.undone(seen), values)
    assert torch.equal(view.of(view.undone(values)), values)


def test_sets_without_quarter_turns_take_images_of_any_shape():
    image = drawn(2, 5, 8, 3)
    for name in ("none", "mirrored", "flips", "crops"):
        assert {view.shape for view in augmentation.views(image, name)} == {image.shape}
    with pytest.raises(GoldfoldError, match=r"turns needs square images.*5 x 8: choose flips"):
        augmentation.views(image, "turns")


def test_crops_are_the_centre_and_the_corners_enlarged():
    ramp = torch.arange(32).view(1, 32, 1, 1).expand(1, 32, 32, 1).clone()
    image = torch.cat([ramp, ramp.transpose(1, 2)], dim=3).to(torch.uint8) * 8  # row and column of each pixel
    places = {"centre": (2, 2), "top left": (0, 0), "top right": (0, 4), "lower left": (4, 0), "lower right": (4, 4)}
    found = augmentation.views(image, "crops")
    for crop, (top, left) in zip(found, places.values(), strict=True):
        window = image[:, top : top + 28, left : left + 28].permute(0, 3, 1, 2).float()
        expected = F.interpolate(window, (32, 32), mode="bilinear").permute(0, 2, 3, 1)
        assert crop.dtype == torch.uint8
        assert (crop.float() - expected).abs().max() <= 1  # grey levels


def test_every_set_has_a_name_and_a_place():
    assert tuple(augmentation.VIEWS) == get_args(augmentation.Views)
