"""Audits of selection: the lead of the best of many runs by luck alone, and decisions that were fitted to scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goldfold.io.formatting import number
from goldfold.trust.audits.findings import Finding, Level
from goldfold.trust.comparisons import difference, difference_text

ROUNDING = 1e-9
FEWEST = 5  # runs from which the best is reported
OF_DECISIONS = ("decision_no_gain", "decision_flatters")
MOST_FLATTERY = 0.5  # of what a decision seems to gain on the rows that it was chosen on


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


def decisions(facts: Mapping[str, Any]) -> list[Finding]:
    """Report a fitted decision whose nested score is not shown to be better, and a score that choosing flatters.

    facts: decisions.json. Flattery is the score at values that were fitted on all rows minus the nested score; it is
    reported if it is more than half of what the decision seems to gain on these rows.
    """
    without, nested, seen = facts["without"], facts["nested"], facts["same_rows"]
    sign, found = 1 if nested["higher_is_better"] else -1, []
    gain = difference(nested, without)
    if gain.verdict != "better":
        worse = sign * gain.mean < -ROUNDING
        level: Level = "warning" if worse else "note"
        told = (
            "on folds that it was not fitted on the decision does not help, so remove `decide:`"
            if worse
            else "it is not shown that the decision helps, which more folds or seeds may tell; without `decide:` the "
            "config is simpler"
        )
        message = (
            f"{facts['metric']} is {number(nested['mean'])} with nested decisions and {number(without['mean'])} "
            f"without, a difference of {difference_text(gain, nested['bounds'])}: {told}"
        )
        found.append(Finding("decision_no_gain", level, message, "all folds"))
    flattery, seems = sign * (seen["mean"] - nested["mean"]), sign * (seen["mean"] - without["mean"])
    if seems > ROUNDING and flattery > MOST_FLATTERY * seems:
        message = (
            f"{facts['metric']} is {number(seen['mean'])} on the rows that the decision was fitted on, and "
            f"{number(nested['mean'])} on folds that it was not fitted on: choosing flatters by {number(flattery)}, "
            f"and it seems to gain {number(seems)}. Try fewer values, or believe the nested score alone"
        )
        found.append(Finding("decision_flatters", "note", message, "all folds"))
    return found
