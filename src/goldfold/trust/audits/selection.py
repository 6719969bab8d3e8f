"""Audit of selection: how far the best of many runs leads by luck alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from goldfold.io.formatting import number
from goldfold.trust.audits.findings import Finding

ROUNDING = 1e-9
FEWEST = 5  # runs from which the best is reported


def best_of_runs(
    name: str,
    own: Mapping[str, float],
    others: Sequence[Mapping[str, float]],
    higher_is_better: bool,
    validation_share: float,
) -> list[Finding]:
    """Report that a run is the best of at least five on the same folds, and what luck alone would give the best.

    name: of the metric. own, others: fold -> score, of this run and of the other runs. validation_share: validation
        rows per training row, mean over folds.

    Scores are taken as a sum of a run, a fold and an error; the errors of a run's mean have the variance
    s^2 (1/k + v), with v as in `comparisons.difference`. The best of m equal runs leads their mean by the expected
    maximum of m such errors.
    """
    scores = np.array([[each[fold] for fold in own] for each in (own, *others)])
    runs, folds = scores.shape
    means = scores.mean(axis=1) * (1 if higher_is_better else -1)
    if runs < FEWEST or folds < 2 or means[0] < means[1:].max() + ROUNDING:
        return []
    errors = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    variance = float((errors**2).sum()) / ((runs - 1) * (folds - 1))
    luck = expected_maximum(runs) * math.sqrt(variance * (1 / folds + validation_share))
    lead = float(means[0] - means.mean())
    message = (
        f"this is the best of {runs} runs on these folds by {name}: it leads their mean by {number(lead)}, and the "
        f"best of {runs} equal runs would lead by about {number(luck)} by luck. Before you build on it, train it and "
        'its rivals on other folds (SET="seed=1"), and compare those'
    )
    return [Finding("best_of_runs", "note", message, "all folds")]


def expected_maximum(count: int) -> float:
    """The expected maximum of `count` independent standard normal values.

    >>> round(expected_maximum(2), 4), round(expected_maximum(20), 4)
    (0.5642, 1.8675)
    """
    from scipy import integrate, stats

    def density(value: float) -> float:
        return value * count * stats.norm.pdf(value) * stats.norm.cdf(value) ** (count - 1)

    return float(integrate.quad(density, -8, 8)[0])
