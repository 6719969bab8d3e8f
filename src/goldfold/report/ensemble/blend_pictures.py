"""Picture of a blend: scores of runs and methods, differences to the best run, and weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goldfold.experiment.intervals.limits import over_folds
from goldfold.io.formatting import number, shortened, shortened_apart
from goldfold.report.ensemble.blends import Facts, against_best, learned_weights, rows_of
from goldfold.report.plotting.style import FAINT, INK, MUTED, figure, fold_color, label_right, png, styled, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.27  # inches for a run or a method
HALF = 36  # columns of text below one of two panels
NAME = 36  # columns of a run's name


@styled()
def blend(facts: Facts) -> bytes:
    """A PNG from the content of `blend.json`: dots are folds, bars are 95 % intervals over folds."""
    lines, runs = rows_of(facts), len(facts["runs"])
    weighing = learned_weights(facts)
    drawn = figure(1.4 + LINE * len(lines) + (1.1 + LINE * runs if weighing else 0))
    parts = drawn.subfigures(
        1 + bool(weighing), 1, squeeze=False, height_ratios=[len(lines) + 4, runs + 4][: 1 + bool(weighing)]
    )
    _draw_scores(parts[0, 0].subplots(1, 2, sharey=True), facts, lines)
    if weighing:
        _draw_weights(parts[1, 0].subplots(1, len(weighing), sharey=True, squeeze=False)[0], facts, weighing)
    drawn.legend(handles=_key(facts), loc="outside lower center", ncols=8)
    return png(drawn)


def _draw_scores(panels: Sequence[Axes], facts: Facts, lines: Mapping[str, Any]) -> None:
    """Draw folds, mean and interval of each line at the left, its paired difference to the best run at the right."""
    left, right = panels
    better = "higher" if facts["higher_is_better"] else "lower"
    left.set_yticks(range(len(lines)), _names(lines))
    left.set_ylim(len(lines) - 0.4, -0.6)
    below = f"{facts['metric']} ({better} is better)", f"difference to {facts['best_run']}"
    left.set_xlabel(f"{wrapped(below[0], HALF)}\n95 % interval of the mean (t)")
    right.set_xlabel(f"{wrapped(below[1], HALF)}\npaired over folds, 95 % interval")
    for axes in panels:
        axes.axhspan(-0.6, len(facts["runs"]) - 0.5, color=FAINT, alpha=0.45, linewidth=0)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.locator_params(axis="x", nbins=5)
        axes.margins(x=0.08)
    right.axvline(0, color=MUTED, linestyle="--", linewidth=1)
    for place, (name, own) in enumerate(lines.items()):
        edges = over_folds(list(own["folds"].values()), facts["bounds"])
        _draw_line(left, place, own["folds"], own["mean"], edges)
        if name != facts["best_run"]:
            found, reference = against_best(facts, own), facts["runs"][facts["best_run"]]["folds"]
            apart = {fold: value - reference[fold] for fold, value in own["folds"].items()}
            _draw_line(right, place, apart, found.mean, found.interval)
        label_right(right, place, number(own["mean"]))


def _draw_line(
    axes: Axes, place: float, folds: Mapping[str, float], mean: float, edges: Sequence[float] | None
) -> None:
    for fold, value in folds.items():
        axes.plot(value, place + 0.2, "o", color=fold_color(int(fold)), markersize=2.8)
    if edges:
        axes.plot(edges, [place - 0.1] * 2, color=INK, linewidth=1.6, solid_capstyle="butt")
    axes.plot(mean, place - 0.1, "D", color=INK, markersize=5)


def _draw_weights(panels: Sequence[Axes], facts: Facts, weighing: Mapping[str, Any]) -> None:
    """Draw a panel for each method that learns weights: of each fold, and of all folds."""
    panels[0].set_yticks(range(len(facts["runs"])), _names(facts["runs"]))
    panels[0].set_ylim(len(facts["runs"]) - 0.4, -0.6)
    for axes, (name, own) in zip(panels, weighing.items(), strict=True):
        for fold, values in own["folds"].items():
            places = [place + 0.2 for place in range(len(values))]
            axes.plot(values, places, "o", color=fold_color(int(fold)), markersize=2.8)
        axes.plot(own["all"], [place - 0.1 for place in range(len(own["all"]))], "D", color=INK, markersize=5)
        shares = facts["methods"][name]["told"] == ""
        if shares:
            axes.set_xlim(-0.04, 1.04)
        else:
            axes.axvline(0, color=MUTED, linestyle="--", linewidth=1)
        axes.set_xlabel(f"{name}, {'weight' if shares else 'coefficient'}")
        axes.tick_params(axis="y", length=0)


def _names(lines: Iterable[str]) -> list[str]:
    """Names of runs and methods, cut so that different ones stay different."""
    return shortened_apart(list(lines), lambda name: shortened(name, NAME))


def _key(facts: Facts) -> list[Any]:
    from matplotlib.lines import Line2D

    folds = facts["blend"]["folds"]
    dots = [
        Line2D([], [], color=fold_color(int(fold)), linestyle="", marker="o", label=f"fold {fold}") for fold in folds
    ]
    return [*dots, Line2D([], [], color=INK, linestyle="", marker="D", label="mean; of weights: all folds")]
