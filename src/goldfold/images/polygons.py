"""Masks from polygons and from COCO's JSON.

Coordinates are continuous, x to the right and y down, with the corner of the upper left pixel at (0, 0) and its center
at (0.5, 0.5), as in COCO. A pixel is inside if its center is. Tools that number pixel centers by whole numbers are half
a pixel off: add 0.5 to their coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json

BITS = 5  # of a character of compressed run lengths that carry the number


def fill(polygons: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """Draw the union of polygons, each x0, y0, x1, y1, ... with three points or more: bool (height, width).

    Raises:
        GoldfoldError: `polygon_invalid`.

    >>> fill([[1, 0, 3, 0, 3, 2, 1, 2]], 3, 4).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    from skimage import draw

    mask = np.zeros((height, width), bool)
    for each in polygons:
        points = np.asarray(each, np.float64)
        if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            raise GoldfoldError(
                "polygon_invalid",
                f"a polygon needs three or more points as x0, y0, x1, y1, ..., got {points.size} numbers: correct it",
            )
        mask[draw.polygon(points[1::2] - 0.5, points[::2] - 0.5, mask.shape)] = True
    return mask


@dataclass(frozen=True)
class CocoMasks:
    """Masks of the images of one COCO file; crowds (`iscrowd`: 1) are left out.

    classes: names of the categories in the order of their ids. sizes: file name of an image -> (height, width).
    annotations: file name -> (index of the class, segmentation) of its objects, in the order of the file.
    """

    classes: tuple[str, ...]
    sizes: Mapping[str, tuple[int, int]]
    annotations: Mapping[str, Sequence[tuple[int, Any]]]

    def objects(self, name: str) -> np.ndarray:
        """Objects 1, 2, ... of an image, int32 (h, w), 0 = background; later ones cover earlier ones."""
        merged = np.zeros(self.sizes[name], np.int32)
        for number, (_, mask) in enumerate(self._masks(name), 1):
            merged[mask] = number
        return merged

    def class_map(self, name: str) -> np.ndarray:
        """Class of each pixel of an image, int32 (h, w): index in `classes` plus 1, 0 = background."""
        merged = np.zeros(self.sizes[name], np.int32)
        for index, mask in self._masks(name):
            merged[mask] = index + 1
        return merged

    def class_masks(self, name: str) -> np.ndarray:
        """The pixels of each class of an image, uint8 (classes, h, w) of 0 and 1; classes may overlap."""
        stacked = np.zeros((len(self.classes), *self.sizes[name]), np.uint8)
        for index, mask in self._masks(name):
            stacked[index, mask] = 1
        return stacked

    def _masks(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        height, width = self.sizes[name]
        for index, segmentation in self.annotations[name]:
            yield index, _mask(segmentation, height, width)


def read_coco(path: str | Path) -> CocoMasks:
    """Read images, categories and annotations of COCO's JSON.

    Raises:
        GoldfoldError: `coco_invalid`, a part is missing; those of `read_json`.
    """
    found = read_json(Path(path))
    try:
        categories = sorted(found["categories"], key=lambda each: each["id"])
        position = {each["id"]: index for index, each in enumerate(categories)}
        names = {each["id"]: each["file_name"] for each in found["images"]}
        sizes = {each["file_name"]: (int(each["height"]), int(each["width"])) for each in found["images"]}
        annotations: dict[str, list] = {name: [] for name in sizes}
        for each in found["annotations"]:
            if not each.get("iscrowd"):
                annotations[names[each["image_id"]]].append((position[each["category_id"]], each["segmentation"]))
        return CocoMasks(tuple(each["name"] for each in categories), sizes, annotations)
    except (KeyError, TypeError, AttributeError) as error:
        raise GoldfoldError(
            "coco_invalid",
            f"{path} lacks {error} or has it in another form than COCO's images, categories and annotations: export it "
            "again",
        ) from error


def _mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """A polygon list or run lengths as bool (height, width)."""
    if isinstance(segmentation, list):
        return fill(segmentation, height, width)
    counts = segmentation["counts"]
    runs = np.array(_numbers(counts) if isinstance(counts, str) else counts, np.int64)
    if runs.sum() != height * width or (runs < 0).any():
        raise GoldfoldError(
            "coco_invalid",
            f"run lengths must add up to the {height * width:,} pixels of their image, got {runs.sum():,}: export them "
            "again",
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape((height, width), order="F")


def _numbers(text: str) -> list[int]:
    """Decompress COCO's run lengths: five bits a character, the lowest first, the sixth says that more follow.

    From the fourth run on, the difference to the run two before it is written (pycocotools, maskApi.c, rleFrString).
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - 48
        value |= (bits & 31) << shift
        shift += BITS
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift  # negative
        numbers.append(value + numbers[-2] if len(numbers) > 2 else value)
        value = shift = 0
    return numbers
