"""Paired differences against SciPy and a hand-made correction; comparisons that would mislead are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from goldfold.errors import GoldfoldError
from goldfold.io.files import write_json
from goldfold.trust.comparisons import PARTS, comparable_metrics, difference
from goldfold.trust.run_comparison import on_folds, over_seeds
from goldfold.trust.unequal_runs import unequal_budget, unequal_inputs, unequal_protocols

OWN, OTHER = [0.91, 0.93, 0.90, 0.95, 0.92], [0.90, 0.93, 0.91, 0.92, 0.90]


def summary(values: list[float], higher_is_better: bool = True, protocol: str = "auroc, out of fold") -> dict:
    folds = {str(number): value for number, value in enumerate(values)}
    mean = float(np.mean(values))
    return {"folds": folds, "mean": mean, "higher_is_better": higher_is_better, "protocol": protocol}


def test_the_interval_is_the_paired_one_widened_for_shared_training_rows():
    found = difference(summary(OWN), summary(OTHER))
    paired = stats.ttest_rel(OWN, OTHER).confidence_interval()
    assert found.mean == pytest.approx(np.mean(OWN) - np.mean(OTHER))
    half = (paired.high - paired.low) / 2 * math.sqrt(1 + 5 / 4)  # 1/k becomes 1/k + 1/(k - 1)
    assert found.interval == pytest.approx((found.mean - half, found.mean + half))
    assert found.relative == pytest.approx(found.mean / np.mean(OTHER))


def test_better_follows_the_direction_of_the_metric():
    assert (difference(summary(OWN), summary(OTHER)).better, 5) == (3, 5)
    assert difference(summary(OWN, False), summary(OTHER, False)).better == 1


def test_one_fold_has_no_interval_and_a_reference_of_zero_no_ratio():
    found = difference(summary([0.5]), summary([0.0]))
    assert found.interval is None
    assert found.relative is None
    assert found.mean == 0.5


def test_other_folds_other_rankings_and_other_protocols_are_refused():
    alike = {"auroc": summary(OWN)}
    with pytest.raises(GoldfoldError) as error:
        comparable_metrics(["a", "b"], [alike, alike], ["id,fold\n1,0\n", "id,fold\n1,1\n"])
    assert error.value.code == "different_folds"
    assert "b and a" in str(error.value)
    assert "same seed" in str(error.value)
    with pytest.raises(GoldfoldError) as error:
        comparable_metrics(["a", "b"], [alike, {"auroc": summary(OWN, protocol="auroc, in fold")}], ["", ""])
    assert error.value.code == "different_protocols"
    assert "b and a" in str(error.value)
    assert "auroc" in str(error.value)
    with pytest.raises(GoldfoldError) as error:
        comparable_metrics(["a", "b"], [alike, {"f1": summary(OWN), **alike}], ["", ""])
    assert error.value.code == "different_metrics"
    assert "b is ranked by f1 and a by auroc" in str(error.value)
    last = {"auroc": summary(OTHER, protocol="auroc, out of fold, last epoch")}
    assert comparable_metrics(["a", "b"], [alike, last], ["", ""]) == ["auroc"]


def test_what_not_all_have_and_what_is_the_same_again_is_left_out():
    own = {"auroc": summary(OWN), "auroc of pixel": summary(OWN), "aupro": summary(OTHER), "f1": summary(OTHER)}
    other = {"auroc": summary(OTHER), "auroc of pixel": summary(OTHER), "f1": summary(OWN)}
    assert comparable_metrics(["a", "b"], [own, other], ["", ""]) == ["auroc", "f1"]
    assert (
        comparable_metrics(["a", "b"], [own, {**other, "auroc of pixel": summary(OWN)}], ["", ""])[1]
        == "auroc of pixel"
    )


def test_budgets_that_differ_by_more_than_a_twentieth_are_told():
    def spent(epochs: int) -> dict:
        return {"epochs": epochs, "steps": 10 * epochs, "samples": 160 * epochs}

    (finding,) = unequal_budget({"a": spent(20), "b": spent(30), "none": spent(0)})
    assert (finding.code, finding.level, finding.where) == ("unequal_budget", "error", "b")
    assert "30 epochs against 20" in finding.message
    recipes = {"a": "frozen_backbone", "b": "image_classifier"}
    (finding,) = unequal_budget({"a": spent(20), "b": spent(30)}, recipes)
    assert finding.level == "warning"  # methods as they are
    assert not unequal_budget({"none": spent(0), "a": spent(20), "b": spent(21)})


def test_runs_of_several_seeds_have_an_interval_over_them(tmp_path):
    """Of the seeds' means over folds; a run of one seed has none."""
    scores = {"one": {0: [0.6, 0.8]}, "three": {0: [0.6, 0.8], 3: [0.7, 0.8], 5: [0.5, 0.9]}}
    for run, by_seed in scores.items():
        for seed, values in by_seed.items():
            for fold, value in enumerate(values):
                fit = {"fold": fold, "seed": seed, "scores": {"auroc": value}}
                write_json(tmp_path / run / f"fold{fold}-seed{seed}" / "fit.json", fit)
    means = [0.7, 0.75, 0.7]
    low, high = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    found = over_seeds(tmp_path / "three", "auroc", (0, 1), {"0", "1"})
    assert (found["n"], found["mean"]) == (3, pytest.approx(np.mean(means)))
    assert found["interval_95"] == pytest.approx([low, high])
    assert over_seeds(tmp_path / "one", "auroc", (0, 1), {"0", "1"}) is None


