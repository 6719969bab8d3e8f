"""Boxes in each layout against a decoder of the test, and faults."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_shapes import TRUE

from goldfold.competition import Submission
from goldfold.submission import boxes, writing
from goldfold.submission.boxes import BoxFormat

HEIGHT, WIDTH = TRUE[0].shape
FORMATS = [BoxFormat(*each) for each in product(("xyxy", "xywh", "cxcywh"), (False, True), (False, True))]


def pixels_of(format: BoxFormat, text: str) -> list[set[tuple[int, int]]]:
    """The pixels whose centers lie in each box, one by one."""
    words, found = list(map(float, text.split(format.separator))), []
    for at in range(0, len(words), 5 if format.confidence else 4):
        a, b, c, d = words[at + format.confidence :][:4]
        if format.normalized:
            a, b, c, d = a * WIDTH, b * HEIGHT, c * WIDTH, d * HEIGHT
        left, top = (a - c / 2, b - d / 2) if format.layout == "cxcywh" else (a, b)
        right, bottom = (c, d) if format.layout == "xyxy" else (left + c, top + d)
        inside = product(range(HEIGHT), range(WIDTH))
        found.append({(y, x) for y, x in inside if left < x + 0.5 < right and top < y + 0.5 < bottom})
    return found


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_boxes_of_objects_survive_the_round_trip(format: BoxFormat) -> None:
    found, sure = boxes.of_objects(TRUE[0]), np.array([0.25, 0.5])
    text = format.encode(found, HEIGHT, WIDTH, sure if format.confidence else None)
    for label, pixels in enumerate(pixels_of(format, text), 1):
        rows, columns = np.nonzero(TRUE[0] == label)
        corners = product(range(rows.min(), rows.max() + 1), range(columns.min(), columns.max() + 1))
        assert pixels == set(corners)
    again, confidences = format.decode(text, HEIGHT, WIDTH)
    np.testing.assert_allclose(again, found, atol=1e-6)
    np.testing.assert_allclose(confidences, sure if format.confidence else 1)
    nothing = BoxFormat(format.layout, format.normalized, format.confidence, none="none")
    assert nothing.encode(found[:0], HEIGHT, WIDTH, sure[:0] if format.confidence else None) == "none"
    assert len(nothing.decode("none", HEIGHT, WIDTH)[0]) == 0


def test_boxes_of_another_format_are_refused() -> None:
    test = pd.DataFrame({"id": ["a", "b"]})
    good = pd.DataFrame({"id": ["a", "b"], "boxes": ["0 0 50 40", "1 2 3 4"]})
    rules = Submission(write=lambda rows, _: rows, checks={"boxes": BoxFormat().check(lambda test: {"a": (40, 50)})})
    with raises_code("submission_value_invalid", "unknown", "1 of 2 rows"):
        writing.check(good, good, test, rules)
    check = BoxFormat().check(lambda test: {"a": (40, 50), "b": (40, 50)})
    rules = Submission(write=lambda rows, _: rows, checks={"boxes": check})
    writing.check(good, good, test, rules)
    for text, fault in (
        ("30 30 20 35", "has no area"),
        ("30 30 51 35", "lies outside"),
        ("-1 0 20 35", "lies outside"),
        ("1 2 3", "4 finite numbers"),
        ("1 2 3 nan", "4 finite numbers"),
        ("1,2,3,4", "with ' ' between"),
    ):
        with raises_code("submission_value_invalid", fault, "1 of 2 rows, first in line 3"):
            writing.check(good.assign(boxes=["0 0 50 40", text]), good, test, rules)
    with raises_code("boxes_invalid", "confidences in"):
        BoxFormat(confidence=True).decode("1.5 0 0 1 1", 40, 50)
    with raises_code("boxes_invalid", "must be given"):
        BoxFormat(confidence=True).encode(np.zeros((0, 4)), 40, 50)
    with raises_code("boxes_invalid", "clip"):
        BoxFormat().encode(np.array([[0, 0, 51, 4]]), 40, 50)
