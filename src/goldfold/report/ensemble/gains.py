"""Gains of test-time views, seeds and folds, as a table, as text and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from goldfold.io.formatting import change, duration, relative_change
from goldfold.report.plotting.style import FAINT, FOLDS, INK, MUTED, figure, png, styled
from goldfold.trust.comparisons import Difference, difference_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLAIN = "none"  # the set of views that others are compared with: the image as it is
LINE = 0.34  # inches
NOTHING = (None, None, None, None)  # the gain of what others are compared with


def table(found: Mapping[str, Any]) -> DataFrame:
    """A row per way to predict: its score by the competition's metric, its gain and its cost.

    found: the content of `gains.json`. Columns: part (views, seeds or folds); way; score, the mean over folds, or on
    the hidden labels if the part is folds; difference to the first row of the part; its 95 % interval, low and high
    (missing for folds); better, in how many folds (fits, for folds); cost, in multiples of the first row.
    """
    rows = [*_view_table(found), *_seed_table(found), *_fold_table(found)]
    frame = DataFrame(rows, columns=["part", "way", "score", "difference", "low", "high", "better", "cost"])
    return frame.astype(dict.fromkeys(("difference", "low", "high", "better"), float))


def lines(run: str, found: Mapping[str, Any]) -> list[str]:
    """A line per way to predict: its score by the competition's metric, its gain and its cost."""
    better = "higher" if found["higher_is_better"] else "lower"
    told = [f"{run}  {found['metric']}, {better} is better; differences to the first line of a block, over folds"]
    for rows in (_view_lines(found), _seed_lines(found), _fold_lines(found)):
        told += [f"  {what:28}  {score:.4f}  {gain:68}  {cost}".rstrip() for what, score, gain, cost in rows]
    told += [f"  {what} not measured: {why}" for what, why in found["not_measured"].items()]
    if found["views"]:
        told.append("the best set of views is selected on these folds, so its score is optimistic")
    return told


def _view_table(found: Mapping[str, Any]) -> list[tuple]:
    rows = []
    for each in found["views"] or ():
        own = each["metrics"][found["metric"]]
        gain = NOTHING if each["views"] == PLAIN else _gain(own["difference"])
        rows.append(("views", each["views"], own["mean"], *gain, each["cost"]))
    return rows


def _seed_table(found: Mapping[str, Any]) -> list[tuple]:
    if not (seeds := found["seeds"]):
        return []
    alone, together = (seeds[part][found["metric"]] for part in ("alone", "metrics"))
    return [
        ("seeds", "one seed", alone["mean"], *NOTHING, 1),
        ("seeds", f"{seeds['members']} together", together["mean"], *_gain(together["difference"]), seeds["members"]),
    ]


def _fold_table(found: Mapping[str, Any]) -> list[tuple]:
    if not (folds := found["folds"]):
        return []
    gain = (folds["together"] - folds["mean"], None, None, folds["better"])
    return [
        ("folds", "one fit", folds["mean"], *NOTHING, 1),
        ("folds", f"{folds['members']} together", folds["together"], *gain, folds["members"]),
    ]


def _gain(difference: Mapping[str, Any]) -> tuple:
    return difference["mean"], *(difference["interval"] or (None, None)), difference["better"]


def _view_lines(found: Mapping[str, Any]) -> list[tuple[str, float, str, str]]:
    rows = []
    for each in found["views"] or ():
        own = each["metrics"][found["metric"]]
        what = f"views {each['views']}{', as trained' if each['own'] else ''}"
        gain = "" if each["views"] == PLAIN else difference_text(Difference(**own["difference"]), found["bounds"])
        rows.append(
            (what, own["mean"], gain, f"{_spent(each['seconds_per_1000_rows'])} of {each['clock']} per 1,000 rows")
        )
    return rows


def _spent(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _seed_lines(found: Mapping[str, Any]) -> list[tuple[str, float, str, str]]:
    if not (seeds := found["seeds"]):
        return []
    together, alone = (seeds[part][found["metric"]] for part in ("metrics", "alone"))
    several = f"seeds, {seeds['members']} together"
    gain = difference_text(Difference(**together["difference"]), found["bounds"])
    return [
        (f"seeds, one of {seeds['members']}", alone["mean"], "", "once"),
        (several, together["mean"], gain, f"{seeds['members']} times"),
    ]


def _fold_lines(found: Mapping[str, Any]) -> list[tuple[str, float, str, str]]:
    if not (folds := found["folds"]):
        return []
    members, mean = folds["members"], folds["mean"]
    apart = folds["together"] - mean
    gain = change(apart, relative_change(apart, mean), found["bounds"])
    told = f"{gain}, better than {folds['better']} of {members} fits"
    spread = f"sd {folds['sd_ddof1']:.4f} over fits"
    return [
        (f"hidden labels, one fit of {members}", mean, spread, "once"),
        (f"hidden labels, {members} together", folds["together"], told, f"{members} times"),
    ]


@styled()
def gains(found: Mapping[str, Any]) -> bytes:
    """A PNG of `gains.json`: the gain of each set of views and of the seeds, below it the fits on hidden labels."""
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
    """Label of a line -> its difference."""
    metric = found["metric"]
    shown = {
        f"views {each['views']}\n{each['cost']:.1f} times the {each['clock']}": each["metrics"][metric]["difference"]
        for each in found["views"] or ()
        if each["views"] != PLAIN
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
