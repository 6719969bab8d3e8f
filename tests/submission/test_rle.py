"""Run lengths against a pixel-by-pixel reading of Kaggle's definition."""

from __future__ import annotations

import numpy as np
import pytest
from error_codes import raises_code

from goldfold.errors import GoldfoldError
from goldfold.submission import rle
from goldfold.submission.rle import decode, decode_instances, encode, encode_instances, instance_runs, invalid_images

SHAPES = [(1, 1), (1, 7), (7, 1), (5, 8), (8, 5), (33, 17)]


def pixels_of(text: str) -> set[int]:
    """The pixel numbers that a text lists, one by one."""
    numbers = [int(word) for word in text.split()]
    return {
        pixel
        for start, length in zip(numbers[::2], numbers[1::2], strict=True)
        for pixel in range(start, start + length)
    }


def pixels_in(mask: np.ndarray) -> set[int]:
    """The numbers of a mask's pixels: (1, 1) is 1, (2, 1) is 2, row and column counted from 1."""
    height, width = mask.shape
    return {1 + row + column * height for row in range(height) for column in range(width) if mask[row, column]}


def test_kaggles_documented_example():
    # "'1 3 10 5' implies pixels 1,2,3,10,11,12,13,14 are to be included in the mask."
    mask = decode("1 3 10 5", 4, 5)
    assert pixels_in(mask) == {1, 2, 3, 10, 11, 12, 13, 14}
    assert encode(mask) == "1 3 10 5"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_masks_survive_the_round_trip_and_name_the_right_pixels(shape, density, dtype):
    mask = (np.random.default_rng(7).random(shape) < density).astype(dtype) * dtype(255)
    text = encode(mask)
    assert pixels_of(text) == pixels_in(mask)
    decoded = decode(text, *shape)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask.astype(bool))


def test_one_pixel_and_the_whole_image():
    corner = np.zeros((3, 4), bool)
    corner[2, 3] = True
    assert encode(corner) == "12 1"
    assert encode(np.ones((3, 4), bool)) == "1 12"
    assert decode("1 12", 3, 4).all()


@pytest.mark.parametrize("empty", ["", "  ", None, float("nan")])
def test_a_mask_without_pixels_is_empty_text(empty):
    assert not decode(empty, 3, 4).any()
    assert encode(np.zeros((3, 4), bool)) == ""


@pytest.mark.parametrize(
    ("text", "code", "fact"),
    [
        ("1 2 5", "rle_not_pairs", "3 numbers"),
        ("1 2.0", "rle_not_whole_numbers", "'2.0'"),
        ("1 x", "rle_not_whole_numbers", "'x'"),
        ("1 99999999999999999999", "rle_not_whole_numbers", "'99999999999999999999'"),
        ("0 2", "rle_run_invalid", r"run 1, '0 2', .*starts before pixel 1"),
        ("-3 2", "rle_run_invalid", r"run 1, '-3 2', .*starts before pixel 1"),
        ("1 2 5 0", "rle_run_invalid", r"run 2, '5 0', .*has no pixel"),
        ("1 2 5 -1", "rle_run_invalid", r"run 2, '5 -1', .*has no pixel"),
        ("1 3 3 2", "rle_run_invalid", r"run 2, '3 2', .*before the previous run ends"),
        ("7 2 1 2", "rle_run_invalid", r"run 2, '1 2', .*before the previous run ends"),
        ("1 2 12 2", "rle_run_invalid", r"run 2, '12 2', .*height 3 and width 4 \(12 pixels\) passes the end"),
        ("13 1", "rle_run_invalid", r"run 1, '13 1', .*passes the end"),
    ],
)
def test_faulty_run_lengths_raise_with_their_run(text, code, fact):
    with raises_code(code, fact):
        decode(text, 3, 4)


def test_runs_that_touch_are_no_overlap():
    np.testing.assert_array_equal(decode("1 2 3 2", 3, 4), decode("1 4", 3, 4))


@pytest.mark.parametrize("shape", SHAPES)
def test_instances_are_the_masks_of_each_label(shape):
    instances = np.random.default_rng(3).choice([0, 2, 5, 9], size=shape)
    labels = [label for label in np.unique(instances) if label]
    texts = encode_instances(instances)
    assert texts == [encode(instances == label) for label in labels]
    decoded = decode_instances(texts, *shape)
    assert decoded.dtype == np.int32
    for number, label in enumerate(labels, start=1):
        np.testing.assert_array_equal(decoded == number, instances == label)


def test_an_image_without_objects():
    assert encode_instances(np.zeros((3, 4), int)) == []
    assert not decode_instances([], 3, 4).any()
    assert not decode_instances([""], 3, 4).any()


def test_objects_that_share_a_pixel_are_refused():
    with raises_code("objects_overlap", "objects 1 and 3 .* pixel 6"):
        decode_instances(["1 6", "10 2", "6 1"], 3, 4)


@pytest.mark.parametrize("values", [np.zeros((2, 3, 1), bool), np.full((2, 3), 0.5)])
def test_what_is_no_mask_is_refused(values):
    with raises_code("mask_invalid", "threshold"):
        encode(values)


def test_labels_below_zero_are_refused():
    with raises_code("label_negative", "found -1"):
        encode_instances(np.array([[-1, 0, 2]]))


# --- many images at once -----------------------------------------------------------------------------------------

WORDS = ["", "1 2", "3 1", "12 1", "1 12", "12 2", "13 1", "5 0", "0 2", "-3 2", "1 2 3 2", "1 3 3 2", "7 2 1 2", "1"]
WORDS += [" 1 2 ", "1  2", "1\t2", "01 2", "1 02", "1 x", "1 2.0", "²", "1 2 5", "1 99999999999999999999", "  "]
WORDS += [
    "9223372036854775807 1",
    "1 9223372036854775807",
    "00000000000000000000001 2",
    "4 2 9 1",
    "2 2 6 1 8 3",
    "\u00a01 2",
]


def refused(texts: list[str]) -> bool:
    try:
        instance_runs(texts, 3, 4)
    except GoldfoldError:
        return True
    return False


@pytest.mark.parametrize("part", [1, 50, 1 << 20])
def test_many_images_are_judged_as_one_by_one(part, monkeypatch):
    """Every pair of texts as an image of two objects, and thousands of images drawn from them."""
    monkeypatch.setattr(rle, "_PART", part)
    draw = np.random.default_rng(0)
    groups = [[one, other] for one in WORDS for other in WORDS] + [[word] for word in WORDS]
    groups += [draw.choice(WORDS[1:5] + WORDS[-2:], draw.integers(1, 4)).tolist() for _ in range(2000)]
    groups = [groups[place] for place in draw.permutation(len(groups))]
    texts = [text for group in groups for text in group]
    images = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    found = invalid_images(texts, images, np.full(len(groups), 12))
    expected = [refused(group) for group in groups]
    assert 0 < sum(expected) < len(groups)
    np.testing.assert_array_equal(found, expected)


def test_images_without_texts_are_sound():
    np.testing.assert_array_equal(invalid_images([], np.empty(0, np.int64), np.array([12, 12])), [False, False])
    np.testing.assert_array_equal(invalid_images(["13 1"], np.array([1]), np.array([12, 12, 12])), [False, True, False])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_images_without_size_have_no_runs(dtype):
    for shape in ((0, 5), (5, 0), (0, 0)):
        assert encode(np.zeros(shape, dtype)) == ""
