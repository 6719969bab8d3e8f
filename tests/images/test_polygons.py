"""Polygons by pixel centers, and COCO's polygons and run lengths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from error_codes import raises_code

from goldfold.images import polygons


@pytest.mark.parametrize("shift", [0, 0.25, 0.49, 0.51])
def test_a_pixel_is_inside_if_its_center_is(shift: float) -> None:
    left, top = 2 + shift, 1 + shift
    found = polygons.fill([[left, top, left + 3, top, left + 3, top + 2, left, top + 2]], 6, 8)
    start = 1 if shift > 0.5 else 0
    expected = np.zeros((6, 8), bool)
    expected[1 + start : 3 + start, 2 + start : 5 + start] = True
    assert np.array_equal(found, expected)


def test_areas_of_polygons_are_those_of_geometry() -> None:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    disc = np.column_stack([60.3 + 40 * np.cos(angles), 50.7 + 40 * np.sin(angles)]).ravel()
    assert polygons.fill([disc], 110, 120).sum() == pytest.approx(np.pi * 40**2, rel=0.003)
    assert polygons.fill([disc, disc + 1000], 110, 120).sum() == polygons.fill([disc], 110, 120).sum()


@pytest.mark.parametrize(
    "wrong", [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [[1, 2], [3, 4], [5, 6]], [0, 0, 1, 0, 1, np.nan]]
)
def test_polygons_of_too_few_numbers_are_refused(wrong: list) -> None:
    with raises_code("polygon_invalid", "x0, y0"):
        polygons.fill([wrong], 4, 4)


def packed(counts: list[int]) -> str:
    """Compress run lengths as rleToString of pycocotools' maskApi.c."""
    text = ""
    for place, count in enumerate(counts):
        value, more = count - (counts[place - 2] if place > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr((bits | (32 if more else 0)) + 48)
    return text


def written(folder: Path, **changes: object) -> Path:
    """Two images, two classes out of order, a polygon of two parts, run lengths of both kinds, a crowd."""
    square = [[1, 1, 3, 1, 3, 3, 1, 3], [5, 0, 6, 0, 6, 1, 5, 1]]
    runs = {"size": [4, 6], "counts": [8, 2, 14]}
    shorter = {"size": [4, 6], "counts": packed([8, 2, 14])}
    objects = [(1, 7, square), (1, 3, runs), (2, 3, shorter), (1, 3, square)]
    found = {
        "images": [{"id": i, "file_name": f"{n}.jpg", "height": 4, "width": 6} for i, n in ((1, "一"), (2, "b"))],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"image_id": image, "category_id": kind, "segmentation": drawn, "iscrowd": int(number == 3)}
            for number, (image, kind, drawn) in enumerate(objects)
        ],
    }
    (folder / "coco.json").write_text(json.dumps({**found, **changes}), encoding="utf-8")
    return folder / "coco.json"


def test_coco_gives_objects_and_classes(tmp_path: Path) -> None:
    coco = polygons.read_coco(written(tmp_path))
    assert coco.classes == ("dog", "cat")
    objects = np.zeros((4, 6), int)
    objects[1:3, 1:3] = 1
    objects[0, 5] = 1
    objects[0:2, 2] = 2  # pixels 8 and 9, column by column
    assert np.array_equal(coco.objects("一.jpg"), objects)
    assert np.array_equal(coco.class_map("一.jpg"), np.array([0, 2, 1])[objects])
    both = coco.class_masks("一.jpg")
    assert both.shape == (2, 4, 6)
    assert both[:, 1, 2].tolist() == [1, 1]
    assert np.array_equal(coco.class_map("b.jpg"), objects == 2)


@pytest.mark.parametrize("counts", [[5, 2, 3, 40, 1, 900, 33, 16], [0, 24], [100000, 1, 99999]])
def test_compressed_run_lengths_are_those_of_the_writer(counts: list[int]) -> None:
    assert polygons._numbers(packed(counts)) == counts


def test_broken_coco_says_what_is_missing(tmp_path: Path) -> None:
    with raises_code("coco_invalid", "'id'"):
        polygons.read_coco(written(tmp_path, categories=[{"name": "cat"}]))
    wrong = {"image_id": 1, "category_id": 3, "segmentation": {"size": [4, 6], "counts": [8, 2]}}
    with raises_code("coco_invalid", "24 pixels", "got 10"):
        polygons.read_coco(written(tmp_path, annotations=[wrong])).objects("一.jpg")
