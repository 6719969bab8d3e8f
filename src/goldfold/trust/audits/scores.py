"""Audits of scores: against chance, against luck, and of what they were measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.io.formatting import interval, number
from goldfold.trust.audits.findings import Finding

if TYPE_CHECKING:
    from goldfold.competition import Metric
    from goldfold.optional_parts import PermutationTest

FEW = 10  # rows of a class below which no score of a ranking is believed
MANY = 30  # rows of a class from which luck is left to the interval over rows
LUCKY = 0.05


def worse_than_chance(name: str, summary: Mapping[str, Any]) -> list[Finding]:
    """A score no better than knowing nothing: below chance, or with chance inside its interval over folds.

    Of one fold the interval is that over rows.
    """
    chance, mean, sign = summary["chance"], summary["mean"], 1 if summary["higher_is_better"] else -1
    if sign * (mean - chance) <= 0:
        message = f"{name} {mean:.4f} is no better than chance, {chance:.4f}: look for swapped labels or no training"
        return [Finding("worse_than_chance", "warning", message, "all folds")]
    edges, over = summary["interval_95_t"], "folds"
    if edges is None:
        edges, over = summary.get("pooled_interval_95_bootstrap"), "rows"
    if edges and edges[0] <= chance <= edges[1]:
        message = (
            f"{name} {number(mean)} cannot be told from the chance level {number(chance)}: the interval over {over} is "
            f"{interval(edges)}"
        )
        return [Finding("at_chance", "warning", message, "all folds")]
    return []


def selected_on_scored_fold(
    fits: Iterable[tuple[Sequence[Mapping[str, Any]], int]], higher_is_better: bool, by_hand: bool = False
) -> list[Finding]:
    """An epoch was chosen by, or beside, the score it is given: says how much better it reads than the last.

    fits: histories with the number of the epoch that predicts. by_hand: whether a person named that number.
    """
    gains = []
    for history, epoch in fits:
        rows = [row for row in history if row["stage"] == history[-1]["stage"] and row["metric"] is not None]
        chosen = next((row["metric"] for row in rows if row["epoch"] == epoch), None)
        if chosen is not None:
            gains.append(chosen - rows[-1]["metric"] if higher_is_better else rows[-1]["metric"] - chosen)
    if not gains and not by_hand:
        return []
    how = "each fold's epoch was chosen by the score it is given"
    if by_hand:
        how = "the epoch was named by hand, which after a look at these folds is choosing it by the score it is given"
    apart = ""
    if gains:
        direction = "worse" if np.mean(gains) >= 0 else "better"
        apart = f"; the last epochs read {abs(np.mean(gains)):.4f} {direction} on average"
    message = f"{how}{apart}: quote select: last, a monitored value, or a hold-out score"
    return [Finding("selected_on_scored_fold", "note", message, "all folds")]


def tiny_sample(
    name: str, score: float, tested: PermutationTest | None, tries: int, where: str = "all folds"
) -> list[Finding]:
    """A score that so few rows carry that luck may have made it.

    Warned of below 10 rows of the rarer class, and below 30 where luck in one of the `tries` is likelier than 5 %.
    tries: epochs x scores that were looked at before this one was told. Bonferroni's bound, p x tries, takes them into
    account. tested: of the score; None, for a metric without such a test, is silent.
    """
    if tested is None:
        return []
    among = min(1.0, tested.p_value * tries)
    if tested.smallest_class >= (MANY if among > LUCKY else FEW):
        return []
    odds = f"once in {1 / tested.p_value:,.0f}" if tested.p_value > 1e-6 else "less than once in a million"
    message = (
        f"{name} {score:.4f} rests on {tested.smallest_class} rows of the rarer class: luck alone does as well {odds}, "
        f"and in the best of {tries} tries (epochs x scores looked at) with probability up to {among:.2g}: label more "
        "rows before it decides anything"
    )
    return [Finding("tiny_sample", "warning", message, where)]


def proxy_only(metric: Metric) -> list[Finding]:
    """The competition's own metric scores synthetic defects, and no real one."""
    if not metric.options.proxy:
        return []
    message = (
        f"runs are ranked by {metric.name}, which no real defect has entered: label some and rank by those, or wait "
        "for the leaderboard"
    )
    return [Finding("proxy_validation", "warning", message, "all folds")]
