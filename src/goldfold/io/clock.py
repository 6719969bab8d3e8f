"""Where the time of a run goes: wall and CPU seconds of its phases, measured by the one clock of this process.

A phase within another one is counted for itself alone: features that are computed while a model is prepared are
`features`, not `prepare`. CPU seconds are those of all threads, and of child processes once they have ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

PHASES = (
    "import",
    "prepare",
    "features",
    "training",
    "predicting",
    "scoring",
    "decisions",
    "audits",
    "intervals",
    "pictures",
    "record",
)

FILE = "seconds.json"  # in the folders of a run and of its fits
Spent = dict[str, list[float]]  # phase -> [wall seconds, CPU seconds]


def _now() -> tuple[float, float]:
    """Wall seconds, and CPU seconds of this process and of its ended children."""
    return time.perf_counter(), sum(os.times()[:4])


class Clock:
    """Seconds of phases; `phase` is entered in the main thread alone.

    now: returns wall seconds and CPU seconds so far.
    """

    def __init__(self, now: Callable[[], tuple[float, float]] = _now) -> None:
        self._now = now
        self._spent: Spent = {}
        self._open: list[str] = []
        self._read = now()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the block for `name`, one of `PHASES`, except that of phases within it."""
        self._count()
        self._open.append(name)
        try:
            yield
        finally:
            self._count()
            self._open.pop()

    @contextmanager
    def apart(self) -> Iterator[Spent]:
        """Yield the seconds of the phases in the block, complete at its end; nothing else counts them."""
        within: Spent = {}
        self._count()
        outside = self._spent, self._open
        self._spent, self._open = within, []
        try:
            yield within
        finally:
            self._spent, self._open = outside
            self._read = self._now()

    def take(self) -> Spent:
        """Return the seconds of the phases since the last call, in the order of `PHASES`, and forget them."""
        self._count()
        taken = {name: self._spent[name] for name in PHASES if name in self._spent}
        self._spent.clear()
        return taken

    def forget(self, kept: str) -> None:
        """Forget the seconds of all phases but one."""
        seconds = self.take().get(kept)
        self._spent.update({kept: seconds} if seconds else {})

    def _count(self) -> None:
        """Count the time since the last reading for the innermost open phase."""
        now = self._now()
        if self._open:
            assert self._open[-1] in PHASES, self._open[-1]
            seconds = self._spent.setdefault(self._open[-1], [0.0, 0.0])
            for at in (0, 1):
                seconds[at] += now[at] - self._read[at]
        self._read = now


CLOCK = Clock()


def total(parts: Iterable[Mapping[str, Iterable[float]]]) -> Spent:
    """Add the seconds of several measurements up, in the order of `PHASES`.

    >>> total([{"training": [2.0, 1.5]}, {"prepare": [1.0, 1.0], "training": [3.0, 2.5]}])
    {'prepare': [1.0, 1.0], 'training': [5.0, 4.0]}
    """
    found: Spent = {}
    for part in parts:
        for name, seconds in part.items():
            found[name] = [before + more for before, more in zip(found.get(name, (0.0, 0.0)), seconds, strict=True)]
    return {name: found[name] for name in PHASES if name in found}
