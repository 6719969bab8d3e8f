"""PNG masks in a zip archive, read back with Pillow, and each fault of an archive."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from error_codes import raises_code
from made_shapes import TRUE
from PIL import Image

from goldfold.submission import png_masks

SIZES = {f"i{at}": each.shape for at, each in enumerate(TRUE)}
VALUES = (0, 1, 2, 3)


def masks() -> list[tuple[str, np.ndarray]]:
    return list(zip(SIZES, TRUE, strict=True))


def png(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def test_masks_survive_and_equal_masks_give_equal_archives(tmp_path: Path) -> None:
    path = tmp_path / "submission.zip"
    png_masks.write(path, masks())
    with zipfile.ZipFile(path) as archive:
        for id_, mask in masks():
            np.testing.assert_array_equal(np.asarray(Image.open(archive.open(f"{id_}.png"))), mask)
    png_masks.check(path, SIZES, VALUES)
    before = path.read_bytes()
    png_masks.write(path, masks())
    assert path.read_bytes() == before
    png_masks.write(path, [(id_, mask > 0) for id_, mask in masks()])
    png_masks.check(path, SIZES, (0, 255))
    png_masks.write(path, [(id_, mask * 1000) for id_, mask in masks()])
    png_masks.check(path, SIZES, (0, 1000, 2000, 3000))


@pytest.mark.parametrize(
    ("changed", "code", "fact"),
    [
        ({"i1.png": None}, "png_absent", "1 of 4, first i1.png"),
        ({"i9.png": png(TRUE[0].astype(np.uint8))}, "png_unknown", "i9.png"),
        ({"i1.png": b"nothing"}, "png_unreadable", "i1.png"),
        ({"i1.png": png(np.zeros((40, 50, 3), np.uint8))}, "png_unreadable", "one channel"),
        ({"i1.png": png(np.zeros((50, 40), np.uint8))}, "png_size_differs", "50 x 40 pixels as its image, not 40 x 50"),
        ({"i1.png": png(np.full((40, 50), 255, np.uint8))}, "png_value_unknown", "found 255"),
    ],
)
def test_faults_of_an_archive_are_named(tmp_path: Path, changed: dict, code: str, fact: str) -> None:
    path = tmp_path / "submission.zip"
    files = {f"{id_}.png": png(mask.astype(np.uint8)) for id_, mask in masks()} | changed
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    with raises_code(code, fact):
        png_masks.check(path, SIZES, VALUES)


def test_archives_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK")
    for name in ("bad.zip", "absent.zip"):
        with raises_code("png_archive_unreadable", name):
            png_masks.check(tmp_path / name, SIZES, VALUES)
    with raises_code("png_repeated", "i0.png"):
        png_masks.write(tmp_path / "a.zip", masks()[:1] * 2)
    with raises_code("mask_invalid", "float64"):
        png_masks.write(tmp_path / "a.zip", [("a", np.zeros((2, 2)))])
