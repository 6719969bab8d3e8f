"""Pictures of scores by epoch, with the epoch each rule selects, and of the scores of several recipes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.io.formatting import interval, number
from goldfold.report.plotting.style import FOLDS, INK, MUTED, figure, label_right, png, styled, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame, Series

MARKERS = "os^Dv*PX"  # so that lines differ without colors too
CHOSEN = FOLDS[0]
SCORES, VALUE = 3.2, 0.85  # inches, heights of the panel of scores and of each monitored value
LANE = 11  # points of a line that names selection rules
NAME = 28  # characters of a name on one line
HIGH = 30  # columns of text beside a panel


@styled()
def by_epoch(
    table: DataFrame,
    scores: Sequence[str],
    chosen: Mapping[str, int],
    chance: float,
    metric: str = "AUROC",
    names: Mapping[int, str] | None = None,
) -> bytes:
    """A PNG of scores by epoch in one panel, every other column in a small panel of its own, and the selected epochs.

    table: a column `epoch`, then one per measured value; NaN if not measured. scores: the columns that are values of
    `metric`, drawn with its chance level. chosen: selection rule -> epoch, a line through all panels. names: epoch ->
    its name, if that is not its number.
    """
    others = [name for name in table.columns if name not in ("epoch", *scores)]
    flags = _flags(chosen)
    columns = 1 if len(others) <= 3 else 2
    rows = -(-len(others) // columns)
    drawn = figure(0.9 + SCORES + VALUE * rows + LANE / 72 * len(flags))
    grid = drawn.add_gridspec(1 + rows, columns, height_ratios=(SCORES, *[VALUE] * rows))
    top = drawn.add_subplot(grid[0, :])
    small = [drawn.add_subplot(grid[1 + index // columns, index % columns], sharex=top) for index in range(len(others))]
    for index, name in enumerate(scores):
        color, marker = FOLDS[1:][index % (len(FOLDS) - 1)], MARKERS[index % len(MARKERS)]
        _draw(top, table, name, color=color, marker=marker, markersize=3.5)
    top.axhline(chance, color=MUTED, linestyle="--", linewidth=1, label=f"chance level {number(chance)}")
    top.set_ylabel(wrapped(metric, HIGH))
    top.legend(loc="upper left", bbox_to_anchor=(0, -0.1), ncols=4, borderaxespad=0)
    for axes, name in zip(small, others, strict=True):
        _draw(axes, table, name, color=INK, marker="o", markersize=2)
        axes.set_title(name, fontsize=8, loc="left", pad=3)
        axes.locator_params(axis="y", nbins=3)
        axes.margins(y=0.12)
    _number_epochs([top, *small], table["epoch"], columns)
    _mark([top, *small], flags, names or {})
    return png(drawn)


def _flags(chosen: Mapping[str, int]) -> dict[int, str]:
    """Selected epoch, in order -> the rules that select it."""
    return {each: ", ".join(rule for rule in chosen if chosen[rule] == each) for each in sorted(set(chosen.values()))}


def _draw(axes: Axes, table: DataFrame, name: str, **style: Any) -> None:
    values = table[name].to_numpy(float)
    label = name if np.isfinite(values).any() else f"{name} (not measured)"
    axes.plot(table["epoch"], values, linewidth=1.3, label=label, **style)


def _number_epochs(panels: Sequence[Axes], epochs: Series, columns: int) -> None:
    """Label epochs with whole numbers below the first panel and below the lowest panel of each column."""
    from matplotlib.ticker import MaxNLocator

    panels[0].set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in panels[1:-columns]:
        axes.tick_params(labelbottom=False)
    for axes in panels[-columns:]:
        axes.set_xlabel("epoch")


def _mark(panels: Sequence[Axes], flags: Mapping[int, str], names: Mapping[int, str]) -> None:
    """Draw a line through every panel at each selected epoch, and name its rules above; earlier epochs stand higher."""
    for axes in panels:
        for epoch in flags:
            axes.axvline(epoch, color=CHOSEN, linewidth=1.2, zorder=1)
    low, high = panels[0].get_xlim()
    for index, (epoch, rules) in enumerate(flags.items()):
        left = epoch < low + 0.7 * (high - low)  # else the text would run off the page
        panels[0].annotate(
            f" {rules}: {names.get(epoch, f'epoch {epoch}')} ",
            (epoch, 1),
            xycoords=panels[0].get_xaxis_transform(),
            xytext=(0, 3 + LANE * (len(flags) - 1 - index)),
            textcoords="offset points",
            horizontalalignment="left" if left else "right",
            fontsize=8,
            color=CHOSEN,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0},
            arrowprops={"arrowstyle": "-", "color": CHOSEN, "linewidth": 1.2, "relpos": (0 if left else 1, 0)}
            | {"shrinkA": 0, "shrinkB": 0},
        )


@styled()
def recipe_scores(
    names: Sequence[str],
    means: Sequence[float],
    intervals: Sequence[Sequence[float] | None],
    chance: float,
    metric: str,
) -> bytes:
    """A PNG of the mean score of each recipe as a dot with its 95 % interval, in the given order.

    means: NaN if a recipe has no score. intervals: None if there is no interval.
    """
    drawn = figure(0.9 + 0.42 * len(names))
    axes = drawn.subplots()
    for y, (mean, edges) in enumerate(zip(means, intervals, strict=True)):
        if edges is not None:
            axes.plot(edges, [y, y], color=INK, linewidth=2, solid_capstyle="butt")
        axes.plot(mean, y, "o", color=INK, markersize=7)
        text = "no score" if np.isnan(mean) else f"{number(mean)}  {interval(edges) if edges is not None else ''}"
        label_right(axes, y, text)
    axes.axvline(chance, color=MUTED, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(names)), ["\n".join(textwrap.wrap(name, NAME)) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.08)
    axes.set_xlabel(f"{metric}; bars: 95 % intervals; dashed: chance level {number(chance)}")
    return png(drawn)
