"""Records of predictions: fields in, fields out, and the same values through the engine's checks and means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.data import fields
from goldfold.errors import GoldfoldError
from goldfold.training import predictor

SCORE, MAP = np.arange(3, dtype=np.float32), np.arange(24, dtype=np.float16).reshape(3, 2, 4)


def test_fields_come_back_as_they_were(tmp_path):
    together = fields.records(score=SCORE, map=MAP)
    assert together.shape == (3,)
    np.save(tmp_path / "together.npy", together)
    read = np.load(tmp_path / "together.npy", allow_pickle=False)
    for name, values in (("score", SCORE), ("map", MAP)):
        found = fields.field(read, name)
        assert np.array_equal(found, values)
        assert found.dtype == values.dtype
    assert [part.shape for part in fields.parts(read)] == [(3,), (3, 2, 4)]


def test_plain_predictions_are_every_field():
    assert fields.field(SCORE, "score") is SCORE
    assert fields.parts(SCORE)[0] is SCORE


def test_an_unknown_field_is_told():
    with raises_code("unknown_field", "'mask'.*map"):
        fields.field(fields.records(score=SCORE, map=MAP), "mask")


def test_the_mean_of_fits_is_that_of_each_field():
    fits = np.stack([fields.records(score=SCORE + k, map=MAP * k) for k in range(3)])
    together = fields.mean(fits)
    assert np.array_equal(together["score"], SCORE + 1)
    assert np.array_equal(together["map"], MAP)


def test_fits_agree_on_what_cannot_be_averaged_by_majority_and_the_first_of_equals():
    names = np.array([["地毯", "screw", "screw"], ["牙刷", "screw", "地毯"], ["牙刷", "地毯", "牙刷"]])
    together = fields.mean(np.stack([fields.records(score=SCORE, routed=fit) for fit in names]))
    assert together["routed"].tolist() == ["牙刷", "screw", "screw"]


def test_a_value_that_is_not_finite_is_found_in_any_field():
    rows = pd.DataFrame({"id": ["甲", "乙", "丙"]})
    broken = MAP.copy()
    broken[1, 0, 2] = np.inf
    predictor._check(fields.records(score=SCORE, map=MAP, label=np.array(["a", "b", "c"])), rows)
    predictor._check(np.array(["a", "b", "c"]), rows)
    with pytest.raises(GoldfoldError, match="the prediction for id '乙' is NaN or infinite"):
        predictor._check(fields.records(score=SCORE, map=broken), rows)
