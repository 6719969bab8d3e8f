"""Progress of long work: the observer workflows report to, and the one that shows it in a terminal or a notebook."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EpochProgress:
    """How far a fit's training is, reported now and then within an epoch (`row` is None) and at its end.

    stage: its name. epoch: 1-based, within the stage. epochs: of the stage. done: share of the plan's epochs that are
    over, in [0, 1]. loss: mean total loss of the epoch so far. row: the epoch's line of the history.
    """

    stage: str
    epoch: int
    epochs: int
    done: float
    loss: float
    row: dict[str, Any] | None = None


class Observer:
    """Receives what a workflow reports while it runs; this one ignores all of it."""

    def line(self, text: str) -> None:
        """A line about what is being done or was done."""

    def work(self, what: str, done: int, total: int) -> None:
        """Long work outside training: `done` of `total` steps."""

    def fits_begin(self, count: int, metric: str) -> None:
        """`count` fits follow, scored by `metric`."""

    def epoch(self, fold: int, seed: int, progress: EpochProgress) -> None:
        """Progress of one fit's training."""

    def fit_ended(self, text: str = "") -> None:
        """A fit is there, read or made. text: its result in a line."""

    def close(self) -> None:
        """The work is over, completed or not."""


class Display(Observer):
    """Prints lines and shows progress bars by tqdm, as text in a terminal and as widgets in Jupyter.

    quiet: no bars; they are also left out in CI and where standard error is no terminal.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.silent = quiet or bool(os.environ.get("CI")) or not (sys.stderr.isatty() or _in_notebook())
        self.bar: Any = None
        self.metric, self.finished = "", 0

    def line(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(text)
        sys.stdout.flush()

    def work(self, what: str, done: int, total: int) -> None:
        self._show(f"{what} {done:,}/{total:,}", 0 if self.metric else done / max(1, total))

    def fits_begin(self, count: int, metric: str) -> None:
        self.close()
        self.metric, self.finished = metric, 0
        self._open(count)

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
        self.bar = tqdm(total=total, disable=self.silent, leave=False, bar_format=form)

    def _show(self, what: str, part: float) -> None:
        if self.bar is None:
            self._open(1)
        self.bar.set_description_str(what, refresh=False)
        self.bar.n = self.finished + part
        self.bar.refresh()


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel, where standard error is no terminal and widgets are shown."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return type(get_ipython()).__name__ == "ZMQInteractiveShell"
