"""The best of many runs: its lead beside what luck gives the best of equal ones."""

from __future__ import annotations

import re

import numpy as np
import pytest

from goldfold.trust import audits
from goldfold.trust.audits.selection import expected_maximum


def runs(scores: np.ndarray) -> list[dict[str, float]]:
    return [{str(fold): float(score) for fold, score in enumerate(row)} for row in scores]


def best_of(scores: np.ndarray, higher: bool = True) -> list:
    own, *others = runs(scores)
    return audits.best_of_runs("auroc", own, others, higher, 0.0)


@pytest.mark.slow
def test_the_lead_of_the_best_of_equal_runs_is_luck():
    """20 equal runs, 5 folds that differ, 300 times: the lead that is told is the mean lead."""
    draw, told, leads = np.random.default_rng(0), [], []
    for _ in range(300):
        scores = 0.8 + draw.normal(0, 0.05, (1, 5)) + draw.normal(0, 0.02, (20, 5))
        scores = scores[np.argsort(-scores.mean(axis=1))]
        (finding,) = best_of(scores)
        lead, luck = map(float, re.findall(r"by (?:about )?(0\.\d+)", finding.message))
        leads.append(lead)
        told.append(luck)
    assert np.mean(told) == pytest.approx(np.mean(leads), rel=0.05)
    assert (finding.code, finding.level, "best of 20 runs" in finding.message) == ("best_of_runs", "note", True)


@pytest.mark.parametrize("count", [2, 5, 100])
def test_the_expected_maximum_is_that_of_drawn_values(count):
    drawn = np.random.default_rng(1).normal(size=(20_000, count)).max(axis=1).mean()
    assert expected_maximum(count) == pytest.approx(drawn, abs=0.02)


def test_a_run_that_is_not_the_best_or_one_of_few_is_not_told_of():
    scores = np.tile(np.linspace(0.9, 0.8, 6)[:, None], 3)
    assert len(best_of(scores)) == 1
    assert best_of(scores[::-1]) == []
    assert best_of(scores[[0, 0, 1, 2, 3, 4]]) == []  # the same run again
    assert best_of(scores[:4]) == []
    assert best_of(scores[:, :1]) == []
    assert best_of(scores, higher=False) == []
    assert len(best_of(scores[::-1], higher=False)) == 1
