"""A picture of what views, seeds and folds gain: differences with their intervals, fits beside their combination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goldfold.report.plotting.style import FAINT, FOLDS, INK, MUTED, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.34  # inches


@styled()
def gains(found: Mapping[str, Any]) -> bytes:
    """A PNG of `gains.json`: a line for each set of views and for the seeds, below it the fits on hidden labels."""
    differences, folds = _differences(found), found["folds"]
    heights = [1 + len(differences)] * bool(differences) + [2] * bool(folds)
    drawn = figure(LINE * sum(heights) + 0.75 * len(heights))
    panels = list(drawn.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0])
    if differences:
        _draw_differences(panels.pop(0), differences, found["metric"], found["higher_is_better"])
    if folds:
        _draw_fits(panels.pop(0), folds, found["metric"])
    return png(drawn)


def _differences(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is drawn in a line -> its difference."""
    metric = found["metric"]
    shown = {
        f"views {each['views']}\n{each['cost']:.1f} times the cost": each["metrics"][metric]["difference"]
        for each in found["views"] or ()
        if each["views"] != "none"
    }
    if seeds := found["seeds"]:
        shown[f"{seeds['members']} seeds\n{seeds['members']} times the cost"] = seeds["metrics"][metric]["difference"]
    return shown


def _draw_differences(axes: Axes, shown: Mapping[str, Mapping[str, Any]], metric: str, higher_is_better: bool) -> None:
    axes.axvline(0, color=MUTED, linewidth=1)
    for place, each in enumerate(shown.values()):
        if each["interval"]:
            axes.plot(each["interval"], [place, place], color=FOLDS[0], linewidth=2, solid_capstyle="butt")
        axes.plot(each["mean"], place, "o", color=INK, markersize=6)
    axes.set_yticks(range(len(shown)), list(shown))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(
        f"difference in {metric} over folds, 95 % intervals; {'more' if higher_is_better else 'less'} is better"
    )


def _draw_fits(axes: Axes, folds: Mapping[str, Any], metric: str) -> None:
    alone = list(folds["alone"].values())
    axes.plot(alone, [0] * len(alone), "|", color=INK, markersize=14, markeredgewidth=1.5)
    axes.plot(folds["mean"], 0, "o", color=INK, markersize=6)
    axes.plot(folds["together"], 1, "o", color=FOLDS[0], markersize=8)
    axes.axvline(folds["together"], color=FAINT, linewidth=1, zorder=0)
    axes.set_yticks(
        [0, 1], ["each fit alone\nand their mean", f"{len(alone)} fits together\n{len(alone)} times the cost"]
    )
    axes.set_ylim(1.6, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{metric} on the hidden labels")
