"""Intervals of paired differences cover what they claim, on some folds, on folds of time, and several at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from goldfold.trust.comparisons import difference


def summary(folds: np.ndarray, share: float | None = None, higher: bool = True) -> dict:
    known = {} if share is None else {"validation_per_training_row": share}
    values = {str(fold): float(score) for fold, score in enumerate(folds)}
    return {"folds": values, "mean": float(np.mean(folds)), "higher_is_better": higher, **known}


OWN, OTHER = np.array([0.81, 0.85, 0.79, 0.84, 0.86]), np.array([0.80, 0.81, 0.78, 0.81, 0.83])


def half(found) -> float:
    return (found.interval[1] - found.interval[0]) / 2


def test_the_interval_is_that_of_nadeau_and_bengio() -> None:
    changes, k = OWN - OTHER, 5
    expected = stats.t.ppf(0.975, k - 1) * changes.std(ddof=1) * np.sqrt(1 / k + 0.25)
    for share in (0.25, None):
        found = difference(summary(OWN, share), summary(OTHER))
        assert half(found) == pytest.approx(expected)
    two = difference(summary(OWN[:2], 0.25), summary(OTHER[:2]))
    assert half(two) == pytest.approx(stats.t.ppf(0.975, 1) * changes[:2].std(ddof=1) * np.sqrt(1 / 2 + 1 / 4))
    time = difference(summary(OWN, 0.6), summary(OTHER))
    assert half(time) / expected == pytest.approx(np.sqrt((0.2 + 0.6) / (0.2 + 0.25)))


def test_several_differences_at_once_have_wider_intervals() -> None:
    one, many = (difference(summary(OWN), summary(OTHER), compared) for compared in (1, 20))
    assert half(many) / half(one) == pytest.approx(stats.t.ppf(1 - 0.025 / 20, 4) / stats.t.ppf(0.975, 4))


@pytest.mark.parametrize(
    ("own", "other", "higher", "verdict"),
    [
        (OWN + 0.1, OTHER, True, "better"),
        (OTHER, OWN + 0.1, True, "worse"),
        (OTHER, OWN + 0.1, False, "better"),
        (OWN, OTHER[::-1].copy(), True, "not shown to differ"),
        (OWN[:1], OTHER[:1], True, "one fold"),
    ],
)
def test_the_verdict_is_in_words(own: np.ndarray, other: np.ndarray, higher: bool, verdict: str) -> None:
    assert difference(summary(own, higher=higher), summary(other, higher=higher)).verdict == verdict


def test_of_twenty_equal_runs_few_are_called_different() -> None:
    """Fold scores share a part, as folds of one data set do; every run has the same expected score."""
    draw, alarms = np.random.default_rng(0), {1: 0, 19: 0}
    for _ in range(300):
        shared = draw.normal(size=5)
        runs = [summary(0.8 + 0.02 * shared + 0.01 * draw.normal(size=5)) for _ in range(20)]
        for compared in alarms:
            found = [difference(run, runs[0], compared).verdict for run in runs[1:]]
            alarms[compared] += any(verdict != "not shown to differ" for verdict in found)
    assert alarms[19] / 300 < 0.05
    assert alarms[1] > 2 * alarms[19]
