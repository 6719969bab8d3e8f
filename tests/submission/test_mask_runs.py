"""Dialects of run lengths: against a decoder that paints pixel by pixel, and refusals that name the other dialect."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_shapes import discs

from goldfold.competition import Submission
from goldfold.submission import writing
from goldfold.submission.mask_runs import Dialect, RunLengths

DIALECTS = [Dialect(*each) for each in product(("column", "row"), (0, 1), ("", "-1"))]
HEIGHT, WIDTH = 30, 47
SIZES = {f"i{at}": (HEIGHT, WIDTH) for at in range(6)}
TEST = pd.DataFrame({"id": list(SIZES)})
MASKS = [discs((HEIGHT, WIDTH), (9 + at, 12 + 3 * at, 8), (22, 30 - at, 5)) for at in range(6)]


def painted(text: str, dialect: Dialect) -> np.ndarray:
    """The mask of a text, one pixel after the other."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    words = [] if text == dialect.none else list(map(int, text.split()))
    for start, length in zip(words[::2], words[1::2], strict=True):
        for pixel in range(start - dialect.first, start - dialect.first + length):
            column, row = divmod(pixel, HEIGHT) if dialect.order == "column" else divmod(pixel, WIDTH)[::-1]
            mask[row, column] = True
    return mask


def rules(dialect: Dialect, **options) -> Submission:
    check = RunLengths(lambda test: {id_: SIZES[id_] for id_ in test["id"]}, dialect, **options)
    return Submission(write=lambda rows, _: rows, checks={"runs": check}, many_per_id=True, may_be_empty=("runs",))


def frame_of(dialect: Dialect, masks=MASKS, ids=tuple(SIZES)) -> pd.DataFrame:
    return pd.DataFrame({"id": ids, "runs": [dialect.encode(each > 0) for each in masks]})


def blank(text: str = "1 1") -> pd.DataFrame:
    return pd.DataFrame({"id": list(SIZES), "runs": text})


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_masks_and_objects_survive_the_round_trip(dialect: Dialect) -> None:
    for objects in (MASKS[0], np.zeros((HEIGHT, WIDTH), int), np.ones((HEIGHT, WIDTH), int)):
        text = dialect.encode(objects > 0)
        np.testing.assert_array_equal(painted(text, dialect), objects > 0)
        np.testing.assert_array_equal(dialect.decode(text, HEIGHT, WIDTH), objects > 0)
    each = dialect.encode_instances(MASKS[1])
    np.testing.assert_array_equal(sum(at * painted(text, dialect) for at, text in enumerate(each, 1)), MASKS[1])
    assert dialect.encode_instances(np.zeros((2, 3), int)) == [dialect.none]
    good = frame_of(dialect, [*MASKS[:5], MASKS[5] * 0])
    writing.check(good, blank(dialect.none), TEST, rules(dialect))
    sample = frame_of(dialect)
    writing.check(good, sample, TEST, rules(dialect))


@pytest.mark.parametrize("first", [0, 1])
def test_runs_outside_of_the_image_are_refused_at_both_ends(first: int) -> None:
    dialect, pixels = Dialect(first=first), HEIGHT * WIDTH
    for text in (f"{first} {pixels}", f"{first} 1 {pixels - 1 + first} 1"):
        writing.check(blank(text), blank("3 1"), TEST, rules(dialect))
    for text, fault in (
        (f"{first} {pixels + 1}", "passes the end"),
        (f"{pixels + first} 1", "passes the end"),
        (f"{first - 1} 1", f"before pixel {first}" if first else "whole numbers|before pixel 0"),
        (f"{first} 0", "no pixel"),
        (f"{first} 5 {first + 4} 2", "previous run"),
        (f"{first} 5 9", "pairs"),
    ):
        spoilt = blank("4 1")
        spoilt.loc[5, "runs"] = text
        with raises_code("submission_value_invalid", fault, "1 of 6 rows, first in line 7", "id i5"):
            writing.check(spoilt, blank("3 1"), TEST, rules(dialect))


