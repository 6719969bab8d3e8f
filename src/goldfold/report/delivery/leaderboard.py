"""Picture of leaderboards: distribution of team scores, medal thresholds, and the run's own scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goldfold.report.plotting.style import FAINT, FOLDS, MUTED, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEDALS = {"gold": "#b8860b", "silver": "#6b7785", "bronze": "#a0522d"}
TAIL = 0.15  # share of teams, the worst, that is left out: a few very bad scores would squeeze all others together
BARS = 60
PANEL = 2.7  # inches, height of a panel


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One leaderboard, public or private.

    scores: (teams,) best first. marks: name -> a score of the run, such as its CV. medals: medal -> lowest score.
    """

    title: str
    scores: np.ndarray
    marks: Mapping[str, float]
    medals: Mapping[str, float]
    higher_is_better: bool


@styled()
def score_distributions(panels: Sequence[Panel], metric: str) -> bytes:
    """A PNG with a histogram of team scores for each leaderboard, better scores to the right."""
    drawn = figure(PANEL * len(panels))
    for axes, panel in zip(drawn.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        _draw(axes, panel)
        axes.set_xlabel(f"{metric} ({'higher' if panel.higher_is_better else 'lower'} is better, to the right)")
    return png(drawn)


def _draw(axes: Axes, panel: Panel) -> None:
    worst, best = _drawn_range(panel)
    low, high = sorted((worst, best))
    shown = panel.scores[(panel.scores >= low) & (panel.scores <= high)]
    axes.hist(shown, bins=BARS, range=(low, high), color=FAINT, edgecolor=MUTED, linewidth=0.4)
    margin = 0.02 * (best - worst)
    axes.set_xlim(worst - margin, best + margin)
    axes.set_ylabel("teams")
    axes.grid(axis="x", visible=False)
    hidden = len(panel.scores) - len(shown)
    axes.set_title(panel.title + (f", the worst {hidden:,} not shown" if hidden else ""), fontsize=9, loc="left")
    for medal, score in panel.medals.items():
        axes.axvline(score, color=MEDALS[medal], linestyle="--", linewidth=1, label=f"{medal} from {score:g}")
    for index, (name, score) in enumerate(panel.marks.items()):
        color = FOLDS[index % len(FOLDS)]
        axes.axvline(score, color=color, linewidth=2, label=f"{name} {score:g}")
        axes.plot(score, 0, marker="^", color=color, markersize=8, clip_on=False, zorder=5)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)


def _drawn_range(panel: Panel) -> tuple[float, float]:
    """The worst and the best score drawn: all but the tail, and always the run's own scores."""
    kept = panel.scores[: max(1, round(len(panel.scores) * (1 - TAIL)))]
    ends = [kept[0], kept[-1], *panel.marks.values()]
    low, high = min(ends), max(ends)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return (low, high) if panel.higher_is_better else (high, low)
