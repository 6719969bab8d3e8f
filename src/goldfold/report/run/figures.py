"""Pictures of a run's numbers: learning curves and fold scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.io.formatting import number, width
from goldfold.report.plotting.style import (
    FAINT,
    INK,
    MUTED,
    figure,
    fold_color,
    label_right,
    png,
    reaches,
    styled,
    wrapped,
)
from goldfold.report.run import parameter_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    Rows = Sequence[Mapping[str, Any]]  # of a history.json
    Fit = tuple[int, int]  # (fold, seed)
    Line = Mapping[Any, float]  # epoch -> value

TERMS = (INK, "#b5402f", "#3b6ea5", "#7a8b2f", "#7a5195", "#c98a2b")
ACROSS = {1: 1, 2: 2, 4: 2}  # number of metrics -> panels side by side
MOST_ACROSS = 3  # of other numbers; more would be too narrow to read
HIGH = 30  # columns of text beside a panel
COLUMNS = {1: 90, 2: 44, 3: 28}  # panels side by side -> columns of the text below one


@styled()
def learning_curves(
    histories: Mapping[Fit, Rows],
    metric: str,
    chance: float,
    chosen: Mapping[Fit, int | None],
    facts: Mapping[Fit, Mapping[str, Any]] | None = None,
) -> bytes:
    """A PNG with a column per stage: training losses, metric of each fold with the chance level, learning rates.

    histories: (fold, seed) -> rows of history, at least one. chosen: (fold, seed) -> the selected epoch (1-based, of
    the last stage), which gets a ring. facts: of training, whose `rates` are drawn step by step. Means are over fits,
    at the epochs that all fits have.
    """
    from matplotlib.ticker import MaxNLocator

    stages = list(dict.fromkeys(row["stage"] for history in histories.values() for row in history))
    drawn = figure(7.4)
    panels = drawn.subplots(3, len(stages), sharex="col", squeeze=False, height_ratios=(3, 3, 1.3))
    for (losses, scores, rates), stage in zip(panels.T, stages, strict=True):
        rows = {fit: [row for row in history if row["stage"] == stage] for fit, history in histories.items()}
        _draw_losses(losses, rows)
        _draw_scores(scores, rows, chosen if stage == stages[-1] else {})
        recorded = {fit: noted.get(stage, {}).get("rates", {}) for fit, noted in (facts or {}).items()}
        _draw_rates(rates, {fit: history for fit, history in rows.items() if history}, recorded)
        losses.set_title(f"stage {stage}", fontsize=9, loc="left")
        rates.set_xlabel("epoch")
        rates.set_xlim(0, max(row["epoch"] for history in rows.values() for row in history) + 0.5)
        rates.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes, label in zip(panels[:, 0], ("training loss", metric, "learning rate"), strict=True):
        axes.set_ylabel(wrapped(label, HIGH))
    level = _draw_chance(panels[1], chance)
    drawn.legend(handles=[*_legend(histories), level], loc="outside lower center", ncols=8)
    drawn.align_ylabels()
    return png(drawn)


def _legend(histories: Mapping[Fit, Rows]) -> list[Line2D]:
    """Legend entries of colors and markers."""
    from matplotlib.lines import Line2D

    folds = sorted({fold for fold, _ in histories})
    lines = [Line2D([], [], color=fold_color(fold), label=f"fold {fold}") for fold in folds]
    mean = Line2D([], [], color=INK, linewidth=2, label="mean")
    ring = Line2D([], [], color=INK, linestyle="", marker="o", markerfacecolor="white", label="selected epoch")
    return [*lines, mean, ring]


def _draw_losses(axes: Axes, rows: Mapping[Fit, Rows]) -> None:
    """Draw training losses: one term with a color per fold, several terms with a color per term."""
    terms = list(dict.fromkeys(term for history in rows.values() for row in history for term in row["loss"]))
    values: list[float] = []
    for index, term in enumerate(terms):
        lines = {fit: {row["epoch"]: row["loss"][term] for row in history} for fit, history in rows.items()}
        for (fold, _), line in lines.items():
            color = fold_color(fold) if len(terms) == 1 else TERMS[index % len(TERMS)]
            _draw(axes, line, color=color, linewidth=1, alpha=1 if len(terms) == 1 else 0.4)
            values += line.values()
        _draw(axes, _mean(list(lines.values())), color=TERMS[index % len(TERMS)], linewidth=2, label=term)
    axes.legend(loc="upper right")
    if min(values) > 0 and max(values) > 30 * min(values):
        _log_scale(axes)


def _draw_scores(axes: Axes, rows: Mapping[Fit, Rows], chosen: Mapping[Fit, int | None]) -> None:
    """Draw the metric of each fold in its color, the mean in black, and rings at the selected epochs."""
    lines = {fit: line for fit, history in rows.items() if (line := _scores(history))}
    for (fold, seed), line in lines.items():
        color, epoch = fold_color(fold), chosen.get((fold, seed))
        _draw(axes, line, color=color, linewidth=1)
        if epoch is not None and epoch in line:
            ring: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": color, "markeredgewidth": 1.5}
            axes.plot(epoch, line[epoch], "o", markersize=5.5, zorder=4, **ring)
    if lines:
        _draw(axes, _mean(list(lines.values())), color=INK, linewidth=2)
    else:
        axes.text(0.5, 0.5, "not scored", color=MUTED, transform=axes.transAxes, horizontalalignment="center")
        axes.set_yticks([])


def _scores(history: Rows) -> Line:
    return {row["epoch"]: row["metric"] for row in history if row["metric"] is not None}


def _draw_chance(panels: Sequence[Axes], chance: float) -> Line2D:
    """Draw the chance level in each panel whose lines are near it; returns its legend entry."""
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"color": MUTED, "linestyle": "--", "linewidth": 1}
    where, drawn = "", False
    for axes in panels:
        values = [float(value) for line in axes.lines for value in np.asarray(line.get_ydata())]
        if values and reaches(axes.get_ylim(), chance, values):
            axes.axhline(chance, **style)
            drawn = True
        elif values:
            where = " (far below)" if chance < min(values) else " (far above)"
    return Line2D([], [], label=f"chance level {number(chance)}{'' if drawn else where}", **style)


def _draw_rates(axes: Axes, rows: Mapping[Fit, Rows], recorded: Mapping[Fit, Mapping[str, Any]]) -> None:
    """Draw the learning rate of each parameter group: at each recorded step, else at the last one of each epoch.

    recorded: fields of `LearningRates`.
    """
    lines: dict[str, list[Line]] = {}
    for fit, history in rows.items():
        for name, line in parameter_groups.rate_lines(history, recorded.get(fit, {})).items():
            lines.setdefault(name, []).append(line)
    for group, (name, found) in enumerate(lines.items()):
        for line in found:
            _draw(axes, line, color=TERMS[group % len(TERMS)], linewidth=1.2)
        axes.lines[-1].set_label(parameter_groups.label(name))
    peaks = [max(value for line in found for value in line.values()) for found in lines.values()]
    if min(peaks) > 0 and max(peaks) > 10 * min(peaks):
        _log_scale(axes)
        axes.set_ylim(bottom=min(peaks) / 1000)  # annealing to 0 has no end on a log scale
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:g}")
    if len(lines) > 1:
        axes.legend(loc="lower left", ncols=len(lines))


def _log_scale(axes: Axes) -> None:
    """Use a logarithmic axis with plain numbers."""
    from matplotlib.ticker import NullFormatter

    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw(axes: Axes, line: Line, **style: Any) -> None:
    marker = "o" if len(line) == 1 else None
    axes.plot(list(line), list(line.values()), marker=marker, markersize=3, **style)


def _mean(lines: Sequence[Line]) -> Line:
    """The mean of several lines at the epochs that all of them have."""
    common = [epoch for epoch in lines[0] if all(epoch in line for line in lines)]
    return {epoch: sum(line[epoch] for line in lines) / len(lines) for epoch in common}


@styled()
def fold_scores(metrics: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A PNG with a panel for each metric: fold scores, their mean, the pooled score, chance level.

    metrics: name -> summary, from `metrics.json`.
    """
    folds = list(next(iter(metrics.values()))["folds"])
    labels = [f"fold {fold}" for fold in folds] + ["mean of folds\n(95 % interval)"]
    heights = [*range(len(folds)), len(folds) + 0.6]
    if any("pooled" in summary for summary in metrics.values()):
        labels, heights = [*labels, "all rows pooled\n(95 % interval)"], [*heights, len(folds) + 2.2]
    across = ACROSS.get(len(metrics), MOST_ACROSS)
    down = -(-len(metrics) // across)
    drawn = figure(down * (0.9 + 0.28 * heights[-1]))
    panels = drawn.subplots(down, across, sharey=True, squeeze=False).ravel()
    panels[0].set_yticks(heights, labels)
    panels[0].set_ylim(heights[-1] + 0.9, -0.7)
    for axes, (name, summary) in zip(panels, metrics.items(), strict=False):
        _draw_forest(axes, name, summary, heights, COLUMNS[across])
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    return png(drawn)


def _draw_forest(axes: Axes, name: str, summary: Mapping[str, Any], heights: Sequence[float], columns: int) -> None:
    """Draw a forest plot: scores as dots at these heights, with intervals as bars. columns: of the text below it."""
    for (fold, score), y in zip(summary["folds"].items(), heights, strict=False):
        _draw_dot(axes, y, score, None, fold_color(int(fold)), "o")
    _draw_dot(axes, heights[len(summary["folds"])], summary["mean"], summary.get("interval_95"), INK, "D")
    if "pooled" in summary:
        _draw_dot(axes, heights[-1], summary["pooled"], summary.get("pooled_interval_95"), INK, "s")
    axes.axhspan(len(summary["folds"]) - 0.4, heights[-1] + 0.9, color=FAINT, alpha=0.45, linewidth=0)
    axes.margins(x=0.12)
    edges = [summary.get(name) or () for name in ("interval_95", "pooled_interval_95")]
    chance, values = summary["chance"], [*summary["folds"].values(), *edges[0], *edges[1]]
    where = "dashed"
    if reaches(axes.get_xlim(), chance, values):
        axes.axvline(chance, color=MUTED, linestyle="--", linewidth=1)
    else:
        where = "far to the left" if chance < min(values) else "far to the right"
    better = "higher" if summary["higher_is_better"] else "lower"
    told = [(name, f"({better} is better)"), (f"chance level {number(chance)}", f"({where})")]
    axes.set_xlabel("\n".join(_noted(text, note, columns) for text, note in told))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.locator_params(axis="x", nbins=5)


def _noted(text: str, note: str, columns: int) -> str:
    """A text with its note, on lines of their own if both are wider than `columns`."""
    both = f"{text} {note}"
    return both if width(both) <= columns else f"{wrapped(text, columns)}\n{note}"


def _draw_dot(axes: Axes, y: float, score: float, edges: Sequence[float] | None, color: str, marker: str) -> None:
    """Draw one score with its interval, and its value at the right edge of the panel."""
    if edges:
        axes.plot(edges, [y, y], color=color, linewidth=1.6, solid_capstyle="butt")
    axes.plot(score, y, marker, color=color, markersize=6.5)
    label_right(axes, y, number(score))
