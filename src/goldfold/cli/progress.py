"""The one observer of training: a bar that shows fold, epoch, loss, metric and time left."""

from __future__ import annotations

import os
import sys

from tqdm import tqdm

from goldfold.io.progress import EpochProgress
from goldfold.trust.audits import dead_loss_terms, refuse_errors


class Bar:
    """Counts fits, one in progress by its share of epochs. Silent when quiet, in CI, and without a terminal."""

    def __init__(self, fits: int, metric: str, quiet: bool, accepted: tuple[str, ...] = ()) -> None:
        silent = quiet or bool(os.environ.get("CI")) or not sys.stderr.isatty()
        form = "{desc} {bar} {percentage:3.0f}% [{elapsed}<{remaining}{postfix}]"
        self.bar = tqdm(total=fits, disable=silent, leave=False, bar_format=form)
        self.metric, self.accepted, self.finished = metric, accepted, 0

    def __call__(self, fold: int, seed: int, progress: EpochProgress) -> None:
        """An observer of `cross_validate`."""
        row = progress.row
        if row and progress.epoch == 1:
            refuse_errors(dead_loss_terms([row], f"fold {fold}"), self.accepted)
        told = {"loss": f"{progress.loss:.4f}"}
        if row and row["metric"] is not None:
            told[self.metric] = f"{row['metric']:.4f}"
        self.bar.set_postfix(told, refresh=False)
        self._show(f"fold {fold} seed {seed} {progress.stage} epoch {progress.epoch}/{progress.epochs}", progress.done)

    def work(self, what: str, done: int, total: int) -> None:
        """Long work outside the stages, as `Runtime.progress` reports it."""
        self._show(f"{what} {done:,}/{total:,}", 0)

    def fit_ended(self, line: str = "") -> None:
        self.finished += 1
        if line:
            tqdm.write(line)

    def close(self) -> None:
        self.bar.close()

    def _show(self, what: str, part: float) -> None:
        self.bar.set_description_str(what, refresh=False)
        self.bar.n = self.finished + part
        self.bar.refresh()