def test_rows_of_an_image_share_no_pixel_unless_the_host_allows_it() -> None:
    doubled = pd.concat([blank("5 9"), blank("13 2")[:1]])
    with raises_code("submission_value_invalid", "share pixel 13", "2 of 7 rows"):
        writing.check(doubled, blank(), TEST, rules(Dialect()))
    writing.check(doubled, blank(), TEST, rules(Dialect(), overlap=True))
    with raises_code("submission_value_invalid", "passes the end", "1 of 7 rows"):
        writing.check(pd.concat([blank("5 9"), blank("1410 2")[:1]]), blank(), TEST, rules(Dialect(), overlap=True))


def test_the_text_of_an_empty_mask_is_that_of_the_dialect() -> None:
    writing.check(blank("-1"), blank("-1"), TEST, rules(Dialect(none="-1")))
    with raises_code("submission_value_invalid", "pairs"):
        writing.check(blank("-1"), blank("-1"), TEST, rules(Dialect()))


def test_rows_of_each_image_and_class_are_checked_as_pairs() -> None:
    keys = [(id_, kind) for id_ in SIZES for kind in ("car", "road")]
    good = pd.DataFrame(keys, columns=["id", "class"]).assign(runs="4 3")
    own = RunLengths(lambda test: SIZES, Dialect(), overlap=True)
    pairs = Submission(write=lambda rows, _: rows, checks={"runs": own}, keys=("id", "class"), may_be_empty=("runs",))
    sample = good.assign(runs="1 1")
    writing.check(good, sample, TEST, pairs)
    for wrong, code, fact in (
        (good[1:], "submission_ids_absent", "'i0', 'car'"),
        (good.replace({"class": {"car": "cat"}}), "submission_ids_absent", "'i0', 'car'"),
        (pd.concat([good, good[:1]]), "submission_ids_repeated", "'i0', 'car'"),
        (pd.concat([good, good[:1].assign(**{"class": "cat"})]), "submission_ids_unknown", "'i0', 'cat'"),
    ):
        with raises_code(code, fact):
            writing.check(wrong, sample, TEST, pairs)


def test_another_first_pixel_is_named() -> None:
    whole = [np.ones((HEIGHT, WIDTH), int), *MASKS[1:]]
    for declared, seen in ((Dialect(first=1), "starts at pixel 0"), (Dialect(first=0), "the last from 1")):
        other = Dialect(first=1 - declared.first)
        with raises_code("submission_value_invalid", "the sample submission shows another dialect", seen):
            writing.check(frame_of(declared), frame_of(other, whole), TEST, rules(declared))
        with raises_code("submission_value_invalid", seen, f"look counted from {other.first}"):
            writing.check(frame_of(other, whole), blank("3 1"), TEST, rules(declared))


@pytest.mark.parametrize("order", ["column", "row"])
def test_another_order_of_pixels_is_named(order: str) -> None:
    declared, other = Dialect(order), Dialect("row" if order == "column" else "column")
    with raises_code(
        "submission_value_invalid", "the sample submission shows another dialect", f"in {other.order}-major"
    ):
        writing.check(frame_of(declared), frame_of(other), TEST, rules(declared))
    with raises_code("submission_value_invalid", f"read in {other.order}-major order"):
        writing.check(frame_of(other), blank("3 1"), TEST, rules(declared))


@pytest.mark.parametrize("order", ["column", "row"])
def test_masks_that_are_not_compact_are_not_taken_for_another_order(order: str) -> None:
    rows, columns = np.indices((HEIGHT, WIDTH))
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
    for mask in (noise, rows % 4 < 2, columns % 4 < 2, (rows + columns) % 6 < 2, rows % 7 == 0):
        writing.check(frame_of(Dialect(order), [mask] * 6), blank("3 1"), TEST, rules(Dialect(order)))
