"""Pictures of a run's numbers: how its folds learned, and how far their scores lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goldfold.io.formatting import number
from goldfold.report.plotting.style import (
    FAINT,
    INK,
    MUTED,
    figure,
    fold_colour,
    label_right,
    png,
    styled,
    within_reach,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    Rows = Sequence[Mapping[str, Any]]
    Fit = tuple[int, int]  # (fold, seed)
    Line = Mapping[int, float]  # epoch -> value

TERMS = (INK, "#b5402f", "#3b6ea5", "#7a8b2f", "#7a5195", "#c98a2b")
PANELS = 3  # metrics side by side; more would be too narrow to read


@styled()
def learning_curves(
    histories: Mapping[Fit, Rows], metric: str, chance: float, chosen: Mapping[Fit, int | None]
) -> bytes:
    """A PNG with a column per stage: loss terms, metric of each fold with its chance level, learning rates.

    histories: (fold, seed) -> rows of history, at least one; chosen: (fold, seed) -> the epoch (1-based, of the last
    stage) whose weights predict, ringed. Means are drawn over the epochs that all fits have.
    """
    from matplotlib.ticker import MaxNLocator

    stages = list(dict.fromkeys(row["stage"] for history in histories.values() for row in history))
    drawn = figure(7.4)
    panels = drawn.subplots(3, len(stages), sharex="col", squeeze=False, height_ratios=(3, 3, 1.3))
    for (losses, scores, rates), stage in zip(panels.T, stages, strict=True):
        rows = {fit: [row for row in history if row["stage"] == stage] for fit, history in histories.items()}
        _draw_losses(losses, rows)
        _draw_scores(scores, rows, chosen if stage == stages[-1] else {})
        _draw_rates(rates, rows)
        losses.set_title(f"stage {stage}", fontsize=9, loc="left")
        rates.set_xlabel("epoch")
        rates.set_xlim(0.5, max(row["epoch"] for history in rows.values() for row in history) + 0.5)
        rates.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes, label in zip(panels[:, 0], ("training loss", metric, "learning rate"), strict=True):
        axes.set_ylabel(label)
    level = _draw_chance(panels[1], chance)
    drawn.legend(handles=[*_key(histories), level], loc="outside lower center", ncols=8)
    drawn.align_ylabels()
    return png(drawn)


def _key(histories: Mapping[Fit, Rows]) -> list[Line2D]:
    """What colours and marks mean in all panels."""
    from matplotlib.lines import Line2D

    folds = sorted({fold for fold, _ in histories})
    lines = [Line2D([], [], color=fold_colour(fold), label=f"fold {fold}") for fold in folds]
    mean = Line2D([], [], color=INK, linewidth=2, label="mean")
    ring = Line2D([], [], color=INK, linestyle="", marker="o", markerfacecolor="white", label="chosen epoch")
    return [*lines, mean, ring]


def _draw_losses(axes: Axes, rows: Mapping[Fit, Rows]) -> None:
    """One term: each fold in its colour, the mean in ink. Several: each term in a colour of its own."""
    terms = list(dict.fromkeys(term for history in rows.values() for row in history for term in row["loss"]))
    values = []
    for place, term in enumerate(terms):
        lines = {fit: {row["epoch"]: row["loss"][term] for row in history} for fit, history in rows.items()}
        for (fold, _), line in lines.items():
            colour = fold_colour(fold) if len(terms) == 1 else TERMS[place % len(TERMS)]
            _draw(axes, line, color=colour, linewidth=1, alpha=1 if len(terms) == 1 else 0.4)
            values += line.values()
        _draw(axes, _mean(list(lines.values())), color=TERMS[place % len(TERMS)], linewidth=2, label=term)
    axes.legend(loc="upper right")
    if min(values) > 0 and max(values) > 30 * min(values):
        _scale_by_factors(axes)


def _draw_scores(axes: Axes, rows: Mapping[Fit, Rows], chosen: Mapping[Fit, int | None]) -> None:
    """Each fold in its colour, their mean in ink, the chosen epochs ringed."""
    lines = {fit: line for fit, history in rows.items() if (line := _scores(history))}
    for (fold, seed), line in lines.items():
        colour, epoch = fold_colour(fold), chosen.get((fold, seed))
        _draw(axes, line, color=colour, linewidth=1)
        if epoch in line:
            ring = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.5}
            axes.plot(epoch, line[epoch], "o", markersize=5.5, zorder=4, **ring)
    if lines:
        _draw(axes, _mean(list(lines.values())), color=INK, linewidth=2)
    else:
        axes.text(0.5, 0.5, "not scored", color=MUTED, transform=axes.transAxes, horizontalalignment="center")
        axes.set_yticks([])


def _scores(history: Rows) -> Line:
    return {row["epoch"]: row["metric"] for row in history if row["metric"] is not None}


def _draw_chance(panels: Sequence[Axes], chance: float) -> Line2D:
    """The chance level in each panel near whose lines it lies; returns its entry for the key."""
    from matplotlib.lines import Line2D

    look, where = {"color": MUTED, "linestyle": "--", "linewidth": 1}, ""
    for axes in panels:
        values = [value for line in axes.lines for value in line.get_ydata()]
        if values and within_reach(chance, values):
            axes.axhline(chance, **look)
        elif values:
            where = " (far below)" if chance < min(values) else " (far above)"
    return Line2D([], [], label=f"chance {number(chance)}{where}", **look)


def _draw_rates(axes: Axes, rows: Mapping[Fit, Rows]) -> None:
    """The rate of each parameter group at the last optimizer step of each epoch."""
    groups = max(len(row["learning_rate"]) for history in rows.values() for row in history)
    peaks = []
    for group in range(groups):
        lines = [{row["epoch"]: row["learning_rate"][group] for row in history} for history in rows.values()]
        for line in lines:
            _draw(axes, line, color=TERMS[group % len(TERMS)], linewidth=1.2)
        axes.lines[-1].set_label(f"group {group}")
        peaks.append(max(value for line in lines for value in line.values()))
    if min(peaks) > 0 and max(peaks) > 10 * min(peaks):
        _scale_by_factors(axes)
        axes.set_ylim(bottom=min(peaks) / 1000)  # an anneal to nothing has no end on this scale
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:g}")
    if groups > 1:
        axes.legend(loc="lower left", ncols=groups)


def _scale_by_factors(axes: Axes) -> None:
    from matplotlib.ticker import NullFormatter

    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw(axes: Axes, line: Line, **look: Any) -> None:
    marker = "o" if len(line) == 1 else None
    axes.plot(list(line), list(line.values()), marker=marker, markersize=3, **look)


def _mean(lines: Sequence[Line]) -> Line:
    """The mean over lines at the epochs that all of them have."""
    common = [epoch for epoch in lines[0] if all(epoch in line for line in lines)]
    return {epoch: sum(line[epoch] for line in lines) / len(lines) for epoch in common}


@styled()
def fold_scores(metrics: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A PNG with a panel for each of the first metrics: every fold's score, their mean, all rows pooled, chance.

    metrics: as `metrics.json` has them, name -> summary.
    """
    shown = list(metrics.items())[:PANELS]
    folds = list(shown[0][1]["folds"])
    labels = [f"fold {fold}" for fold in folds] + ["mean of folds" + ("\n(95 %, t)" if len(folds) > 1 else "")]
    places = [*range(len(folds)), len(folds) + 0.6]
    if any("pooled" in summary for _, summary in shown):
        labels, places = [*labels, "all rows pooled\n(95 %, bootstrap)"], [*places, len(folds) + 2.2]
    drawn = figure(0.9 + 0.28 * places[-1])
    panels = drawn.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    panels[0].set_yticks(places, labels)
    panels[0].set_ylim(places[-1] + 0.9, -0.7)
    for axes, (name, summary) in zip(panels, shown, strict=True):
        _draw_forest(axes, name, summary, places)
    return png(drawn)


