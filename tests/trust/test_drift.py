"""Adversarial validation: planted differences are found, random divisions are not, and groups stay together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from planted_tables import Case, clean
from scipy import stats
from sklearn.metrics import roc_auc_score

from goldfold.errors import GoldfoldError
from goldfold.trust.drift import classifier, features, image_statistics, measure, verdict
from goldfold.trust.drift.classifier import Separation
from goldfold.trust.drift.columns import DriftingColumn
from goldfold.trust.drift.features import Features
from goldfold.trust.drift.verdict import Comparison


@pytest.fixture(autouse=True)
def few_permutations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "slow" not in request.keywords:
        monkeypatch.setattr(classifier, "PERMUTATIONS", 5)  # of 19: a test of its own measures the rate of alarms


def declared(group: str | None = None) -> Any:
    return SimpleNamespace(targets=("y",), group=group, neighbors=None)


def compared(case: Case) -> tuple[Comparison, np.ndarray]:
    """The whole comparison of a case's tables, folds included."""
    competition = declared(case.group)
    rows = measure.sides(competition, case.train, case.test)
    read, _ = features.of_tables(competition, case.train, case.test)
    return measure.measure(read, rows, case.folds, "the columns")


def numbers(values: np.ndarray) -> Features:
    return Features(values, tuple(f"x{at}" for at in range(values.shape[1])), np.zeros(values.shape[1], bool))


def out_of_fold(values: Features, is_test: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> float:
    read = classifier.readable(values)
    return classifier.auroc(classifier.classify(read, is_test, groups, seed), is_test)


# -- planted differences and their silent twins


def test_a_shifted_column_is_found_and_named() -> None:
    case = clean(rows=200)
    found, scores = compared(replace(case, test=case.test.assign(x3=case.test["x3"] + 1.5)))
    (finding,) = verdict.findings([found])
    assert (finding.code, finding.level, finding.where) == ("train_and_test_differ", "warning", "test")
    assert found.columns[0].name == "x3"
    assert found.columns[0].importance > 0.1 > found.columns[1].importance
    assert found.columns[0].p_value < 1e-3 < found.columns[1].p_value
    low, high = found.separation.interval
    assert 0.5 < low < found.separation.auroc < high <= 1
    assert found.folds_auroc == pytest.approx(0.5, abs=0.12)
    assert all(word in finding.message for word in (f"{found.separation.auroc:.3f}", f"[{low:.3f}", "'x3'"))
    assert "Drop 'x3'" in verdict.next_step([found])
    likeness = measure.likeness(scores, measure.sides(declared(), case.train, case.test), range(200), range(66))
    shifted = case.train["x3"].to_numpy()[likeness[likeness["table"] == "train"]["id"].head(10).astype(int)]
    assert shifted.mean() > case.train["x3"].mean() + 1, "the most test-like train rows"
    assert likeness["weight"].mean() == pytest.approx(1)


def test_a_random_division_is_silent() -> None:
    found, _ = compared(clean(1, rows=200))
    assert verdict.findings([found]) == []
    assert found.separation.interval[0] < 0.5 < found.separation.interval[1]
    assert found.separation.p_value > 0.05
    assert "cannot be told" in verdict.next_step([found])


def test_random_divisions_are_told_at_chance() -> None:
    draw, is_test = np.random.default_rng(0), np.arange(300) >= 200
    scores = [out_of_fold(numbers(draw.normal(size=(300, 5))), is_test, seed=seed) for seed in range(6)]
    assert np.mean(scores) == pytest.approx(0.5, abs=0.04)


@pytest.mark.slow
def test_p_values_of_random_divisions_are_spread_evenly() -> None:
    draw, is_test, found = np.random.default_rng(0), np.arange(150) >= 100, []
    for _ in range(60):
        read = classifier.readable(numbers(draw.normal(size=(150, 4))))
        score = classifier.auroc(classifier.classify(read, is_test, None), is_test)
        found.append(classifier.permutation_p_value(read, score, is_test, None))
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert stats.binomtest(sum(value < 0.05 for value in found), 60, 0.05, "greater").pvalue > 0.01


def test_another_camera_and_a_wider_spread_are_told() -> None:
    draw, is_test = np.random.default_rng(0), np.arange(300) >= 200
    values = draw.normal(size=(300, 3))
    values[is_test, 1] *= 4
    wider = numbers(values)
    assert out_of_fold(wider, is_test) > 0.7
    rows = measure.Sides(np.arange(200), np.arange(100), None, exchangeable=True)
    listed = measure._columns(wider, rows, classifier.classify(classifier.readable(wider), is_test, None))
    assert listed[0].name == "x1", "the order of the values alone does not tell them"
    assert listed[0].p_value < 1e-6
    embedded = replace(numbers(np.hstack([draw.normal(size=(300, 40)) + 0.4 * is_test[:, None]])), linear=True)
    assert out_of_fold(embedded, is_test) > 0.8


def test_rows_of_a_group_are_no_evidence() -> None:
    """Groups drawn at random: recognized by their rows where they are divided, at chance where they are kept whole."""
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 8)
    values = numbers(np.repeat(draw.normal(size=(40, 4)), 8, axis=0) + 0.1 * draw.normal(size=(320, 4)))
    is_test = np.isin(groups, draw.choice(40, 12, replace=False))
    assert out_of_fold(values, is_test) > 0.9
    assert out_of_fold(values, is_test, groups) == pytest.approx(0.5, abs=0.25)
    read = classifier.readable(values)
    whole = classifier.separation(read, classifier.classify(read, is_test, groups), is_test, groups)
    assert whole.p_value > 0.05
    low, high = whole.interval
    assert high - low > 0.2, "40 groups, not 320 rows"


