"""A picture of leaderboards: how many teams have which score, the medals' lines, and a run's place among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goldfold.report.plotting.style import FAINT, FOLDS, MUTED, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEDALS = {"gold": "#b8860b", "silver": "#6b7785", "bronze": "#a0522d"}
TAIL = 0.15  # of the teams: the worst are counted and not drawn, or a few would press all others into one bar
BARS = 60
PANEL = 2.7  # inches


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One board. scores: (teams,) best first. marks: what -> score of the run. medals: medal -> the score it needs."""

    title: str
    scores: np.ndarray
    marks: Mapping[str, float]
    medals: Mapping[str, float]
    higher_is_better: bool


@styled()
def score_distributions(panels: Sequence[Panel], metric: str) -> bytes:
    """A PNG with a panel for each board, better scores to the right."""
    drawn = figure(PANEL * len(panels))
    for axes, panel in zip(drawn.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        _draw(axes, panel)
        axes.set_xlabel(f"{metric}, {'' if panel.higher_is_better else 'lower is '}better to the right")
    return png(drawn)


def _draw(axes: Axes, panel: Panel) -> None:
    worst, best = _reach(panel)
    low, high = sorted((worst, best))
    shown = panel.scores[(panel.scores >= low) & (panel.scores <= high)]
    axes.hist(shown, bins=BARS, range=(low, high), color=FAINT, edgecolor=MUTED, linewidth=0.4)
    margin = 0.02 * (best - worst)
    axes.set_xlim(worst - margin, best + margin)
    axes.set_ylabel("teams")
    axes.grid(axis="x", visible=False)
    hidden = len(panel.scores) - len(shown)
    axes.set_title(
        panel.title + (f", the last {hidden:,} left of the picture" if hidden else ""), fontsize=9, loc="left"
    )
    for medal, score in panel.medals.items():
        axes.axvline(score, color=MEDALS[medal], linestyle="--", linewidth=1, label=f"{medal} from {score:g}")
    for place, (told, score) in enumerate(panel.marks.items()):
        colour = FOLDS[place % len(FOLDS)]
        axes.axvline(score, color=colour, linewidth=2, label=f"{told} {score:g}")
        axes.plot(score, 0, marker="^", color=colour, markersize=8, clip_on=False, zorder=5)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)


def _reach(panel: Panel) -> tuple[float, float]:
    """The worst and the best score that are drawn: all but the tail, and the run's own wherever they lie."""
    kept = panel.scores[: max(1, round(len(panel.scores) * (1 - TAIL)))]
    ends = [kept[0], kept[-1], *panel.marks.values()]
    low, high = min(ends), max(ends)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return (low, high) if panel.higher_is_better else (high, low)