def test_fewer_folds_are_compared_on_those_that_all_scored(tmp_path):
    all_folds, two = {"auroc": summary(OWN)}, {"auroc": summary(OTHER[:2])}
    with pytest.raises(GoldfoldError) as error:
        comparable_metrics(["a", "b"], [all_folds, two], ["", ""])
    assert error.value.code == "different_scored_folds"
    assert comparable_metrics(["a", "b"], [all_folds, two], ["", ""], may_differ=PARTS) == ["auroc"]
    with pytest.raises(GoldfoldError) as error:
        comparable_metrics(["a", "b"], [all_folds, {"auroc": {**summary(OWN), "folds": {"7": 0.5}}}], ["", ""], PARTS)
    assert error.value.code == "different_scored_folds"
    for fold, chance in enumerate([0.5, 0.6, 0.9, 0.9, 0.9]):
        write_json(tmp_path / f"fold{fold}-seed0" / "fit.json", {"fold": fold, "chance": {"auroc": chance}})
    own = {**summary(OWN), "bounds": (0, 1), "chance": 0.76, "pooled": 0.9}
    found = on_folds(tmp_path, "auroc", own, ["0", "1"])
    assert (found["n"], found["mean"], found["chance"]) == (2, pytest.approx(np.mean(OWN[:2])), pytest.approx(0.55))
    assert found["sd_ddof1"] == pytest.approx(np.std(OWN[:2], ddof=1))
    assert "pooled" not in found
    assert on_folds(tmp_path, "auroc", own, list("01234")) is own


def protocol(folds: int = 5, seeds: str = "1 seed a fold", end: str = ", last epoch") -> str:
    return f"auroc, out of fold, {folds} of 5 folds drawn with seed 0, {seeds}{end}"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (protocol(), []),
        (protocol(end=""), []),
        (protocol(folds=2), [("unequal_folds", "warning")]),
        (protocol(seeds="2 seeds a fold"), [("unequal_seeds", "note")]),
        (protocol(seeds="blend of 2 runs", end=""), []),
        (protocol(end=", epoch 3 by hand"), [("unequal_selection", "warning")]),
        (protocol(end=", best epoch by auroc on kept back rows"), [("unequal_selection", "note")]),
        (protocol(end=", best epoch on the scored fold"), [("unequal_selection", "error")]),
    ],
)
def test_unequal_folds_seeds_and_selection_are_findings(other, expected):
    scored = {"a": dict.fromkeys("01234", 0.5), "b": dict.fromkeys("01" if "2 of 5" in other else "01234", 0.5)}
    found = unequal_protocols({"a": protocol(), "b": other}, scored)
    assert [(each.code, each.level) for each in found] == expected
    metrics = [{"auroc": {"folds": scored[name], "protocol": told}} for name, told in (("a", protocol()), ("b", other))]
    assert comparable_metrics(["a", "b"], metrics, ["", ""], PARTS) == ["auroc"]
    if expected and "kept back" not in other:
        with pytest.raises(GoldfoldError):
            comparable_metrics(["a", "b"], metrics, ["", ""])


def test_runs_of_other_data_or_code_are_told():
    code = {"goldfold.nn.schedules": "a-0", "goldfold.recipes.tabular": "b-0"}
    recorded = {
        "digits/a-r1": {"data_hash": "1", "code": code},
        "digits/a-r2": {
            "data_hash": "1",
            "code": {"goldfold.nn.schedules": "a-0", "goldfold.recipes.segmenter": "c-0"},
        },
        "digits/a-r3": {"data_hash": "2", "code": {**code, "goldfold.nn.schedules": "d-0"}},
        "digits/old-r1": {"data_hash": "1"},  # recorded no modules
    }
    found = unequal_inputs(recorded)
    assert [(each.code, each.where) for each in found] == [
        ("unequal_data", "digits/a-r3"),
        ("unequal_code", "digits/a-r3"),
    ]
    assert "changed goldfold.nn.schedules" in found[1].message
