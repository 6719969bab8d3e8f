"""Scores of each of several labels: a table, a picture and a section of the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.data.columns import binary_columns
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import Sampling
from goldfold.experiment.run_folders import THRESHOLDS
from goldfold.io.files import read_json
from goldfold.io.formatting import interval, number, shortened, shortened_apart
from goldfold.metrics import label_ranks
from goldfold.report.plotting.markdown import escaped, table
from goldfold.report.plotting.style import FOLDS, INK, MUTED, figure, png, styled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from pandas import DataFrame

CLASSES = "classes.csv"
PICTURE = "classes.png"
MOST = 90  # classes of a picture
COLUMN = 30  # classes side by side in one column at most
THRESHOLD = 0.5


def per_class(
    rows: DataFrame, predictions: np.ndarray, targets: Sequence[str], groups: np.ndarray | None = None
) -> DataFrame:
    """Score each label on pooled out-of-fold rows: a row per label, in the order of `targets`.

    predictions: (n, labels) probabilities. groups: (n,), left out as a whole for the intervals.

    Columns: class, positives (rows), chance (share of positives, the average precision of a constant),
    average_precision, low, high (its 95 % interval), auroc, precision, recall, f1 (at p > 0.5).
    Values that are not defined are NaN, as all ranks of a label without positive rows.
    """
    truth = binary_columns(rows, targets)
    found, ones = label_ranks.ranked(truth, predictions), np.ones(len(rows))
    means, positives = label_ranks.average_precisions(found, ones), truth.sum(axis=0)
    units = jackknife.units_of(len(rows), groups)
    low, high = _edges(found, means, positives, units, None if groups is None else len(units))
    guess = predictions > THRESHOLD
    hits, flagged = (each.sum(axis=0) for each in (guess & (truth > 0), guess))
    columns = {
        "class": list(targets),
        "positives": positives,
        "chance": truth.mean(axis=0),
        "average_precision": means,
        "low": low,
        "high": high,
        "auroc": label_ranks.areas(found, ones),
        "precision": _ratio(hits, flagged),
        "recall": _ratio(hits, positives),
        "f1": _ratio(2 * hits, flagged + positives),
    }
    return pd.DataFrame(columns)


def _edges(
    found: label_ranks.Ranked, means: np.ndarray, positives: np.ndarray, units: Sequence[np.ndarray], groups: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of each label's average precision; NaN if all of its positive rows are in one unit."""
    weights = np.ones((len(units), sum(map(len, units))))
    for row, unit in zip(weights, units, strict=True):
        row[unit] = 0
    left = np.array([label_ranks.average_precisions(found, row) for row in weights])
    edges = []
    for mean, spread, count in zip(means.tolist(), jackknife.variance(left).tolist(), positives.tolist(), strict=True):
        degrees = max(1, min(count, len(units)) - 1)
        over = Sampling(spread, degrees, weights.shape[1], groups, count)
        known = limits.of_mean([mean], (0, 1), over) if np.isfinite(mean + spread) else None
        edges.append(known or [np.nan, np.nan])
    low, high = np.array(edges).T
    return low, high


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)


@styled()
def picture(scores: DataFrame) -> bytes:
    """A PNG of the average precision of each label, best first, with its interval and its chance level.

    scores: from `per_class`. Of more than 90 labels those with the most positive rows are drawn.
    """
    shown = scores.nlargest(MOST, "positives") if len(scores) > MOST else scores
    shown = shown.sort_values("average_precision", ascending=False, na_position="last", kind="stable")
    columns = -(-len(shown) // COLUMN)
    height = -(-len(shown) // columns)
    drawn = figure(0.9 + 0.19 * height)
    panels = drawn.subplots(1, columns, squeeze=False, sharex=True)[0]
    names = shortened_apart([str(name) for name in shown["class"]], lambda name: _short(name, columns))
    for at, axes in enumerate(panels):
        part = slice(at * height, (at + 1) * height)
        _draw_bars(axes, shown.iloc[part], names[part], height)
    which = "each label" if len(shown) == len(scores) else f"the {MOST} of {len(scores)} labels with the most positives"
    drawn.suptitle(f"Average precision of {which}, out of fold", fontsize=10, x=0.01, horizontalalignment="left")
    drawn.supxlabel("bar and line: average precision, 95 % interval; tick: chance level", fontsize=8)
    return png(drawn)


def _short(name: str, columns: int) -> str:
    return shortened(name, {1: 40, 2: 22}.get(columns, 14))


def _draw_bars(axes: Axes, shown: DataFrame, names: Sequence[str], height: int) -> None:
    y = np.arange(len(shown))
    axes.barh(y, shown["average_precision"].fillna(0), height=0.7, color=FOLDS[4], alpha=0.7)
    axes.hlines(y, shown["low"], shown["high"], color=INK, linewidth=1.2)
    axes.vlines(shown["chance"], y - 0.35, y + 0.35, color=FOLDS[5], linewidth=1.5)
    axes.set_yticks(y, [f"{name} ({count:,})" for name, count in zip(names, shown["positives"], strict=True)])
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.set_ylim(height - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    for at in y[shown["average_precision"].isna()]:
        axes.text(0.02, at, "no positive row", color=MUTED, fontsize=7, verticalalignment="center")


def section(run: Path) -> str:
    """The section of the record: a table of all labels, best first; empty if the run has none."""
    if not (run / CLASSES).exists():
        return ""
    scores = pd.read_csv(run / CLASSES, dtype={"class": str}, keep_default_na=False, na_values=[""])
    scores = scores.sort_values("average_precision", ascending=False, na_position="last", kind="stable")
    header = [
        "class",
        "positives",
        "AP",
        "95 % interval",
        "chance level",
        "AUROC",
        "precision",
        "recall",
        "F1",
    ]
    lines = [
        [
            escaped(row["class"]),
            f"{row['positives']:,}",
            _text(row["average_precision"]),
            "-" if np.isnan(row["low"]) else interval((row["low"], row["high"])),
            number(row["chance"]),
            *(_text(row[name]) for name in ("auroc", "precision", "recall", "f1")),
        ]
        for _, row in scores.iterrows()
    ]
    empty = int(scores["average_precision"].isna().sum())
    note = (
        f"Pooled out-of-fold rows; {empty} of {len(scores)} classes have no positive row. AP: average precision, whose "
        "chance level is the share of positives; precision, recall and F1 at p > 0.5."
    )
    return f"{table(header, lines)}\n\n{note}{_nested(run)}"


def _nested(run: Path) -> str:
    """The scores at thresholds that the scored fold did not see, beside those at 0.5."""
    found = read_json(run / THRESHOLDS, dict)["nested"] if (run / THRESHOLDS).exists() else {}
    if not found:
        return ""
    header = ["metric", "mean over folds", "sd (ddof=1)", "at 0.5", "better"]
    lines = [
        [
            name,
            number(each["mean"]),
            number(each["sd_ddof1"]),
            number(each["at_one_half"]),
            "higher" if each["higher_is_better"] else "lower",
        ]
        for name, each in found.items()
    ]
    note = (
        "Each fold is decided at the thresholds with the highest F1 of each label on the out-of-fold predictions of "
        f"the other folds. `{THRESHOLDS}` holds those of all folds, for test rows."
    )
    return f"\n\n{table(header, lines)}\n\n{note}"


def _text(value: float) -> str:
    return "-" if np.isnan(value) else number(value)