def _draw_forest(axes: Axes, name: str, summary: Mapping[str, Any], places: Sequence[float]) -> None:
    for (fold, score), place in zip(summary["folds"].items(), places, strict=False):
        _draw_dot(axes, place, score, None, fold_colour(int(fold)), "o")
    _draw_dot(axes, places[len(summary["folds"])], summary["mean"], summary["interval_95_t"], INK, "D")
    if "pooled" in summary:
        _draw_dot(axes, places[-1], summary["pooled"], summary["pooled_interval_95_bootstrap"], INK, "s")
    axes.axhspan(len(summary["folds"]) - 0.4, places[-1] + 0.9, color=FAINT, alpha=0.45, linewidth=0)
    chance, values = summary["chance"], list(summary["folds"].values())
    where = "dashed"
    if within_reach(chance, values):
        axes.axvline(chance, color=MUTED, linestyle="--", linewidth=1)
    else:
        where = "far to the left" if chance < min(values) else "far to the right"
    better = "higher" if summary["higher_is_better"] else "lower"
    axes.set_xlabel(f"{name} ({better} is better)\nchance {number(chance)} ({where})")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=5)


def _draw_dot(axes: Axes, place: float, score: float, edges: Sequence[float] | None, colour: str, marker: str) -> None:
    """One score with its interval, and its value at the panel's right edge."""
    if edges:
        axes.plot(edges, [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot(score, place, marker, color=colour, markersize=6.5)
    label_right(axes, place, number(score))
