"""Importances of features over fits, in table, picture and section; and a choice that the scored fold made."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from goldfold.data import csv_tables
from goldfold.experiment.fits import Fit
from goldfold.report.tables import importances
from goldfold.trust import audits


def fit(fold: int, **found: dict[str, float]) -> Fit:
    known = {"scores": {}, "chance": {}, "epoch": None, "history": [], "facts": {}, "validation": np.empty(0)}
    return Fit(fold=fold, seed=0, test=np.empty(0), importances=found, **known)


FITS = [
    fit(0, gain={"ширина": 0.7, "NA": 0.3}, permutation={"ширина": 0.2, "NA": 0.0}),
    fit(1, gain={"ширина": 0.9, "NA": 0.1}, permutation={"ширина": 0.4, "NA": -0.1}),
]


def test_features_are_sorted_with_mean_and_spread_over_fits():
    found = importances.table(FITS)
    assert found["feature"].tolist() == ["ширина", "NA"]
    np.testing.assert_allclose(found["permutation"], [0.3, -0.05])
    np.testing.assert_allclose(found["gain_sd"], [0.2 / np.sqrt(2)] * 2)
    assert found["fits"].tolist() == [2, 2]
    assert not len(importances.table([fit(0)]))


@pytest.mark.parametrize("fits", [FITS, FITS[:1]])
def test_picture_and_section_show_them(fits, tmp_path):
    found = importances.table(fits)
    picture = cv2.imdecode(np.frombuffer(importances.picture(found), np.uint8), cv2.IMREAD_COLOR)
    assert picture.std() > 10
    assert importances.section(tmp_path) == ""
    (tmp_path / importances.TABLE).write_text(csv_tables.to_text(found), encoding="utf-8")
    section = importances.section(tmp_path)
    assert f"over {len(fits)} fits" in section
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    assert rows[2:] == ["ширина", "NA"]


def test_a_choice_of_the_scored_fold_says_by_how_much_it_flatters():
    common = {"what": "number of rounds", "instead": "stop_on: kept_back"}
    chosen = [
        {**common, "number": 9, "own": 4, "score": 0.2, "own_score": 0.3},
        {**common, "number": 5, "own": 5, "score": 0.4, "own_score": 0.4},
    ]
    (finding,) = audits.chosen_on_scored_fold(chosen, higher_is_better=False)
    assert (finding.code, finding.level) == ("selected_on_scored_fold", "note")
    for fact in ("9 instead of 4, 5 instead of 5", "flatters it by 0.0500", "2 fits, sd 0.0707", "stop_on: kept_back"):
        assert fact in finding.message
    assert audits.chosen_on_scored_fold([{}, {}], higher_is_better=True) == []
