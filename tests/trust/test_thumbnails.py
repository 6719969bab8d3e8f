"""Thumbnails of images: read once by content, a sample of many, none kept of private images, broken files left out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from goldfold.images.reading import content_hashes
from goldfold.trust.thumbnails import SIDE, thumbnails


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Nine images of one gray level each, and one file that is no image."""
    paths = [tmp_path / f"{at}.png" for at in range(10)]
    for at, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((40, 60), 20 * at, np.uint8))
    paths[9].write_bytes(b"no image")
    return paths


def test_each_image_is_read_once(files: list[Path], tmp_path: Path) -> None:
    contents, kept = content_hashes(files), tmp_path / "kept.npz"
    images, positions = thumbnails(files, contents, kept, most=10, most_read=10)
    assert images.shape == (9, SIDE, SIDE)
    assert positions.tolist() == list(range(9))
    assert images[:, 0, 0].tolist() == [20 * at for at in range(9)]
    for path in files:
        path.unlink()
    again, same = thumbnails(files, contents, kept, most=10, most_read=10)
    assert (again == images).all()
    assert (same == positions).all()
    assert len(thumbnails(files, contents, None, most=10, most_read=10)[0]) == 0, "private ones are not kept"
    kept.write_bytes(b"damaged")
    assert len(thumbnails(files, contents, kept, most=10, most_read=10)[0]) == 0


def test_of_more_images_the_same_sample_is_read_until_all_are_kept(files: list[Path], tmp_path: Path) -> None:
    contents, kept = content_hashes(files[:9]), tmp_path / "kept.npz"
    first = thumbnails(files[:9], contents, kept, most=8, most_read=3)[1].tolist()
    again = thumbnails(files[:9], contents, kept, most=8, most_read=3)[1].tolist()
    assert len(first) == 3
    assert again == first
    whole = thumbnails(files[:9], contents, kept, most=8, most_read=9)[1].tolist()
    assert len(whole) == 8
    assert thumbnails(files[:9], contents, kept, most=8, most_read=3)[1].tolist() == whole
