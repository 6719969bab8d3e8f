"""Scores over time as the geometry of a small picture; the page draws it as SVG that stretches to any width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldfold.board.database import Hosted, Submission
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
    """dots: oldest first; best: the path of the best score so far; high, middle, low: scores at the margins."""

    dots: Sequence[Dot]
    best: str
    high: float
    middle: float
    low: float


def over_time(submissions: Sequence[Submission], hosted: Hosted) -> Plot | None:
    """The public scores of scored `submissions`, oldest first; None where fewer than two make a picture."""
    drawn = submissions[-NEWEST:]
    if len(drawn) < 2:
        return None
    scores = [each.public_score for each in drawn]
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
    """Steps through the best score so far, from the first submission to the right edge."""
    better = min if higher_is_better else max  # y grows downwards
    y = dots[0].y
    steps = [f"M{dots[0].x} {y}"]
    for dot in dots[1:]:
        if better(dot.y, y) != y:
            y = dot.y
            steps.append(f"H{dot.x}V{y}")
    return "".join([*steps, f"H{WIDTH}"])
