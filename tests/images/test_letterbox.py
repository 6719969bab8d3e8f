"""Letterboxed images keep their aspect ratio, lie in the center, and are found again."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from goldfold.images import letterbox
from goldfold.images.letterbox import Window


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((50, 200), 64, Window(24, 0, 16, 64)),
        ((200, 50), 64, Window(0, 24, 64, 16)),
        ((180, 240), (192, 256), Window(0, 0, 192, 256)),
        ((1, 4000), 64, Window(31, 0, 1, 64)),
    ],
)
def test_an_image_is_as_large_as_fits(shape: tuple[int, int], size: int, expected: Window) -> None:
    assert letterbox.window(shape, size) == expected


def test_the_image_lies_in_its_window(tmp_path: Path) -> None:
    path = tmp_path / "宽.png"
    cv2.imencode(".png", np.full((20, 80, 3), 200, np.uint8))[1].tofile(path)
    (found,) = letterbox.load([path], 64)
    inside = np.zeros((64, 64), bool)
    inside[letterbox.window((20, 80), 64).slices] = True
    assert (found[inside] == 200).all()
    assert (found[~inside] == letterbox.GRAY).all()
