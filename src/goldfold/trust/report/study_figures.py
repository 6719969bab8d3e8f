"""A study's scores, trial after trial, and what was spent on each, drawn."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.trust.report.study import Facts, score, signed, signed_interval
from goldfold.trust.report.style import FAINT, FOLDS, INK, MUTED, figure, png, styled, within_reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATE = {"complete": FOLDS[0], "pruned": FOLDS[1], "failed": INK, "running": FAINT}  # apart in grey print too
TITLE = {"fontsize": 10, "loc": "left"}
TITLE_LINE = 84  # characters


@styled()
def history(facts: Facts) -> bytes:
    """A PNG of complete trials' scores with the best so far, and below it the fits of folds spent on every trial."""
    drawn = figure(6.2)
    scores, costs = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1.1))
    scores.set_title(textwrap.fill(headline(facts), TITLE_LINE), **TITLE)
    if facts.ranked:
        _draw_scores(scores, facts)
    scores.set_ylabel(f"{facts.metric} ({facts.better} is better)")
    _draw_costs(costs, facts)
    costs.set_xlim(-0.7, max((trial.number for trial in facts.trials), default=0) + 0.7)
    for axes, below in ((scores, -0.03), (costs, -0.42)):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", bbox_to_anchor=(0, below), ncols=4, borderaxespad=0)
    return png(drawn)


def headline(facts: Facts) -> str:
    """What came out of the study, in a sentence."""
    winner = facts.winner
    if winner is None:
        return f"No trial is complete: {facts.states}"
    own = f"{facts.metric} {score(winner.value)}"
    if winner.number == 0:
        others = len(facts.trials) - 1
        return f"{f'None of {others} other trials' if others else 'No other trial'} beats the config itself: {own}"
    told = f"Trial {winner.number} is the best of {len(facts.trials)}: {own}"
    if facts.honest:
        gain = facts.honest.gain
        edges = signed_interval(gain.interval)
        return f"{told}, and {score(facts.honest.score)} on new folds, {signed(gain.mean)} {edges} against the config"
    gain = facts.gain(winner)
    return f"{told}, {signed(gain.mean)} {signed_interval(gain.interval)} against the config" if gain else told


def _draw_scores(axes: Axes, facts: Facts) -> None:
    trials = sorted(facts.ranked, key=lambda trial: trial.number)
    numbers, scores = [trial.number for trial in trials], np.array([trial.value for trial in trials])
    best = (np.maximum if facts.higher_is_better else np.minimum).accumulate(scores)
    reach = limits(facts)
    draw_clipped(axes, numbers, scores, reach)
    axes.step(
        [*numbers, facts.trials[-1].number + 0.7], [*best, best[-1]], where="post", color=INK, label="best so far"
    )
    axes.plot(facts.winner.number, facts.winner.value, "D", color=INK, markersize=6.5, zorder=5, label="winner")
    baseline = facts.baseline
    if baseline is not None and baseline.value is not None:
        look = {"color": MUTED, "linestyle": "--", "linewidth": 1.2}
        axes.axhline(baseline.value, label=f"the config itself {score(baseline.value)}", **look)
    if facts.honest:
        look = {"color": FOLDS[2], "linestyle": "-.", "linewidth": 1.6}
        axes.axhline(facts.honest.score, label=f"winner on new folds {score(facts.honest.score)}", **look)
    told = f"chance {score(facts.chance)}"
    if within_reach(facts.chance, reach):
        axes.axhline(facts.chance, color=MUTED, linestyle=":", linewidth=1.2, label=told)
    else:
        where = "below" if facts.chance < reach[0] else "above"
        axes.plot([], [], color=MUTED, linestyle=":", linewidth=1.2, label=f"{told} (far {where})")


def limits(facts: Facts) -> tuple[float, float]:
    """The scores that a picture has room for: all but outliers on the worse side, which would press the others flat.

    An outlier lies three interquartile ranges or more below the lower quartile, the better side up; trial 0 and the
    re-estimated score are never one.
    """
    sign = 1 if facts.higher_is_better else -1
    scores = sign * np.array([trial.value for trial in facts.ranked])
    scores = scores[np.isfinite(scores)]
    lower, upper = np.quantile(scores, (0.25, 0.75)) if len(scores) else (0.0, 0.0)
    kept = list(scores[scores >= lower - 3 * (upper - lower)])
    own = facts.baseline.value if facts.baseline else None
    if own is not None and math.isfinite(own):
        kept.append(sign * own)
    if facts.honest:
        kept.append(sign * facts.honest.score)
    kept = kept or [0.0]
    margin = 0.06 * (max(kept) - min(kept)) or 0.05 * (abs(max(kept)) or 1)
    return tuple(sorted((sign * (min(kept) - margin), sign * (max(kept) + margin))))


def draw_clipped(axes: Axes, places: Sequence[Any], scores: np.ndarray, reach: tuple[float, float], **look: Any) -> int:
    """Dots of scores; where one lies outside of the picture, a triangle at its edge. Returns how many do."""
    places, scores = np.asarray(places), np.asarray(scores)
    inside = (scores >= reach[0]) & (scores <= reach[1])
    look = {"color": STATE["complete"], "markersize": 4.5, "linestyle": "", "markeredgewidth": 0, **look}
    axes.set_ylim(reach)
    axes.plot(places[inside], scores[inside], "o", label="complete", **look)
    out = int((~inside).sum())
    below = scores < reach[0]
    for outside, edge, mark in ((below, reach[0], "v"), (~inside & ~below, reach[1], "^")):
        if outside.any():
            word = "below" if mark == "v" else "above"
            told = f"{outside.sum()} complete, {word} the picture"
            axes.plot(places[outside], [edge] * outside.sum(), mark, label=told, clip_on=False, **look)
    return out


def _draw_costs(axes: Axes, facts: Facts) -> None:
    """How many fits of a fold each trial was given; a pruned or failed one ends where it stopped."""
    from matplotlib.ticker import MaxNLocator

    for state, colour in STATE.items():
        trials = facts.of(state)
        if trials:
            numbers, fits = [trial.number for trial in trials], [max(trial.fits, 0.08) for trial in trials]
            axes.bar(numbers, fits, width=0.8, color=colour, label=f"{len(trials)} {state}", linewidth=0)
    axes.set_ylim(0, len(facts.order) * 1.08)
    axes.set_title(spending(facts), fontsize=9, loc="left")
    axes.set_ylabel("folds fitted")
    axes.set_xlabel("trial")
    axes.grid(axis="x", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))


def spending(facts: Facts) -> str:
    """The fits of folds spent, and what pruning saved of them."""
    told = f"{fits(facts.spent)} fold-fits spent"
    if facts.saved <= 0:
        return f"{told}, none saved by pruning"
    share = 100 * facts.saved / (facts.spent + facts.saved)
    return f"{told}, pruning saved {fits(facts.saved)} ({share:.0f} %)"


def fits(count: float) -> str:
    """
    >>> [fits(count) for count in (204.00000001, 1320.44)]
    ['204', '1,320.4']
    """
    return f"{count:,.1f}".removesuffix(".0")
