"""Coordinates of the plot of scores over time; the page draws them as an SVG that scales to any width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldfold.board.database import Hosted, Submission
from goldfold.board.standings import public_score
from goldfold.board.times import moment

WIDTH, HEIGHT = 1000, 300  # of the SVG's own coordinates, y downwards
MARGIN = 0.06  # of the height, above and below the outermost scores
NEWEST = 1000  # submissions that are drawn


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    submission: Submission


@dataclass(frozen=True)
class Plot:
    """Scores over time. dots: oldest first; best: SVG path of the best score so far; high, middle, low: axis labels."""

    dots: Sequence[Dot]
    best: str
    high: float
    middle: float
    low: float


def over_time(submissions: Sequence[Submission], hosted: Hosted) -> Plot | None:
    """Plot the public scores of scored `submissions`, which are oldest first; None for fewer than two."""
    drawn = submissions[-NEWEST:]
    if len(drawn) < 2:
        return None
    scores = [public_score(each) for each in drawn]
    times = [moment(each.date).timestamp() for each in drawn]
    low, high = min(scores), max(scores)
    if low == high:
        low, high = low - 0.5, high + 0.5
    dots = [
        Dot(_along(time, times[0], times[-1]), _up(score, low, high), each)
        for time, score, each in zip(times, scores, drawn, strict=True)
    ]
    return Plot(dots, _best(dots, hosted.higher_is_better), high, (low + high) / 2, low)


def _along(time: float, first: float, last: float) -> float:
    share = (time - first) / (last - first) if last > first else 0.5
    return round(WIDTH * (0.02 + 0.96 * share), 1)


def _up(score: float, low: float, high: float) -> float:
    return round(HEIGHT * (1 - MARGIN - (1 - 2 * MARGIN) * (score - low) / (high - low)), 1)


def _best(dots: Sequence[Dot], higher_is_better: bool) -> str:
    """SVG path of the best score so far, from the first submission to the right edge."""
    better = min if higher_is_better else max  # y grows downwards
    y = dots[0].y
    steps = [f"M{dots[0].x} {y}"]
    for dot in dots[1:]:
        if better(dot.y, y) != y:
            y = dot.y
            steps.append(f"H{dot.x}V{y}")
    return "".join([*steps, f"H{WIDTH}"])
