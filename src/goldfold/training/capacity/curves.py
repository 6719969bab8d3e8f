"""Memory of a training step over the batch: a line, or the larger of two."""

from __future__ import annotations

import math
from typing import NamedTuple

OVERHEAD = 2.0**23  # bytes beside the step, whatever its size: the peak of a model of 50 weights on a CPU


class Line(NamedTuple):
    """Bytes of a training step: fixed + per_sample * batch."""

    fixed: float
    per_sample: float

    def at(self, batch: int) -> float:
        """Bytes at a batch size."""
        return self.fixed + self.per_sample * batch

    def largest_below(self, limit: float, cap: int) -> int:
        """The largest batch size of 1 to `cap` that stays within `limit` bytes; 1 if none does."""
        if self.at(cap) <= limit:
            return cap
        return max(1, min(cap, math.floor((limit - self.fixed) / self.per_sample))) if self.per_sample > 0 else 1


def line_through(first: tuple[int, float], second: tuple[int, float]) -> Line:
    """The line through two points (batch, bytes) of different batch."""
    slope = (second[1] - first[1]) / (second[0] - first[0])
    return Line(first[1] - slope * first[0], slope)


class Hull(NamedTuple):
    """The larger of two lines: with few samples memory peaks in the optimizer's step, with many before it."""

    few: Line
    many: Line

    def at(self, batch: int) -> float:
        """Bytes at a batch size."""
        return max(self.few.at(batch), self.many.at(batch))

    def largest_below(self, limit: float, cap: int) -> int:
        """The largest batch size of 1 to `cap` that stays within `limit` bytes; 1 if none does."""
        return min(self.few.largest_below(limit, cap), self.many.largest_below(limit, cap))


def corrected(curve: Line | Hull, batch: int, peak: float) -> Line | Hull:
    """The curve times a factor, beside an overhead, so that it goes through a measured peak."""
    if isinstance(curve, Hull):
        few, many = (Line(*line) for line in curve)
        return Hull(_scaled(few, curve.at(batch), peak), _scaled(many, curve.at(batch), peak))
    return _scaled(curve, curve.at(batch), peak)


def _scaled(line: Line, predicted: float, peak: float) -> Line:
    beside = min(OVERHEAD, max(0.0, peak - predicted))
    factor = (peak - beside) / predicted
    return Line(beside + line.fixed * factor, line.per_sample * factor)
