"""CV against leaderboard over submissions: rank correlation, which two to select, and a scatter plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from goldfold.io.formatting import interval, number
from goldfold.report.plotting.style import FOLDS, INK, MUTED, figure, png, styled, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_SUBMISSIONS = 4  # with fewer, the interval of a rank correlation is unbounded
COLUMNS, HIGH = 84, 40  # of text below and beside a panel
MAX_NAMED = 14  # points that are labeled by name; with more, names would overlap
STYLES: dict[str, dict[str, Any]] = {
    "public": {"color": FOLDS[0], "marker": "o"},
    "private": {"color": FOLDS[1], "marker": "s"},
}


class Agreement(NamedTuple):
    """Spearman's rank correlation rho with its 95 % interval (low, high), over n submissions."""

    rho: float
    low: float
    high: float
    n: int


class Point(NamedTuple):
    """A scored submission.

    cv, sd: mean and standard deviation over folds; sd is NaN for one fold. public, private: leaderboard scores, NaN if
    unknown.
    """

    name: str
    cv: float
    sd: float
    public: float
    private: float


def agreement(cv: Sequence[float], scores: Sequence[float]) -> Agreement | None:
    """Spearman's rank correlation of the finite pairs; None for fewer than four pairs or if all values are tied.

    The 95 % interval uses Fisher's z with the standard error sqrt((1 + rho^2 / 2) / (n - 3)) of Bonett and Wright,
    "Sample size requirements for estimating Pearson, Kendall and Spearman correlations" (2000). The z of a perfect
    ranking is infinite, so rho is lowered by half the effect of one swap of neighbors: four in order prove little.
    """
    from scipy.stats import spearmanr

    pairs = np.array([pair for pair in zip(cv, scores, strict=True) if np.isfinite(pair).all()])
    n = len(pairs)
    if n < MIN_SUBMISSIONS or (np.ptp(pairs, axis=0) == 0).any():
        return None
    rho = float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    most = 1 - 6 / (n * (n**2 - 1))
    z = math.atanh(float(np.clip(rho, -most, most)))
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = math.tanh(z - half), math.tanh(z + half)
    return Agreement(rho, min(low, rho), max(high, rho), n)


def two_to_select(points: Sequence[Point], higher_is_better: bool) -> dict[str, list[str]]:
    """The names of the best two submissions by CV, by public score, and by the mean of both ranks (ties by CV)."""
    from scipy.stats import rankdata

    known = [point for point in points if math.isfinite(point.cv) and math.isfinite(point.public)]
    if not known:
        return {"CV": [], "public": [], "both": []}
    sign = -1 if higher_is_better else 1
    by_cv, by_public = (rankdata([sign * getattr(point, part) for point in known]) for part in ("cv", "public"))
    orders = {"CV": (by_public, by_cv), "public": (by_cv, by_public), "both": (by_cv, by_cv + by_public)}
    return {rule: [known[index].name for index in np.lexsort(keys)[:2]] for rule, keys in orders.items()}


@styled()
def cv_against_leaderboard(boards: Mapping[str, Sequence[Point]], metric: str, higher_is_better: bool) -> bytes:
    """A PNG of leaderboard scores by CV, a panel for each board; on the dashed line both are equal."""
    drawn = figure(4.6)
    panels = drawn.subplots(1, len(boards), squeeze=False)[0]
    better = "higher" if higher_is_better else "lower"
    for axes, (board, points) in zip(panels, boards.items(), strict=True):
        _scatter(axes, points)
        axes.set_title(board, loc="left", fontsize=9)
        told = f"CV {metric} ({better} is better); bars: ± sd over folds, ddof=1"
        axes.set_xlabel(wrapped(told, COLUMNS // len(boards)))
        axes.set_ylabel(wrapped(f"leaderboard {metric}", HIGH))
    known: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    drawn.legend(list(known.values()), list(known), loc="outside lower left", ncols=3)
    return png(drawn)


def _scatter(axes: Axes, points: Sequence[Point]) -> None:
    cv, sd = (np.array([getattr(point, part) for point in points]) for part in ("cv", "sd"))
    for part, style in STYLES.items():
        scores = np.array([getattr(point, part) for point in points])
        known = np.isfinite(scores)
        if known.any():
            bars = np.nan_to_num(sd[known])
            thin: dict[str, Any] = {"ecolor": MUTED, "elinewidth": 0.8}
            axes.errorbar(cv[known], scores[known], xerr=bars, linestyle="none", label=part, **style, **thin)
    axes.margins(0.12)
    if len(points) <= MAX_NAMED:
        middle = sum(axes.get_xlim()) / 2
        for point in points:
            height = point.public if math.isfinite(point.public) else point.private
            left = point.cv < middle
            axes.annotate(
                point.name,
                (point.cv, height),
                xytext=(5 if left else -5, -9),
                textcoords="offset points",
                horizontalalignment="left" if left else "right",
                fontsize=7,
                color=INK,
            )
    _draw_equality(axes)


def _draw_equality(axes: Axes) -> None:
    """Draw the line where leaderboard score and CV are equal, if it crosses the panel."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if max(left, low) < min(right, high):
        axes.axline((left, left), slope=1, color=MUTED, linestyle="--", linewidth=1, label="leaderboard = CV", zorder=0)
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)


def agreement_text(found: Agreement | None, part: str, known: int) -> str:
    """The rank correlation in a line.

    part: public or private. known: number of submissions with a CV and a score of that part.
    """
    if found is None:
        few = f"{known} of at least {MIN_SUBMISSIONS} submissions are scored"
        why = "all CV scores or all leaderboard scores are equal" if known >= MIN_SUBMISSIONS else few
        return f"rank correlation of CV and {part} score: none yet, {why}"
    edges = interval((found.low, found.high))
    return f"rank correlation of CV and {part} score {number(found.rho)}, 95 % interval {edges}, {found.n} submissions"
