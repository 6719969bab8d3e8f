"""COCO's compressed run lengths: against pycocotools' strings, a slow decoder, and faults."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_shapes import TRUE

from goldfold.competition import Submission
from goldfold.submission import coco_rle, writing

# pycocotools 2.0.11: mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
KNOWN = [
    (TRUE[0] > 0, r"\51T16K4M2O0O2O000O20N10001N101N3L5Jh66SI4M2N2N2O0O2O000000000001N101N2N2N3La5"),
    (TRUE[1] > 0, "0=k0O1000000O100O1O1O1O1N2LP70QI6L2N2N2O000O20N10001N2N2N4Ja:0`E4M2O0O20N101N3LPO"),
    (np.zeros((3, 4), bool), "<"),
    (np.ones((300, 400), bool), "0PVe3"),
]


def slow_counts(text: str) -> list[int]:
    """`rleFrString` of maskApi.c, line by line."""
    counts, at = [], 0
    while at < len(text):
        number, groups, more = 0, 0, True
        while more:
            group = ord(text[at]) - 48
            number |= (group & 0x1F) << (5 * groups)
            more = bool(group & 0x20)
            at, groups = at + 1, groups + 1
            if not more and group & 0x10:
                number |= -1 << (5 * groups)
        if len(counts) > 2:
            number += counts[-2]
        counts.append(number)
    return counts


@pytest.mark.parametrize(("mask", "text"), KNOWN)
def test_strings_are_those_of_pycocotools(mask: np.ndarray, text: str) -> None:
    assert coco_rle.encode(mask) == text
    np.testing.assert_array_equal(coco_rle.decode(text, *mask.shape), mask)


@pytest.mark.parametrize("seed", range(5))
def test_random_masks_survive_a_slow_decoder(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 40), rng.integers(1, 40))) < rng.random()
    text = coco_rle.encode(mask)
    flat = np.repeat(np.arange(len(slow_counts(text))) % 2, slow_counts(text))
    np.testing.assert_array_equal(flat.reshape(mask.shape, order="F"), mask)
    np.testing.assert_array_equal(coco_rle.decode(text, *mask.shape), mask)


SIZES = {f"i{at}": mask.shape for at, (mask, _) in enumerate(KNOWN)}
TEST = pd.DataFrame({"id": list(SIZES)})
GOOD = pd.DataFrame({"id": list(SIZES), "runs": [text for _, text in KNOWN]})
RULES = Submission(
    write=lambda rows, _: rows,
    checks={"runs": coco_rle.run_lengths(lambda test: SIZES)},
    many_per_id=True,
    may_be_empty=("runs",),
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0PVe4", "cover 152,768 pixels"),
        ("1 5", "beyond '0' to 'o'"),
        ("0PV", "end in the middle"),
        ("0O0PVe3", "negative"),
        ("p", "beyond"),
    ],
)
def test_faults_are_named_with_their_row(text: str, fault: str) -> None:
    writing.check(GOOD, GOOD, TEST, RULES)
    writing.check(GOOD.assign(runs=["", *GOOD["runs"][1:]]), GOOD, TEST, RULES)
    with raises_code("submission_value_invalid", fault, "1 of 4 rows, first in line 5"):
        writing.check(GOOD.assign(runs=[*GOOD["runs"][:3], text]), GOOD, TEST, RULES)
    with raises_code("coco_rle_invalid", fault):
        coco_rle.decode(text, 300, 400)


def test_masks_of_another_kind_are_refused() -> None:
    with raises_code("mask_invalid", "float64"):
        coco_rle.encode(np.zeros((2, 2)))
    with raises_code("coco_rle_invalid", "are empty"):
        coco_rle.decode("", 2, 2)


def test_dense_masks_are_decoded_together_as_a_slow_decoder_does_one_by_one() -> None:
    rng = np.random.default_rng(0)
    texts = [coco_rle.encode(rng.random((rng.integers(1, 90), 70)) < rng.random()) for _ in range(60)]
    counts, owner = coco_rle._counts(texts)
    for at, text in enumerate(texts):
        assert counts[owner == at].tolist() == slow_counts(text)
