"""Search the largest batch that fits and the throughput knee, by a function that tries one batch size.

Memory of a training step is a line in the batch. A predicted line says where to try first; measured peaks correct it,
since no trace sees workspaces and fragments of the allocator. No answer is a size that was not tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from goldfold.training.capacity.trials import TOO_LARGE, Trial, median_interval

NEAR_BEST = 0.95  # share of the best throughput that the knee reaches
SMALL = (4, 8)  # first sizes without a prediction
MOST_TRIALS = 16  # up to the limit of memory
MOST_TIMED = 5  # beyond those, for the knee
OVERHEAD = 2.0**23  # bytes beside the step, whatever its size: the peak of a model of 50 weights on a CPU
GROWTH = 8  # largest factor from one size to the next where memory does not grow measurably

Try = Callable[[int], Trial]


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


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where to search.

    cap: largest batch worth trying, the number of training samples. limit: bytes that a step may take over the start.
    margin: share of the limit to leave free, and precision of the answer. first: batch size to begin with, the config's
        own. least: smallest batch that the recipe allows.
    """

    cap: int
    limit: float
    margin: float = 0.05
    first: int = 16
    least: int = 1


@dataclass
class Search:
    """The trials so far, in order; `predicted` is the line of a trace, None without one.

    repeated: sizes that were tried twice. foreseen: batch -> bytes that were expected before it was tried.
    """

    attempt: Try
    bounds: Bounds
    predicted: Line | None
    trials: list[Trial] = field(default_factory=list)
    repeated: set[int] = field(default_factory=set)
    foreseen: dict[int, float] = field(default_factory=dict)

    def repeat(self, batch: int) -> None:
        """Try a size again and keep the faster trial: whatever else the machine does can only slow a trial down."""
        self.repeated.add(batch)
        place = next(number for number, trial in enumerate(self.trials) if trial.batch == batch)
        again = self.attempt(batch)
        if again.fits and again.rate > self.trials[place].rate:
            self.trials[place] = again

    def tried(self, batch: int) -> Trial:
        """The trial at a batch size, made once."""
        known = [trial for trial in self.trials if trial.batch == batch]
        if not known:
            if line := self.expected():
                self.foreseen[batch] = line.at(batch)
            self.trials.append(self.attempt(batch))
        return known[0] if known else self.trials[-1]

    @property
    def fitting(self) -> dict[int, Trial]:
        return {trial.batch: trial for trial in sorted(self.trials, key=lambda each: each.batch) if trial.fits}

    @property
    def largest(self) -> int:
        """The largest tried batch that fits; 0 if none does."""
        return max(self.fitting, default=0)

    @property
    def too_large(self) -> int:
        """The smallest tried batch that does not fit; one above the cap if there is none."""
        failed = [trial.batch for trial in self.trials if trial.status in TOO_LARGE and trial.batch > self.largest]
        return min([*failed, self.bounds.cap + 1])

    def expected(self) -> Line | None:
        """The line by what was measured: the predicted one, corrected by the largest peak, or one through two peaks."""
        peaks = [(batch, float(trial.peak)) for batch, trial in self.fitting.items() if trial.peak is not None]
        if self.predicted and peaks:
            batch, peak = peaks[-1]
            beside = min(OVERHEAD, max(0.0, peak - self.predicted.at(batch)))
            factor = (peak - beside) / self.predicted.at(batch)
            return Line(beside + self.predicted.fixed * factor, self.predicted.per_sample * factor)
        return line_through(peaks[0], peaks[-1]) if len(peaks) > 1 else self.predicted


def find_largest(search: Search) -> int:
    """Try sizes until the largest batch that fits is known within the margin; 0 if the least one does not fit.

    A trial that fails for another reason than memory ends the search, since smaller batches fail likewise.
    """
    size, least = _first(search), search.bounds.least
    for _ in range(MOST_TRIALS):
        trial = search.tried(size)
        following = size - 1 if trial.status == "single_row" else _next(search)
        if trial.status == "failed" or following is None or following <= search.largest or following < least:
            break
        size = following
    return search.largest


def _first(search: Search) -> int:
    """The first size: the config's own, or less where a trace says that it may not fit even into half of the limit.

    What a trace does not see has been measured to be 0.7 of what it sees on a CPU, so a half is on the safe side.
    """
    bounds, line = search.bounds, search.predicted
    own = min(bounds.cap, max(bounds.least, bounds.first if line else SMALL[0]))
    return max(bounds.least, min(own, line.largest_below(bounds.limit / 2, bounds.cap))) if line else own


def _next(search: Search) -> int | None:
    """The next size to try; None once the answer is known."""
    bounds, largest, too_large = search.bounds, search.largest, search.too_large
    if too_large <= bounds.least or too_large - largest <= max(1, bounds.margin * too_large):
        return None
    if not largest:
        return max(bounds.least, too_large // 2)
    if (search.fitting[largest].peak or 0) >= (1 - 2 * bounds.margin) * bounds.limit:
        return None
    goal = _goal(search)
    if goal <= largest:
        return None if too_large > bounds.cap else _between(largest, too_large)
    return goal if goal < too_large else _between(largest, too_large)


def _goal(search: Search) -> int:
    """The size that fills memory up to the margin, as far as is known; some times the largest one if nothing is."""
    bounds, line = search.bounds, search.expected()
    if search.predicted is None and len(search.fitting) == 1:
        return min(bounds.cap, 2 * search.largest)
    if line is None or line.per_sample <= 0:
        return min(bounds.cap, GROWTH * search.largest)
    return line.largest_below((1 - bounds.margin) * bounds.limit, bounds.cap)


def _between(largest: int, too_large: int) -> int:
    """A size between one that fits and one that does not: a tenth below the latter at first, then in the middle."""
    return max((largest + too_large) // 2, math.floor(0.9 * too_large))


def find_knee(search: Search, most: int = MOST_TIMED) -> int:
    """The smallest tried batch within 5 % of the best throughput; tries up to `most` more sizes. 0 if none fits.

    A batch is slower only if the whole interval of its median rate lies below 95 % of the best median, so one noisy
    round does not end the search; and the next smaller size than the answer has been slower twice.
    """
    for _ in range(most):
        following, slower = _next_timed(search), _slower(search)
        if following is not None:
            search.tried(following)
        elif slower:
            search.repeat(slower)
        else:
            break
    return knee(search.fitting)


def knee(fitting: Mapping[int, Trial]) -> int:
    """The smallest batch of those that fit which is not shown to be slower than 95 % of the best; 0 without any."""
    best = max((trial.rate for trial in fitting.values()), default=0.0)
    return min((b for b, t in fitting.items() if t.rates and not is_slower(t, best)), default=0)


def is_slower(trial: Trial, best: float) -> bool:
    """Whether the interval of a trial's rate lies below 95 % of the best median rate."""
    return median_interval(trial.rates)[1] < NEAR_BEST * best


def _slower(search: Search) -> int:
    """The next smaller size that fits and was slower once; 0 if there is none."""
    below = max((batch for batch in search.fitting if batch < knee(search.fitting)), default=0)
    return 0 if below in search.repeated else below


def _next_timed(search: Search) -> int | None:
    """The size between the knee so far and the next smaller one, until both are within a factor of two."""
    own = knee(search.fitting)
    below = max((trial.batch for trial in search.trials if trial.batch < own), default=0)
    if own <= search.bounds.least or own - below <= 1 or (below and own <= 2 * below):
        return None
    return max(search.bounds.least, round(math.sqrt(own * below)) if below else own // 2)
