"""A trial: training steps at one batch size, their peak memory and throughput."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["fits", "out_of_memory", "allocator_retries", "too_slow", "single_row", "failed"]
TOO_LARGE: tuple[Status, ...] = ("out_of_memory", "allocator_retries", "too_slow")  # a smaller batch may fit


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a child process found at one batch size.

    allocated, reserved: peak bytes over the start of training, handed out and held by the allocator; on a CPU both are
        the peak of resident memory. None if the process did not live to tell. start: bytes in use before, as by
        libraries, model and rows in memory. rates: samples per second of the timed rounds.
    code, message: why it does not fit or failed; empty if it fits.
    """

    batch: int
    status: Status
    allocated: int | None = None
    reserved: int | None = None
    start: int | None = None
    rates: tuple[float, ...] = ()
    code: str = ""
    message: str = ""

    @property
    def fits(self) -> bool:
        return self.status == "fits"

    @property
    def peak(self) -> int | None:
        """The larger of both peaks: fragments that the allocator holds are not free for anybody else."""
        return None if self.allocated is None else max(self.allocated, self.reserved or 0)

    @property
    def rate(self) -> float:
        """Median of the samples per second; 0 without a timed round."""
        return statistics.median(self.rates) if self.rates else 0.0

    def facts(self) -> dict[str, Any]:
        """All fields and the median rate, for JSON."""
        return {**asdict(self), "samples_per_second": self.rate}


def from_facts(facts: dict[str, Any]) -> Trial:
    """The trial that `Trial.facts` described."""
    known = {name: facts[name] for name in Trial.__dataclass_fields__}
    return Trial(**{**known, "rates": tuple(known["rates"])})


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Interval of the median of at least one value by order statistics, at 95 % or the widest there is.

    It assumes no distribution, so one slow round moves it by at most one rank. Conover, Practical Nonparametric
    Statistics, 3.2: the k-th smallest and largest of n values enclose the median unless fewer than k values fall on one
    side, which has the probability 2 P(Binomial(n, 1/2) < k).

    >>> median_interval([1.0, 9.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    (2.0, 8.0)
    """
    from scipy.stats import binom

    ordered, n = sorted(values), len(values)
    k = max((k for k in range(1, n // 2 + 1) if 2 * binom.cdf(k - 1, n, 0.5) <= 0.05), default=1)
    return ordered[k - 1], ordered[n - k]
