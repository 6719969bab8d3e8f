"""Images of a run are decoded once, equal to the bit, and a file that changed is decoded again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from error_codes import raises_code

from goldfold.images import reading, resized_images


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    resized_images.forget()
    yield
    resized_images.forget()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three images, one larger, one smaller and one as large as the size they are read at."""
    found = []
    for number, side in enumerate((20, 6, 9)):
        pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), np.uint8)
        found.append(tmp_path / f"größe{number}.png")
        found[-1].write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return found


@pytest.mark.parametrize("gray", [False, True])
def test_kept_images_are_those_that_are_decoded(paths: list[Path], tmp_path: Path, gray: bool) -> None:
    decoded = reading.load_resized(paths, (9, 12), gray)
    resized_images.keep(tmp_path / "cache")
    first, again = (reading.load_resized(paths, (9, 12), gray) for _ in range(2))
    turned = reading.load_resized(paths[::-1], (9, 12), gray)
    kept = resized_images.kept()
    assert kept
    assert len(kept.places) == 3
    for found in (first, again, turned[::-1]):
        np.testing.assert_array_equal(found, decoded)
    assert not list((tmp_path / "cache").iterdir())  # the file has no name
    os.pwrite(kept.file.fileno(), bytes(kept.end), 0)
    assert not reading.load_resized(paths, (9, 12), gray).any(), "they are read from the file"


def test_sizes_and_changed_files_are_told_apart(paths: list[Path], tmp_path: Path) -> None:
    resized_images.keep(tmp_path)
    small = reading.load_resized(paths, 4)
    assert reading.load_resized(paths, 5).shape == (3, 5, 5, 3)
    paths[0].write_bytes(paths[1].read_bytes())
    np.testing.assert_array_equal(reading.load_resized(paths, 4)[0], small[1])
    paths[0].unlink()
    with raises_code("unreadable_image"):
        reading.load_resized(paths, 4)


def test_a_file_without_room_keeps_what_fits(paths: list[Path], tmp_path: Path) -> None:
    decoded = reading.load_resized(paths, 8)
    resized_images.keep(tmp_path)
    kept = resized_images.kept()
    assert kept
    kept.room = 2 * decoded[0].nbytes
    for _ in range(2):
        np.testing.assert_array_equal(reading.load_resized(paths, 8), decoded)
    assert len(kept.places) == 2


def test_a_forked_process_reads_and_does_not_write(paths: list[Path], tmp_path: Path) -> None:
    resized_images.keep(tmp_path)
    decoded = reading.load_resized(paths, 8)
    kept = resized_images.kept()
    assert kept
    kept.owner += 1  # as it is after a fork
    np.testing.assert_array_equal(reading.load_resized(paths, 8), decoded)
    reading.load_resized(paths, 7)
    assert len(kept.places) == 3
