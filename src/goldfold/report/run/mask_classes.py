"""Scores of each class of masks, with intervals over images: a table and a section of the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import Sampling
from goldfold.io.formatting import interval, number
from goldfold.report.plotting.markdown import table

if TYPE_CHECKING:
    from pathlib import Path

    from pandas import DataFrame

    from goldfold.competition import Metric

TABLE = "mask_classes.csv"
COLUMNS = ["metric", "class", "score", "low", "high", "better"]


def per_class(
    metrics: Sequence[Metric], rows: DataFrame, predictions: np.ndarray, groups: np.ndarray | None = None
) -> DataFrame:
    """Score each class of masks on pooled out-of-fold images; empty without a metric of several classes of masks.

    groups: (n,), left out as a whole for the intervals; None: images are left out in turn.

    Columns: metric, class, score, low, high (its 95 % interval), better (higher or lower). A class that is not scored,
    as one without a pixel, is NaN, and so is the interval of a class that a single image or group shows.
    """
    units = jackknife.units_of(len(rows), groups)
    lines = [
        line
        for metric in metrics
        if metric.options.mask_classes and len(metric.options.mask_classes.names) > 1
        for line in _of_metric(metric, rows, predictions, units, None if groups is None else len(units))
    ]
    return pd.DataFrame(lines, columns=COLUMNS)


def _of_metric(
    metric: Metric, rows: DataFrame, predictions: np.ndarray, units: Sequence[np.ndarray], groups: int | None
) -> list[tuple]:
    classes = metric.options.mask_classes
    assert classes is not None, "only metrics of classes of masks"
    score_of, everything = classes.by_class(rows, predictions), np.arange(len(rows))
    left = np.array([score_of(np.setdiff1d(everything, unit)) for unit in units if len(unit) < len(rows)])
    spread = jackknife.variance(left) if len(left) > 1 else np.full(len(classes.names), np.nan)
    better = "higher" if metric.higher_is_better else "lower"
    lines = []
    for name, score, variance in zip(classes.names, score_of(everything).tolist(), spread.tolist(), strict=True):
        over = Sampling(variance, max(1, len(units) - 1), len(rows), groups)
        known = limits.of_mean([score], metric.bounds, over) if np.isfinite(score + variance) else None
        lines.append((metric.name, name, score, *(known or (np.nan, np.nan)), better))
    return lines


def section(run: Path) -> str:
    """The section of the record: a table for each metric, best class first; empty if the run has none."""
    if not (run / TABLE).exists():
        return ""
    scores = pd.read_csv(run / TABLE, dtype={"class": str}, keep_default_na=False, na_values=[""])
    parts = []
    for name, found in scores.groupby("metric", sort=False):
        lower = bool((found["better"] == "lower").all())
        ordered = found.sort_values("score", ascending=lower, na_position="last", kind="stable")
        lines = [
            [row["class"], _text(row["score"]), _interval(row["low"], row["high"])] for _, row in ordered.iterrows()
        ]
        parts.append(table(["class", str(name), "95 % interval"], lines))
    note = "Pooled out-of-fold images, which are left out in turn for the intervals, or whole groups of them."
    return "\n\n".join([*parts, note])


def _interval(low: float, high: float) -> str:
    return "-" if np.isnan(low) else interval((low, high))


def _text(value: float) -> str:
    return "-" if np.isnan(value) else number(value)
