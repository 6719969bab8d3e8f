"""Boxes of objects as text: "x y x y x y x y ..." in the layouts that hosts ask for, and the check of such a column.

A box in pixels is (left, top, right, bottom), where right and bottom lie behind the last pixel: the whole image is
(0, 0, width, height).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.submission.checks import wrong_rows

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.submission.checks import Check

ROUNDING = 1e-3  # pixels that a box may lie outside of its image, after it was written with few digits


@dataclass(frozen=True)
class BoxFormat:
    """How a host writes boxes.

    layout: "xyxy" left, top, right, bottom; "xywh" left, top, width, height; "cxcywh" center, width, height.
    normalized: whether x is divided by the width of the image and y by its height. confidence: whether a number in
        [0, 1] stands before each box. separator: between numbers. none: the text of an image without objects.
    """

    layout: Literal["xyxy", "xywh", "cxcywh"] = "xyxy"
    normalized: bool = False
    confidence: bool = False
    separator: str = " "
    none: str = ""

    @property
    def numbers(self) -> int:
        """How many numbers an object has."""
        return 4 + self.confidence

    def encode(self, boxes: np.ndarray, height: int, width: int, confidences: np.ndarray | None = None) -> str:
        """Encode boxes (n, 4) in pixels, with confidences (n,) if the format has them.

        Raises:
            GoldfoldError: `boxes_invalid`, a box without area or outside of the image, or confidences that lack.

        >>> BoxFormat(layout="xywh").encode(np.array([[1, 2, 4, 8]]), 10, 10)
        '1 2 3 6'
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        if self.confidence != (confidences is not None):
            raise GoldfoldError(
                "boxes_invalid", f"confidences must {'' if self.confidence else 'not '}be given in this format of boxes"
            )
        if fault := _fault_of(boxes, height, width):
            raise GoldfoldError("boxes_invalid", f"boxes must lie inside their image: {fault}; clip them first")
        scale = np.array([width, height] * 2) if self.normalized else np.ones(4)
        values = _from_corners(boxes, self.layout) / scale
        if confidences is not None:
            values = np.column_stack([np.asarray(confidences, np.float64), values])
        return self.separator.join(f"{number:.10g}" for number in values.ravel()) or self.none

    def decode(self, text: str | float | None, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Decode a text to boxes (n, 4) in pixels and confidences (n,), which are 1 if the format has none.

        Raises:
            GoldfoldError: `boxes_invalid`, the numbers are no whole boxes, or a box lies outside of the image.
        """
        empty = text is None or text != text or str(text).strip() in ("", self.none)
        words = [] if empty else str(text).strip().split(self.separator)
        try:
            values = np.array([float(word) for word in words], np.float64)
        except ValueError:
            raise _invalid(f"must be numbers with {self.separator!r} between them", text) from None
        if len(values) % self.numbers or not np.isfinite(values).all():
            raise _invalid(f"must be {self.numbers} finite numbers for each object, found {len(values)}", text)
        values = values.reshape(-1, self.numbers)
        confidences = values[:, 0] if self.confidence else np.ones(len(values))
        if ((confidences < 0) | (confidences > 1)).any():
            raise _invalid("must have confidences in [0, 1]", text)
        scale = np.array([width, height] * 2) if self.normalized else np.ones(4)
        boxes = _to_corners(values[:, -4:] * scale, self.layout)
        if fault := _fault_of(boxes, height, width):
            raise _invalid(f"must be {self._told()} inside their image: {fault}", text)
        return boxes, confidences

    def check(self, size: Callable[[DataFrame], Mapping[Hashable, tuple[int, int]]]) -> Check:
        """Return a check for `Submission.checks`; size: test rows -> {id: (height, width)}, ids compared as text."""

        def check(values: Series, ids: Series, test: DataFrame) -> str | None:
            sizes = {str(id_): pixels for id_, pixels in size(test).items()}
            texts = values.astype(object).where(values.notna(), None).tolist()
            pairs = zip(ids.astype(str).tolist(), texts, strict=True)
            faults = [self._fault(text, sizes.get(id_)) for id_, text in pairs]
            wrong = np.array([fault is not None for fault in faults], bool)
            return f"{wrong_rows(wrong, ids)}: {faults[int(wrong.argmax())]}" if wrong.any() else None

        return check

    def _fault(self, text: str | float | None, size: tuple[int, int] | None) -> str | None:
        if size is None:
            return "the height and width of its image are unknown"
        try:
            self.decode(text, *size)
        except GoldfoldError as error:
            return error.message
        return None

    def _told(self) -> str:
        return f"{self.layout}{', normalized,' if self.normalized else ' in pixels'}"


def of_objects(objects: np.ndarray) -> np.ndarray:
    """The boxes (n, 4) in pixels of the objects of an (h, w) integer map, in the order of their labels."""
    from scipy import ndimage

    places = [place for place in ndimage.find_objects(objects) if place is not None]
    return np.array([(x.start, y.start, x.stop, y.stop) for y, x in places], np.float64).reshape(-1, 4)


def _from_corners(boxes: np.ndarray, layout: str) -> np.ndarray:
    low, high = boxes[:, :2], boxes[:, 2:]
    pairs = {"xyxy": (low, high), "xywh": (low, high - low), "cxcywh": ((low + high) / 2, high - low)}
    return np.concatenate(pairs[layout], axis=1)


def _to_corners(values: np.ndarray, layout: str) -> np.ndarray:
    one, other = values[:, :2], values[:, 2:]
    pairs = {"xyxy": (one, other), "xywh": (one, one + other), "cxcywh": (one - other / 2, one + other / 2)}
    return np.concatenate(pairs[layout], axis=1)


def _fault_of(boxes: np.ndarray, height: int, width: int) -> str:
    """Which box in pixels has no area or lies outside of its image; empty if none."""
    low, high = boxes[:, :2], boxes[:, 2:]
    outside = (low < -ROUNDING).any(axis=1) | (high > np.array([width, height]) + ROUNDING).any(axis=1)
    for wrong, told in (((high <= low).any(axis=1), "has no area"), (outside, "lies outside")):
        if wrong.any():
            at = int(wrong.argmax())
            corners = ", ".join(f"{number:g}" for number in boxes[at])
            return f"box {at + 1} with the corners ({corners}) {told}, the image has {width} x {height} pixels"
    return ""


def _invalid(rule: str, text: object) -> GoldfoldError:
    return GoldfoldError("boxes_invalid", f"boxes {rule}, in {str(text)[:40]!r}: correct how they are written")
