"""Search the largest batch that fits and the throughput knee, by a function that tries one batch size.

Memory of a training step is a line in the batch. A predicted line says where to try first; measured peaks correct it,
since no trace sees workspaces and fragments of the allocator. No answer is a size that was not tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from goldfold.training.capacity.curves import Hull, Line, corrected, line_through
from goldfold.training.capacity.trials import TOO_LARGE, Trial, median_interval

NEAR_BEST = 0.95  # share of the best throughput that the knee reaches
SMALL = 4  # first size without a prediction; twice as many are next
MOST_TRIALS = 16  # up to the limit of memory
MOST_TIMED = 5  # beyond those, for the knee
NEAR = 4  # distance within which another size replaces one that leaves a single row
APART = 1.3  # ratio of two sizes whose peaks tell a line
GROWTH = 8  # largest factor from one size to the next where memory does not grow measurably

Try = Callable[[int], Trial]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where to search.

    cap: largest batch worth trying, the number of training samples. limit: bytes that a step may take over the start.
    margin: share of the limit to leave free, and precision of the answer. least: smallest batch that the recipe allows.
    """

    cap: int
    limit: float
    margin: float = 0.05
    least: int = 1


@dataclass
class Search:
    """The trials so far, in order; `predicted` is what traces say, None without them.

    repeated: sizes that were tried twice. foreseen: batch -> bytes that were expected before it was tried.
    """

    attempt: Try
    bounds: Bounds
    predicted: Line | Hull | None
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

    def expected(self) -> Line | Hull | None:
        """Memory by what was measured: the prediction corrected by a peak; once it has failed, a line through two."""
        peaks = [(batch, float(trial.peak)) for batch, trial in self.fitting.items() if trial.peak is not None]
        if not peaks:
            return self.predicted
        apart = [point for point in peaks if point[0] * APART <= peaks[-1][0]]
        refuted = not self.predicted or self.too_large <= self.bounds.cap
        if apart and refuted:
            return line_through(apart[-1], peaks[-1])
        return corrected(self.predicted, *peaks[-1]) if self.predicted else None


def find_largest(search: Search) -> int:
    """Try sizes until the largest batch that fits is known within the margin; 0 if the least one does not fit.

    A trial that fails for another reason than memory ends the search, since smaller batches fail likewise.
    """
    size = _first(search)
    for _ in range(MOST_TRIALS):
        trial = search.tried(size)
        following = _beside(search, size) if trial.status == "single_row" else _next(search)
        if trial.status == "failed" or following is None:
            break
        size = following
    return search.largest


def _first(search: Search) -> int:
    """The first size: half of the limit by the trace, so that what the trace does not see is measured at a large size.

    On a CPU it has been measured to be as much again as what the trace sees, so a half is on the safe side. Without a
    trace the first size is small.
    """
    bounds, line = search.bounds, search.predicted
    first = line.largest_below(bounds.limit / 2, bounds.cap) if line else min(SMALL, bounds.cap)
    return max(bounds.least, first)


def _beside(search: Search, size: int) -> int | None:
    """The nearest size that may do instead of one that leaves a single row; None if there is none near."""
    known = {trial.batch for trial in search.trials}
    low, high = max(search.bounds.least, search.largest + 1), search.too_large
    near = (size + sign * step for step in range(1, NEAR + 1) for sign in (-1, 1))
    return next((each for each in near if low <= each < high and each not in known), None)


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
        return None if too_large > bounds.cap else _between(search)
    return goal if goal < too_large else _between(search)


def _goal(search: Search) -> int:
    """The size that fills memory up to the margin, as far as is known; some times the largest one if nothing is."""
    bounds, line = search.bounds, search.expected()
    if search.predicted is None and len(search.fitting) == 1:
        return min(bounds.cap, 2 * search.largest)
    if line is None or line.at(bounds.cap) <= line.at(search.largest):
        return min(bounds.cap, GROWTH * search.largest)
    return line.largest_below((1 - bounds.margin) * bounds.limit, bounds.cap)


def _between(search: Search) -> int:
    """A size between one that fits and one that does not: a tenth below the latter at first, then in the middle."""
    largest, too_large = search.largest, search.too_large
    if sum(trial.status in TOO_LARGE for trial in search.trials) == 1:
        return max(largest + 1, math.floor(0.9 * too_large))
    return round(math.sqrt(largest * too_large)) if too_large > 2 * largest else (largest + too_large) // 2


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
