"""TensorBoard: one folder a run, with a folder for each fit below, so that the curves of all folds share one chart.

A run's event files are written anew whenever it is opened: its own files tell everything again, and no step is doubled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.trackers.settings import TensorBoardSettings
from goldfold.trackers.told import Epoch, Result, Start

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

EVENTS = "events.out.tfevents*"  # as TensorBoard finds them


class TensorBoardFiles:
    """The event files of one run, in `<folder>/<competition>/<run>/`."""

    def __init__(self, start: Start, settings: TensorBoardSettings, root: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        logs = root / settings.folder
        self.folder = logs / start.competition / start.folder.name
        for old in [*self.folder.glob(EVENTS), *self.folder.glob(f"fold*-seed*/{EVENTS}")]:
            old.unlink()
        self._writer = SummaryWriter
        self._config = start.config
        self._writers: dict[str, SummaryWriter] = {}
        self._of("").add_text("config", _as_code(json.dumps(dict(start.config), indent=2, ensure_ascii=False)))
        self.place = f"tensorboard --logdir {logs}"

    def epoch(self, epoch: Epoch) -> None:
        """Write the values of an epoch into the fit's folder."""
        writer = self._of(epoch.fit)
        for name, value in epoch.values.items():
            writer.add_scalar(f"{epoch.stage}/{name}", value, epoch.number)
        writer.flush()

    def scored(self, fit: str, scores: Mapping[str, float]) -> None:
        """Write the scores of a complete fit, at step 0."""
        for name, value in scores.items():
            self._of(fit).add_scalar(f"final/{name}", value, 0)
        self._of(fit).flush()

    def finished(self, result: Result) -> None:
        """Write scores, findings, pictures and the record of a finished run, and its row of the tab HPARAMS."""
        from goldfold.images import reading

        writer = self._of("")
        writer.add_text("findings", result.findings_table())
        writer.add_text("record", result.record.read_text(encoding="utf-8"))
        for picture in result.pictures:
            writer.add_image(f"pictures/{picture.stem}", reading.read(picture), 0, dataformats="HWC")
        plain = {key: value for key, value in self._config.items() if isinstance(value, (bool, int, float, str))}
        writer.add_hparams(plain, {f"cv/{name}": value for name, value in result.scores.items()}, run_name=".")
        writer.flush()

    def close(self, failed: bool) -> None:
        """Close the files; they look the same whether the run failed."""
        for writer in self._writers.values():
            writer.close()

    def _of(self, fit: str) -> SummaryWriter:
        """The writer of a fit's folder; of the run's own for an empty name."""
        if fit not in self._writers:
            self._writers[fit] = self._writer(str(self.folder / fit))
        return self._writers[fit]


def _as_code(text: str) -> str:
    """Text as Markdown's indented code, which keeps its lines."""
    return "\n".join(f"    {line}" for line in text.splitlines())
