"""A study's scores by each parameter, drawn."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.engine.trials import TrialRecord
from goldfold.trust.report.study import Facts, choices, same, shown
from goldfold.trust.report.study_figures import STATE, TITLE, draw_clipped, limits
from goldfold.trust.report.style import FOLDS, INK, MUTED, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE = 3  # panels
PANEL = 2.1  # inches
LINE = 120  # characters of tick labels that fit side by side on the page
SPREAD = 0.28  # of trials with one category, to each side


@styled()
def slices(facts: Facts) -> bytes:
    """A PNG with a panel for each searched parameter: what complete trials scored by its value.

    Values of pruned and failed trials, which have no score to compare, are ticks along the lower edge.
    """
    count = len(facts.space)
    wide = min(count, 2 if count in (2, 4) else WIDE)
    high = -(-count // wide)
    drawn = figure(1.1 + PANEL * high + _slant(facts, wide))
    panels = drawn.subplots(high, wide, squeeze=False, sharey=True)
    for axes in panels.flat[count:]:
        axes.set_axis_off()
    for axes, (key, entry) in zip(panels.flat, facts.space.items(), strict=False):
        _draw(axes, facts, key, entry, LINE // wide)
    if facts.ranked:
        panels[0, 0].set_ylim(limits(facts))
    for axes in panels[:, 0]:
        axes.set_ylabel(facts.metric)
    drawn.suptitle(_finding(facts), fontsize=TITLE["fontsize"], x=0.008, horizontalalignment="left")
    drawn.legend(handles=_key(facts), loc="outside lower center", ncols=6)
    return png(drawn)


def _finding(facts: Facts) -> str:
    plural = "" if len(facts.ranked) == 1 else "s"
    told = f"{facts.metric} ({facts.better} is better) of {len(facts.ranked)} complete trial{plural} by each parameter"
    return f"{told}; titles give trial {facts.winner.number}'s values" if facts.winner else told


def _draw(axes: Axes, facts: Facts, key: str, entry: Any, room: int) -> None:
    """One parameter; room: characters of tick labels that fit side by side."""
    listed = choices(entry)
    if listed is None and entry.get("log"):
        _scale_by_factors(axes, entry)
    lies = _places(facts, key, listed)
    trials = [trial for trial in facts.ranked if trial.number in lies]
    if trials:
        scores = np.array([trial.value for trial in trials])
        draw_clipped(axes, [lies[trial.number] for trial in trials], scores, limits(facts), alpha=0.65)
    for state in ("pruned", "failed"):
        places = [lies[trial.number] for trial in facts.of(state) if trial.number in lies]
        look = {"color": STATE[state], "markersize": 7, "linestyle": "", "alpha": 0.7, "zorder": 1}
        axes.plot(places, [0.02] * len(places), "|", transform=axes.get_xaxis_transform(), **look)
    for trial, look in _marked(facts):
        if trial.number in lies:
            axes.plot(lies[trial.number], trial.value, linestyle="", **look)
    _label(axes, key, entry, facts)
    if not lies:
        axes.text(0.5, 0.5, "never searched", color=MUTED, transform=axes.transAxes, horizontalalignment="center")
        axes.set_xticks([])
    elif listed is not None:
        _name_choices(axes, listed, room)
    else:
        _reach(axes, entry)


def _places(facts: Facts, key: str, listed: Sequence[Any] | None) -> dict[int, float]:
    """Trial -> where its value lies; trials of one category are spread out in their order."""
    lies = {trial.number: trial.params[key] for trial in facts.trials if key in trial.params}
    if listed is None:
        return lies
    columns = {
        number: next(at for at, each in enumerate(listed) if same(each, value)) for number, value in lies.items()
    }
    turn = {number: place * 0.618034 % 1 for place, number in enumerate(columns)}  # golden ratio: near ones lie apart
    return {number: column + SPREAD * (2 * turn[number] - 1) for number, column in columns.items()}


def _marked(facts: Facts) -> list[tuple[TrialRecord, Mapping[str, Any]]]:
    ring = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": INK, "zorder": 4}
    diamond = {"marker": "D", "markersize": 7, "color": INK, "zorder": 5}
    baseline, winner = facts.baseline, facts.winner
    if winner is not None and winner is baseline:
        return [(winner, {**diamond, "label": "best: trial 0, the config itself"})]
    marked = [(baseline, {**ring, "label": "trial 0, the config itself"}), (winner, {**diamond, "label": "winner"})]
    return [(trial, look) for trial, look in marked if trial is not None and trial.value is not None]


def _label(axes: Axes, key: str, entry: Any, facts: Facts) -> None:
    own = facts.winner.params.get(key, "not used") if facts.winner else ""
    told = f"{key}  {textwrap.shorten(shown(own), 28, placeholder='…')}" if facts.winner else key
    condition = entry.get("when") if isinstance(entry, Mapping) else None
    if condition:
        told += "\nwhen " + ", ".join(f"{name} {shown(value)}" for name, value in condition.items())
    axes.set_title(told, fontsize=8.5, loc="left", pad=4)
    axes.tick_params(labelleft=axes.get_subplotspec().is_first_col())


def _name_choices(axes: Axes, listed: Sequence[Any], room: int) -> None:
    """Names below each other where they are short, slanted where they are not; the middle of a long one is left out."""
    names = [shown(choice) or '""' for choice in listed]
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(axis="x", visible=False)
    if not _slanted(names, room):
        axes.set_xticks(range(len(names)), names, fontsize=8)
        return
    look = {"rotation": 42, "horizontalalignment": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), [_short(name) for name in names], fontsize=7, **look)


def _slanted(names: Sequence[str], room: int) -> bool:
    return max(map(len, names)) * len(names) > room


def _slant(facts: Facts, wide: int) -> float:
    """Inches that slanted names take below their panels."""
    rows = set()
    for place, entry in enumerate(facts.space.values()):
        listed = choices(entry)
        if listed is not None and _slanted([shown(choice) for choice in listed], LINE // wide):
            rows.add(place // wide)
    return 0.65 * len(rows)


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-most // 2 + 1 :]}"


def _reach(axes: Axes, entry: Mapping[str, Any]) -> None:
    """The whole range that was searched."""
    low, high = entry["low"], entry["high"]
    if entry.get("log"):
        margin = (high / low) ** 0.04
        axes.set_xlim(low / margin, high * margin)
        return
    axes.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    axes.locator_params(axis="x", nbins=6, integer=isinstance(low, int) and isinstance(high, int))


def _scale_by_factors(axes: Axes, entry: Mapping[str, Any]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    decades = math.log10(entry["high"] / entry["low"])

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    subs = (1,) if decades > 2.4 else (1, 3) if decades > 1.5 else (1, 2, 5) if decades > 0.7 else range(1, 10)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=7))


def _key(facts: Facts) -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(**look: Any) -> Line2D:
        return Line2D([], [], linestyle="", **look)

    entries = [mark(marker="o", color=STATE["complete"], markersize=4.5, label="complete")]
    entries += [mark(**look) for _, look in _marked(facts)]
    if facts.ranked:
        low, high = limits(facts)
        if any(not low <= trial.value <= high for trial in facts.ranked):
            side = "v" if facts.higher_is_better else "^"
            entries.append(mark(marker=side, color=FOLDS[0], markersize=4.5, label="complete, outside the picture"))
    ticks = [state for state in ("pruned", "failed") if facts.of(state)]
    return entries + [mark(marker="|", color=STATE[state], markersize=7, label=f"{state}, no score") for state in ticks]
