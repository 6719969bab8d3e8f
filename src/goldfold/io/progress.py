"""Progress of long work: the observer interface of workflows, and a display for terminals and notebooks."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from goldfold.io.formatting import duration

SECONDS_PER_LINE = 30


@dataclass(frozen=True)
class EpochProgress:
    """Training progress of one fit, reported at intervals within an epoch and at its end.

    stage: name of the stage.
    epoch: 1-based, within the stage.
    epochs: number of epochs of the stage.
    done: completed share of the plan's epochs, in [0, 1]; of several fits at once the sum of their shares.
    loss: mean total loss of the epoch so far.
    row: the epoch's row of the history; None within an epoch.
    """

    stage: str
    epoch: int
    epochs: int
    done: float
    loss: float
    row: dict[str, Any] | None = None


class Observer:
    """Receives the reports of a running workflow; this base class ignores them."""

    def line(self, text: str) -> None:
        """Receive a line of text about the work."""

    def work(self, what: str, done: int, total: int) -> None:
        """Receive progress of long work outside training: `done` of `total` steps."""

    def fits_begin(self, count: int, metric: str) -> None:
        """Receive the start of `count` fits, scored by the metric named `metric`."""

    def epoch(self, fold: int, seed: int, progress: EpochProgress) -> None:
        """Receive the training progress of one fit."""

    def fit_ended(self, text: str = "") -> None:
        """Receive the end of a fit, trained now or read from disk; text: its result in one line."""

    def close(self) -> None:
        """Receive the end of all work, completed or not."""


class Display(Observer):
    """Prints lines and shows tqdm progress bars, as text in a terminal and as widgets in Jupyter.

    Where standard error is neither, and in CI, a line every `SECONDS_PER_LINE` stands for the bars. quiet: neither.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.silent = quiet or bool(os.environ.get("CI")) or not (sys.stderr.isatty() or _in_notebook())
        self.lines = None if quiet else _Lines()
        self.bar: Any = None
        self.metric, self.finished, self.total = "", 0, 1.0

    def line(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(text)
        sys.stdout.flush()

    def work(self, what: str, done: int, total: int) -> None:
        share = done / max(1, total)
        self._show(f"{what} {done:,}/{total:,}", 0 if self.metric else share, share)

    def fits_begin(self, count: int, metric: str) -> None:
        self.close()
        self.metric, self.finished = metric, 0
        self._open(count)
        if self.lines:
            self.lines.begin()

    def epoch(self, fold: int, seed: int, progress: EpochProgress) -> None:
        shown = {"loss": f"{progress.loss:.4f}"}
        if progress.row and progress.row["metric"] is not None:
            shown[self.metric] = f"{progress.row['metric']:.4f}"
        if self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)
        self._show(f"fold {fold} seed {seed} {progress.stage} epoch {progress.epoch}/{progress.epochs}", progress.done)

    def fit_ended(self, text: str = "") -> None:
        self.finished += 1
        if text:
            self.line(text)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar, self.metric, self.finished = None, "", 0

    def _open(self, total: float) -> None:
        from tqdm.auto import tqdm

        form = "{desc} {bar} {percentage:3.0f}% [{elapsed}<{remaining}{postfix}]"
        self.total = max(1, total)
        self.bar = tqdm(total=total, disable=self.silent, leave=False, bar_format=form)

    def _show(self, what: str, part: float, own: float | None = None) -> None:
        """Show work as a part of its fit. own: the share of itself that is done, told in lines; None: of all fits."""
        if self.bar is None:
            self._open(1)
        if self.silent and self.lines:
            self.lines.show(what, (self.finished + part) / self.total if own is None else own)
        self.bar.set_description_str(what, refresh=False)
        self.bar.n = self.finished + part
        self.bar.refresh()


class _Lines:
    """Progress as lines on standard error, one every `SECONDS_PER_LINE`.

    clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.begin()

    def begin(self) -> None:
        """Count time from here."""
        self.start = self.last = self.clock()

    def show(self, what: str, part: float) -> None:
        """Print a line if the last one is long ago; part: share of the work that is done, in [0, 1]."""
        now = self.clock()
        if now - self.last < SECONDS_PER_LINE:
            return
        self.last = now
        print(f"{what}  {part:.0%}  after {duration(now - self.start)}", file=sys.stderr, flush=True)


def _in_notebook() -> bool:
    """Return whether this is a Jupyter kernel, which shows widgets though standard error is not a terminal."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return type(get_ipython()).__name__ == "ZMQInteractiveShell"
