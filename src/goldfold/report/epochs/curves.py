"""Pictures to choose by: scores and monitored values by epoch with what each rule chooses, and recipes side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.io.formatting import interval, number
from goldfold.report.plotting.style import FOLDS, INK, MUTED, figure, label_right, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame, Series

MARKS = "os^Dv*PX"  # with a colour each: six lines and more are told apart without colours too
CHOSEN = FOLDS[0]
SCORES, VALUE = 3.2, 0.85  # inches: the panel of scores, each panel of a monitored value
LANE = 11  # points of a line that names rules
NAME = 28  # characters on a line of a name


@styled()
def by_epoch(
    table: DataFrame,
    scores: Sequence[str],
    chosen: Mapping[str, int],
    chance: float,
    metric: str = "AUROC",
    names: Mapping[int, str] | None = None,
) -> bytes:
    """A PNG of scores by epoch in one panel, each other column in a small one of its own scale, and what rules choose.

    table: a column `epoch`, then one per measured value; nan where there is none. scores: the columns that are values
    of `metric`, drawn with its chance level. chosen: rule -> epoch, a line through all panels. names: what epochs are
    called where that is not their number.
    """
    others = [name for name in table.columns if name not in ("epoch", *scores)]
    flags = _flags(chosen)
    wide = 1 if len(others) <= 3 else 2
    high = -(-len(others) // wide)
    drawn = figure(0.9 + SCORES + VALUE * high + LANE / 72 * len(flags))
    grid = drawn.add_gridspec(1 + high, wide, height_ratios=(SCORES, *[VALUE] * high))
    top = drawn.add_subplot(grid[0, :])
    small = [drawn.add_subplot(grid[1 + place // wide, place % wide], sharex=top) for place in range(len(others))]
    for place, name in enumerate(scores):
        look = {"color": FOLDS[1:][place % (len(FOLDS) - 1)], "marker": MARKS[place % len(MARKS)], "markersize": 3.5}
        _draw(top, table, name, **look)
    top.axhline(chance, color=MUTED, linestyle="--", linewidth=1, label=f"chance {number(chance)}")
    top.set_ylabel(metric)
    top.legend(loc="upper left", bbox_to_anchor=(0, -0.1), ncols=4, borderaxespad=0)
    for axes, name in zip(small, others, strict=True):
        _draw(axes, table, name, color=INK, marker="o", markersize=2)
        axes.set_title(name, fontsize=8, loc="left", pad=3)
        axes.locator_params(axis="y", nbins=3)
        axes.margins(y=0.12)
    _number_epochs([top, *small], table["epoch"], wide)
    _mark([top, *small], flags, names or {})
    return png(drawn)


def _flags(chosen: Mapping[str, int]) -> dict[int, str]:
    """Each chosen epoch, in order -> the rules that choose it."""
    return {each: ", ".join(rule for rule in chosen if chosen[rule] == each) for each in sorted(set(chosen.values()))}


def _draw(axes: Axes, table: DataFrame, name: str, **look: Any) -> None:
    values = table[name].to_numpy(float)
    label = name if np.isfinite(values).any() else f"{name} (no value)"
    axes.plot(table["epoch"], values, linewidth=1.3, label=label, **look)


def _number_epochs(panels: Sequence[Axes], epochs: Series, wide: int) -> None:
    """Whole numbers below the first panel and below the lowest of each column, which share their axis."""
    from matplotlib.ticker import MaxNLocator

    panels[0].set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in panels[1:-wide]:
        axes.tick_params(labelbottom=False)
    for axes in panels[-wide:]:
        axes.set_xlabel("epoch")


def _mark(panels: Sequence[Axes], flags: Mapping[int, str], names: Mapping[int, str]) -> None:
    """A line through every panel at each chosen epoch, and above the first its rules, earlier epochs higher up."""
    for axes in panels:
        for epoch in flags:
            axes.axvline(epoch, color=CHOSEN, linewidth=1.2, zorder=1)
    low, high = panels[0].get_xlim()
    for place, (epoch, rules) in enumerate(flags.items()):
        left = epoch < low + 0.7 * (high - low)  # else its words would not end on the page
        panels[0].annotate(
            f" {rules}: {names.get(epoch, f'epoch {epoch}')} ",
            (epoch, 1),
            xycoords=panels[0].get_xaxis_transform(),
            xytext=(0, 3 + LANE * (len(flags) - 1 - place)),
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
    """A PNG of one score per name as a dot with its interval, in the given order; None: no interval; nan: no score."""
    drawn = figure(0.9 + 0.42 * len(names))
    axes = drawn.subplots()
    for place, (mean, edges) in enumerate(zip(means, intervals, strict=True)):
        if edges is not None:
            axes.plot(edges, [place, place], color=INK, linewidth=2, solid_capstyle="butt")
        axes.plot(mean, place, "o", color=INK, markersize=7)
        told = "no score" if np.isnan(mean) else f"{number(mean)}  {interval(edges) if edges is not None else ''}"
        label_right(axes, place, told)
    axes.axvline(chance, color=MUTED, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(names)), ["\n".join(textwrap.wrap(name, NAME)) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.08)
    axes.set_xlabel(f"{metric}, bars are intervals; chance {number(chance)} dashed")
    return png(drawn)
