"""The 95 % intervals of a metric's summary in words, with what they are over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldfold.experiment.intervals.limits import FEWEST_GROUPS
from goldfold.io.formatting import count, interval

EXPLAINED = (
    "Intervals estimate the score on new rows from the same source. Rows, or whole groups if the competition has them, "
    "are left out in turn (jackknife), and the variance is not below that between folds; between two bounds the limits "
    "are Wilson's. How often such intervals contain the true score is simulated in the documentation (benchmarks)."
)


def of_mean(summary: Mapping[str, Any]) -> str:
    """The interval of a mean over folds, or why there is none.

    >>> of_mean({"interval_95": [0.61, 0.7], "interval_rows": 1200, "interval_groups": None, "n": 5})
    '95 % interval [0.6100, 0.7000] over 1,200 rows in 5 folds'
    >>> of_mean({"interval_95": None, "interval_rows": 90, "interval_groups": 3, "n": 3})
    'no interval, since 3 groups are too few (5 are needed)'
    """
    edges = summary.get("interval_95")
    return f"95 % interval {interval(edges)} over {_over(summary)}" if edges else _without(summary)


def of_pooled(summary: Mapping[str, Any]) -> str:
    """The interval of the score of all rows pooled, or why there is none."""
    edges = summary.get("pooled_interval_95")
    return f"95 % interval {interval(edges)}" if edges else _without(summary)


def _over(summary: Mapping[str, Any]) -> str:
    folds = count(summary["n"], "fold")
    rows, groups = summary.get("interval_rows"), summary.get("interval_groups")
    if not rows:
        return folds
    return f"{count(groups, 'group') if groups else count(rows, 'row')} in {folds}"


def _without(summary: Mapping[str, Any]) -> str:
    groups = summary.get("interval_groups")
    if groups and groups < FEWEST_GROUPS:
        return f"no interval, since {count(groups, 'group')} are too few ({FEWEST_GROUPS} are needed)"
    return "too few rows for an interval"
