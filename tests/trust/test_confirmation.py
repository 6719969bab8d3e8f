"""A hidden or public score that cross-validation did not promise, and scores that it did."""

from __future__ import annotations

import numpy as np
import pytest

from goldfold.experiment.intervals import limits
from goldfold.experiment.intervals.jackknife import Sampling
from goldfold.trust import confirmation


def summary(right: list[np.ndarray], higher: bool = True) -> dict:
    """The summary of accuracy, or of the share of errors, from the right (1) and wrong (0) rows of each fold."""
    scores = [float(fold.mean()) if higher else 1 - float(fold.mean()) for fold in right]
    rows = sum(map(len, right))
    variance = sum(fold.var(ddof=1) / len(fold) for fold in right) / len(right) ** 2
    edges = limits.of_mean(scores, (0, 1), Sampling(variance, rows - len(right), rows))
    return {
        "mean": float(np.mean(scores)),
        "interval_95": edges,
        "interval_rows": rows,
        "bounds": (0, 1),
        "higher_is_better": higher,
    }


def drawn(share: float, rows: int = 200, folds: int = 5, seed: int = 0) -> list[np.ndarray]:
    return list((np.random.default_rng(seed).random((folds, rows)) < share).astype(float))


def found(cv: dict, score: float, rows: int, *codes: str) -> list:
    return confirmation.not_confirmed("accuracy", cv, score, rows, "hidden labels", codes)


def test_a_hidden_score_far_below_cv_is_an_error_that_lists_causes_in_order():
    (finding,) = found(summary(drawn(0.889)), 0.493, 400, "shared_groups", "at_chance")
    assert (finding.code, finding.level, finding.where) == ("cv_not_confirmed", "error", "hidden labels")
    assert "look for (1) what this run's findings say already: shared_groups; (2) rows of one person" in finding.message
    assert "at_chance" not in finding.message
    (plain,) = found(summary(drawn(0.889)), 0.493, 400)
    assert "look for (1) rows of one person" in plain.message


def test_a_score_that_is_lower_the_better_it_is_may_rise_too_far():
    assert found(summary(drawn(0.889), higher=False), 0.507, 400)
    assert found(summary(drawn(0.889), higher=False), 0.02, 400) == []


@pytest.mark.parametrize(("score", "rows", "told"), [(0.82, 1000, True), (0.82, 40, False), (0.99, 1000, False)])
def test_few_hidden_rows_may_score_worse_by_luck(score, rows, told):
    assert bool(found(summary(drawn(0.9)), score, rows)) is told


def test_without_an_interval_nothing_is_promised():
    assert found(summary(drawn(0.9)) | {"interval_95": None}, 0.1, 400) == []


def test_clean_runs_are_told_of_in_one_of_forty():
    """Accuracy .8 of 300 rows, then of 150 new ones: 400 times, of which 2.5 % are expected below the range."""
    random = np.random.default_rng(1)
    alarms = 0
    for seed in range(400):
        cv = summary(drawn(0.8, 60, seed=seed))
        alarms += len(found(cv, float((random.random(150) < 0.8).mean()), 150))
    assert alarms <= 20  # probability .999
