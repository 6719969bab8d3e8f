"""What the submissions so far say: does CV rank as the leaderboard does, which two to select, and a picture of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from goldfold.io.formatting import interval, number
from goldfold.report.plotting.style import FOLDS, INK, MUTED, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 4  # submissions, below which the interval of a rank correlation has no end
NAMED = 14  # points that can carry a name each
LOOKS = {"public": {"color": FOLDS[0], "marker": "o"}, "private": {"color": FOLDS[1], "marker": "s"}}


class Agreement(NamedTuple):
    """Spearman's rank correlation, its 95 % interval, and of how many submissions."""

    rho: float
    low: float
    high: float
    n: int


class Point(NamedTuple):
    """A scored submission; sd is of the CV over folds, nan for one fold; nan where a score is not known."""

    name: str
    cv: float
    sd: float
    public: float
    private: float


def agreement(cv: Sequence[float], scores: Sequence[float]) -> Agreement | None:
    """Rank correlation of finite pairs; None for fewer than `FEWEST`, or where one side is all ties.

    The interval is Fisher's z with the standard error sqrt((1 + rho^2 / 2) / (n - 3)) of Bonett and Wright,
    "Sample size requirements for estimating Pearson, Kendall and Spearman correlations" (2000). A perfect ranking,
    whose z is infinite, counts as half a swap of neighbours below it: four in a row are no proof.
    """
    from scipy.stats import spearmanr

    pairs = np.array([pair for pair in zip(cv, scores, strict=True) if np.isfinite(pair).all()])
    n = len(pairs)
    if n < FEWEST or (np.ptp(pairs, axis=0) == 0).any():
        return None
    rho = float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    most = 1 - 6 / (n * (n**2 - 1))
    z = math.atanh(float(np.clip(rho, -most, most)))
    reach = 1.959964 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = math.tanh(z - reach), math.tanh(z + reach)
    return Agreement(rho, min(low, rho), max(high, rho), n)


def two_to_select(points: Sequence[Point], higher_is_better: bool) -> dict[str, list[str]]:
    """The best two names by CV, by public score, and by both: the smallest mean of the two ranks, ties by CV."""
    from scipy.stats import rankdata

    seen = [point for point in points if math.isfinite(point.cv) and math.isfinite(point.public)]
    if not seen:
        return {"CV": [], "public": [], "both": []}
    sign = -1 if higher_is_better else 1
    by_cv, by_public = (rankdata([sign * getattr(point, part) for point in seen]) for part in ("cv", "public"))
    orders = {"CV": (by_public, by_cv), "public": (by_cv, by_public), "both": (by_cv, by_cv + by_public)}
    return {rule: [seen[place].name for place in np.lexsort(keys)[:2]] for rule, keys in orders.items()}


@styled()
def against(boards: Mapping[str, Sequence[Point]], metric: str, higher_is_better: bool) -> bytes:
    """A PNG of public and private scores by CV, a panel for each board; on the dashed line they are equal."""
    drawn = figure(4.6)
    panels = drawn.subplots(1, len(boards), squeeze=False)[0]
    better = "higher" if higher_is_better else "lower"
    for axes, (board, points) in zip(panels, boards.items(), strict=True):
        _scatter(axes, points)
        axes.set_title(board, loc="left", fontsize=9)
        axes.set_xlabel(f"CV {metric}, bars are sd over folds; {better} is better")
        axes.set_ylabel(f"leaderboard {metric}")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.13), ncols=3, borderaxespad=0)
    return png(drawn)


def _scatter(axes: Axes, points: Sequence[Point]) -> None:
    cv, sd = (np.array([getattr(point, part) for point in points]) for part in ("cv", "sd"))
    for part, look in LOOKS.items():
        scores = np.array([getattr(point, part) for point in points])
        known = np.isfinite(scores)
        if known.any():
            bars = np.nan_to_num(sd[known])
            faint = {"ecolor": MUTED, "elinewidth": 0.8}
            axes.errorbar(cv[known], scores[known], xerr=bars, linestyle="none", label=part, **look, **faint)
    axes.margins(0.12)
    if len(points) <= NAMED:
        middle = sum(axes.get_xlim()) / 2
        for point in points:
            height = point.public if math.isfinite(point.public) else point.private
            side = {"ha": "left", "xytext": (5, -9)} if point.cv < middle else {"ha": "right", "xytext": (-5, -9)}
            axes.annotate(point.name, (point.cv, height), textcoords="offset points", fontsize=7, color=INK, **side)
    _equal(axes)


def _equal(axes: Axes) -> None:
    """The line on which a score is what CV promised, where it crosses the picture."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if max(left, low) < min(right, high):
        axes.axline((left, left), slope=1, color=MUTED, linestyle="--", linewidth=1, label="as CV says", zorder=0)
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)


def told(found: Agreement | None, part: str, known: int) -> str:
    """The rank correlation in a line; known: submissions with a CV and a score of that part."""
    if found is None:
        why = "all CVs or all scores are equal" if known >= FEWEST else f"{known} of at least {FEWEST} submissions"
        return f"rank correlation of CV with {part}: none yet, {why}"
    edges = interval((found.low, found.high))
    return f"rank correlation of CV with {part} {number(found.rho)}, 95 % {edges} over {found.n} submissions"
