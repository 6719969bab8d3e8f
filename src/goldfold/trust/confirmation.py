"""Whether a score on hidden labels or a leaderboard confirms the cross-validation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from goldfold.experiment.intervals import limits
from goldfold.io.formatting import interval, number
from goldfold.trust.audits.findings import Finding

CODE = "cv_not_confirmed"
NORMAL = 1.96  # quantile of a 95 % interval
MANY = 10_000  # degrees of freedom of a normal quantile
SHARE_UNKNOWN = 0.3  # of the test rows that a public score is taken to be of, where the service does not tell
CAUSES = (
    "rows of one person, object or time on both sides of the folds",
    "a column, file name or row order that tells the target of training rows only (make audit)",
    "test rows that are unlike the training rows, such as later ones or those of another site",
    "the best of many runs, epochs or thresholds, chosen by this CV",
    "a submission whose order, classes or scale are not those of the out-of-fold predictions",
)
SUSPICIOUS = frozenset(
    {
        "shared_rows",
        "shared_groups",
        "shared_contents",
        "copies_in_test",
        "neighbor_leakage",
        "selected_on_scored_fold",
        "tiny_sample",
        "stale_data",
        "pooled_apart",
        "proxy_validation",
        "target_in_column",
        "undeclared_group",
        "time_behind_folds",
        "order_tells_target",
        "near_duplicate_images",
        "near_duplicate_rows",
        "label_in_path",
        "batch_dependent_predictions",
        "drifting_column",
        "best_of_runs",
    }
)
"""Codes of findings that make a CV score optimistic."""


def expected_scores(summary: Mapping[str, Any], rows: int) -> list[float] | None:
    """The range of 95 % of scores that `rows` new rows from the same source would give; None without an interval.

    summary: of a metric, as in metrics.json. The variance of its interval is enlarged by that of so many new rows.
    """
    edges, seen = summary.get("interval_95"), summary.get("interval_rows")
    if not edges or not seen:
        return None
    error = (edges[1] - edges[0]) / (2 * NORMAL)
    variance = error**2 * (1 + seen / rows)
    return limits.limits(summary["mean"], variance, MANY, summary["bounds"], min(seen, rows))


def not_confirmed(
    name: str, summary: Mapping[str, Any], score: float, rows: int, where: str, found: Collection[str] = ()
) -> list[Finding]:
    """Report a score on other rows that is worse than cross-validation lets expect, with likely causes in order.

    name, summary: the metric, as in metrics.json. rows: number of rows that `score` is of. where: whose score it is.
    found: codes of the run's findings; those that explain an optimistic CV are named first.
    """
    summary = {**summary, **summary.get("decided", {})}  # the submission is decided, too
    expected = expected_scores(summary, rows)
    higher = summary["higher_is_better"]
    if expected is None or not (score < expected[0] if higher else score > expected[1]):
        return []
    known = [f"what this run's findings say already: {', '.join(sorted(SUSPICIOUS & set(found)))}"]
    causes = [*(known if SUSPICIOUS & set(found) else []), *CAUSES]
    message = (
        f"{name} {number(score)} is worse than CV {number(summary['mean'])} lets expect: 95 % of scores of {rows:,} "
        f"rows like those of the folds lie in {interval(expected)}. Do not choose between runs by this CV before the "
        f"cause is found. In this order, look for {'; '.join(f'({at}) {cause}' for at, cause in enumerate(causes, 1))}"
    )
    return [Finding(CODE, "error", message, where)]
