"""Masks whose colors are classes, by a declared table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from error_codes import raises_code
from PIL import Image

from goldfold.images import color_masks
from goldfold.images.color_masks import Table

COLORS = ((0, 0, 0), (255, 0, 0), (0, 0, 255), (128, 64, 128))
TABLE = Table(COLORS, void=(255, 255, 255))
LABELS = np.repeat(np.array([[0, 1, 2, 3, 255]]), 3, axis=0)


def saved(path: Path, mode: str = "RGB", **options: object) -> Path:
    palette = np.array([*COLORS, *[(0, 0, 0)] * 251, (255, 255, 255)], np.uint8)
    image = Image.fromarray(palette[LABELS])
    if mode == "P":
        image = Image.fromarray(LABELS.astype(np.uint8), "P")
        image.putpalette(palette.ravel().tolist())
    (image if mode == "P" else image.convert(mode)).save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colors_give_indices(tmp_path: Path, mode: str) -> None:
    assert np.array_equal(color_masks.read(saved(tmp_path / "图.png", mode), TABLE), LABELS)


def test_masks_turn_with_their_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = tmp_path / "image.jpg"
    Image.new("RGB", (5, 3)).save(image, exif=exif)
    assert np.array_equal(color_masks.read(saved(tmp_path / "mask.png"), TABLE, image), np.rot90(LABELS, -1))
    Image.new("RGB", (7, 3)).save(image)
    with raises_code("mask_size_differs", "7 x 3", "5 x 3"):
        color_masks.read(saved(tmp_path / "mask.png"), TABLE, image)


def test_other_colors_are_named(tmp_path: Path) -> None:
    with raises_code("mask_color_unknown", "1 colors", "(255, 255, 255)", "3 pixels"):
        color_masks.read(saved(tmp_path / "mask.png"), Table(COLORS))
    with raises_code("mask_color_unknown", "without loss"):
        color_masks.read(saved(tmp_path / "mask.jpg"), TABLE)