def test_names_of_rows_as_categories_are_not_memorized() -> None:
    draw = np.random.default_rng(0)
    codes = draw.permutation(300).astype(float)
    named = Features(np.column_stack([codes % 90, draw.normal(size=300)]), ("name", "x"), np.array([True, False]))
    assert out_of_fold(named, np.arange(300) >= 200) == pytest.approx(0.5, abs=0.12)


# -- groups that the test table lacks, samples, few rows


def test_test_rows_without_groups_are_compared_with_the_folds() -> None:
    train = pd.DataFrame({"id": range(60), "block": np.repeat(np.arange(12), 5), "y": 0})
    test = pd.DataFrame({"id": range(60, 90)})
    rows = measure.sides(declared("block"), train, test)
    assert not rows.exchangeable
    assert len(set(rows.groups[60:].tolist())) == 30
    found = Comparison(by="x", separation=Separation(0.8, (0.7, 0.9), None), folds_auroc=0.82)
    (finding,) = verdict.findings([found])
    assert finding.level == "note"
    assert "Keep the folds" in verdict.next_step([found])
    (finding,) = verdict.findings([replace(found, folds_auroc=0.6)])
    assert finding.level == "warning"
    assert "likeness.csv" in finding.message
    assert verdict.findings([replace(found, separation=Separation(0.58, None, None))]) == []


def test_large_tables_are_sampled_and_few_rows_are_refused() -> None:
    table = pd.DataFrame({"id": range(20_000)})
    rows = measure.sides(declared(), table, table.head(10))
    assert (len(rows.train_rows), len(rows.test_rows)) == (measure.MOST_ROWS, 10)
    assert len(np.unique(rows.train_rows)) == measure.MOST_ROWS
    draw = np.random.default_rng(0)
    few = classifier.readable(numbers(draw.normal(size=(110, 2))))
    ten = classifier.classify(few, np.arange(110) >= 100, None)
    assert len(ten.folds) == 5
    for four in (None, np.arange(110) // 8 * 8):
        with pytest.raises(GoldfoldError) as refused:
            classifier.classify(few, np.arange(110) >= 106, four)
        assert refused.value.code == "too_few_rows_to_compare"


def test_weak_evidence_is_told_as_such() -> None:
    weak = Comparison(by="x", separation=Separation(0.56, (0.51, 0.61), 0.02))
    assert verdict.findings([weak]) == []
    assert "weak" in verdict.next_step([weak])
    column = DriftingColumn("year", 0.9, 1e-9, 0.3)
    strong = Comparison(by="x", separation=Separation(0.9, (0.88, 0.92), 1e-9), columns=(column,), folds_auroc=0.5)
    assert "Drop 'year'" in verdict.next_step([weak, strong])


# -- features


def test_columns_become_numbers_categories_and_statistics_of_texts() -> None:
    draw = np.random.default_rng(0)
    names = [f"Person {at}, {'A' * (at % 3)}" for at in range(60)]
    table = pd.DataFrame(
        {
            "id": range(60),
            "row": np.arange(60) * 10,
            "gap": np.where(np.arange(60) % 4 == 0, np.nan, draw.normal(size=60)),
            "odd": np.where(np.arange(60) == 7, np.inf, draw.normal(size=60)),
            "flat": 1,
            "city": np.where(np.arange(60) % 3 == 0, "Rome", "Bern"),
            "name": names,
            "y": 0,
        }
    )
    found, remarks = features.of_tables(declared(), table[:40], table[40:].drop(columns="y"))
    assert {"gap", "odd", "city", "name: characters", "name: capitals"} <= set(found.names)
    assert not {"row", "flat", "y", "id", "name"} & set(found.names)
    at = {name: found.values[:, place] for place, name in enumerate(found.names)}
    assert np.isnan(at["gap"]).sum() == 15
    assert np.isfinite(at["odd"]).all()
    assert found.levels["city"][:2] == ("Bern", "Rome")
    assert at["city"].tolist() == np.where(np.arange(60) % 3 == 0, 1, 0).tolist()
    assert at["name: characters"].tolist() == [len(name) for name in names]
    assert any("'row', which counts the rows" in each for each in remarks)
    assert any("'odd' (1 row)" in each for each in remarks)
    assert any("'flat'" in each for each in remarks)


def test_areas_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    scores, label = draw.integers(0, 9, 80).astype(float), draw.random(80) < 0.4
    assert classifier.area(scores, label) == pytest.approx(roc_auc_score(label, scores))


def test_statistics_of_images_are_those_of_their_pixels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    image[..., 2] = 200  # red, as OpenCV writes
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (tmp_path / "b.png").write_bytes(b"no image")
    found = image_statistics.statistics([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "cache", lambda *_: None)
    told = dict(zip(image_statistics.NAMES, found[0], strict=True))
    assert (told["height"], told["width"], told["file bytes"]) == (30, 40, (tmp_path / "a.png").stat().st_size)
    assert told["mean"] == pytest.approx(image.mean())
    assert told["red - green"] == pytest.approx(200 - image[..., 1].mean())
    assert np.isnan(found[1]).all()
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    again = image_statistics.statistics([tmp_path / "c.png"], tmp_path / "cache", lambda *_: None)
    assert (again[0] == found[0]).all()
