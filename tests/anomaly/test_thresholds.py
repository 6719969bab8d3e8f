"""Thresholds: rules against slow re-expressions and recorded figures, and what refuses to be a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from error_codes import raises_code
from sklearn.metrics import f1_score

from goldfold.anomaly.thresholds import (
    Threshold,
    best_f1,
    decide,
    decide_per_class,
    first_jump,
    fixed,
    per_class,
    validation_quantile,
)


def jump_by_hand(scores: np.ndarray, kappa: float, search_from: int) -> float:
    """The definition read aloud: s[1] is the lowest score, as the formula counts."""
    s = [-np.inf, *sorted(scores)]
    unit = sum(s[i + 1] - s[i] for i in range(1, 20)) / 19
    for i in range(max(1, search_from), len(s) - 1):
        if s[i + 1] - s[i] > kappa * unit:
            return s[i + 1]
    return np.inf


@pytest.mark.parametrize("search_from", [0, 1, 5, 20, 25])
@pytest.mark.parametrize("kappa", [2.0, 5.0])
def test_first_jump_is_its_definition(kappa: float, search_from: int) -> None:
    drawn = np.random.default_rng(0)
    jumps = 0
    for _ in range(60):
        scores = drawn.normal(size=drawn.integers(26, 60))
        threshold = first_jump(scores, kappa, search_from)
        assert threshold.value == pytest.approx(jump_by_hand(scores, kappa, search_from), rel=1e-12)
        jumps += np.isfinite(threshold.value)
    assert jumps > 0


def test_score_above_the_jump_is_anomalous_itself() -> None:
    scores = np.append(np.arange(25) * 0.01, 1.0)
    threshold = first_jump(scores[::-1])
    assert threshold.value == 1.0
    assert decide(scores, threshold).tolist() == [False] * 25 + [True]


def test_jump_right_above_the_lowest_twenty_counts() -> None:
    scores = np.append(np.arange(20) * 0.01, 1.0)
    assert first_jump(scores).value == 1.0


def test_nothing_jumps() -> None:
    threshold = first_jump(np.linspace(0, 1, 30))
    assert threshold.value == np.inf
    assert not decide(np.linspace(0, 9, 30), threshold).any()
    assert "no gap" in threshold.description


def test_equal_scores_do_not_jump_and_any_gap_above_them_does() -> None:
    assert first_jump(np.ones(30)).value == np.inf
    assert first_jump(np.append(np.ones(30), 1.001)).value == 1.001


def test_verdict_depends_on_the_companions() -> None:
    normals = 1 + np.arange(30) / 100
    assert not decide([1.30], first_jump(np.append(normals, 1.30)))
    assert decide([1.30], first_jump(np.append(normals[:-6], 1.30)))
    assert first_jump(normals).transductive


@pytest.mark.parametrize(("search_from", "draws", "images"), [(0, 0.67, 0.38), (20, 0.44, 0.03)])
def test_alarms_on_normal_images_are_as_measured(search_from: int, draws: float, images: float) -> None:
    drawn = np.random.default_rng(2)
    called = [decide(scores, first_jump(scores, 5, search_from)) for scores in drawn.normal(size=(500, 40))]
    assert np.mean([found.any() for found in called]) == pytest.approx(draws, abs=0.05)
    assert np.mean(called) == pytest.approx(images, abs=0.05 if search_from == 0 else 0.015)


def test_quantile_leaves_its_share_above() -> None:
    scores = np.random.default_rng(0).gamma(2, size=1000)
    threshold = validation_quantile(scores, 0.95)
    assert threshold.value == np.percentile(scores, 95)
    assert decide(scores, threshold).sum() == 50
    assert not threshold.transductive
    assert "0.95" in threshold.description
    assert "1000" in threshold.description


@pytest.mark.parametrize(("q", "needed"), [(0.5, 2), (0.9, 10), (0.95, 20), (0.99, 100)])
def test_quantile_needs_enough_scores(q: float, needed: int) -> None:
    validation_quantile(np.arange(needed), q)
    with raises_code("too_few_scores", f"at least {needed} scores, got {needed - 1}"):
        validation_quantile(np.arange(needed - 1), q)


@pytest.mark.parametrize("q", [0.0, 1.0, 95, -0.1, np.nan])
def test_quantile_outside_its_range(q: float) -> None:
    with raises_code("quantile_out_of_range", f"{q:g}"):
        validation_quantile(np.arange(100), q)


@pytest.mark.parametrize("ties", [False, True])
def test_best_f1_is_brute_force(ties: bool) -> None:
    drawn = np.random.default_rng(1)
    for _ in range(30):
        labels = np.append([0, 1], drawn.integers(0, 2, drawn.integers(2, 25)))
        scores = drawn.normal(size=len(labels)) + labels
        scores = scores.round() if ties else scores
        threshold = best_f1(scores, labels)
        all_f1 = {cut: f1_score(labels, scores >= cut) for cut in scores}
        best = max(all_f1.values())
        assert f1_score(labels, decide(scores, threshold)) == pytest.approx(best, abs=1e-12)
        assert threshold.value == max(cut for cut, value in all_f1.items() if value > best - 1e-12)
        assert f"{best:.4f}" in threshold.description


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_best_f1_needs_both_kinds(labels: list[int]) -> None:
    with raises_code("metric_one_class", f"{sum(labels)} anomalous of 3"):
        best_f1([1.0, 2.0, 3.0], labels)


def test_best_f1_refuses_labels_that_are_none() -> None:
    with raises_code("labels_not_binary", "[1 2]"):
        best_f1([1.0, 2.0], [1, 2])
    with raises_code("lengths_differ", "2 scores and 3 labels"):
        best_f1([1.0, 2.0], [1, 0, 1])


def test_fixed_is_inclusive() -> None:
    assert decide([0.4, 0.5, 0.6], fixed(0.5)).tolist() == [False, True, True]
    with raises_code("scores_not_finite", "inf"):
        fixed(np.inf)


def test_every_class_has_its_own() -> None:
    classes = np.array(["地毯"] * 25 + ["牙刷"] * 25)
    scores = np.append(np.arange(24) * 0.01, [1.0, *(7 + np.arange(24) * 0.1), 20.0])
    shuffled = np.random.default_rng(0).permutation(50)
    thresholds = per_class(first_jump, classes[shuffled], scores[shuffled])
    assert {name: found.value for name, found in thresholds.items()} == {"地毯": 1.0, "牙刷": 20.0}
    assert np.flatnonzero(decide_per_class(scores, classes, thresholds)).tolist() == [24, 49]


def test_labels_go_with_their_class() -> None:
    thresholds = per_class(best_f1, ["a", "b", "a", "b"], [1.0, 10.0, 2.0, 20.0], [0, 0, 1, 1])
    assert {name: found.value for name, found in thresholds.items()} == {"a": 2.0, "b": 20.0}


def test_class_without_enough_scores_is_named() -> None:
    with raises_code("too_few_scores", "'牙刷'", "at least 21 scores, got 3"):
        per_class(first_jump, ["地毯"] * 21 + ["牙刷"] * 3, np.arange(24))


def test_class_without_a_threshold_is_named() -> None:
    with raises_code("unknown_class", "did you mean 'zipper'"):
        decide_per_class([1.0], ["zip"], {"zipper": fixed(1)})


def test_image_without_a_class_is_refused() -> None:
    with raises_code("class_missing"):
        per_class(first_jump, ["a", None], [1.0, 2.0])
    with raises_code("lengths_differ", "(1,)", "(2,)"):
        per_class(first_jump, ["a"], [1.0, 2.0])


@pytest.mark.parametrize(
    "rule",
    [
        first_jump,
        lambda scores: validation_quantile(scores, 0.5),
        lambda scores: best_f1(scores, [0, 1] * (len(scores) // 2)),
        lambda scores: decide(scores, fixed(0)),
        lambda scores: decide_per_class(scores, ["a"] * len(scores), {"a": fixed(0)}),
    ],
)
@pytest.mark.parametrize(
    ("scores", "code", "fact"),
    [
        ([1.0, np.nan] * 20, "scores_not_finite", "nan at position 1 (20 of 40"),
        ([np.inf, 1.0] * 20, "scores_not_finite", "inf at position 0"),
        ([-np.inf, 1.0] * 20, "scores_not_finite", "-inf"),
        ([], "wrong_score_shape", "(0,)"),
        (["a", "b"], "scores_not_numeric", "numbers"),
        (np.ones((4, 4)), "wrong_score_shape", "(4, 4)"),
    ],
)
def test_what_is_no_score_is_refused(rule: object, scores: object, code: str, fact: str) -> None:
    with raises_code(code, fact):
        rule(scores)


@pytest.mark.parametrize("options", [{"kappa": 0}, {"kappa": -1}, {"kappa": np.nan}, {"search_from": -1}])
def test_first_jump_refuses_senseless_options(options: dict[str, float]) -> None:
    with raises_code("jump_parameter_out_of_range", *options.values()):
        first_jump(np.arange(30), **options)


def test_first_jump_refuses_too_few() -> None:
    with raises_code("too_few_scores", "at least 21 scores, got 20"):
        first_jump(np.arange(20))
    with raises_code("too_few_scores", "at least 31 scores, got 25"):
        first_jump(np.arange(25), search_from=30)


def test_threshold_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Threshold(1.0, "by hand", False).value = 2.0
