"""Weights & Biases: one run there for a run here, whose folds are the prefixes of its metrics.

Without a login everything is written to an offline folder, which `wandb sync` sends. A resumed run is written anew
into one offline folder of the same id, and the folder of the killed process is removed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldfold.trackers.settings import WandbSettings
from goldfold.trackers.told import FINDING, Epoch, Result, Start

SECONDS = 60  # until a server that does not answer is given up; the files stay for `wandb sync`


class WandbRun:
    """One W&B run, online or offline."""

    def __init__(self, start: Start, settings: WandbSettings, root: Path) -> None:
        import wandb

        self._wandb = wandb
        folder = root / settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        mode = _mode(settings)
        self._before = [
            each
            for each in folder.glob(f"wandb/offline-run-*-{start.id}")
            if not list(each.glob("*.wandb.synced"))  # what is sent cannot be taken back
        ]
        self._run = wandb.init(
            project=settings.project or start.competition,
            entity=settings.entity,
            id=start.id,
            name=start.folder.name,
            group=str(start.config.get("config")),
            job_type="cross-validation",
            config=dict(start.config),
            dir=str(folder),
            mode=mode,
            resume=None if mode == "offline" else "allow",
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                save_code=False,
                disable_git=True,
                silent=True,
                init_timeout=SECONDS,
                finish_timeout=SECONDS,
                finish_timeout_raises=True,
            ),
        )
        self._defined: set[str] = set()
        self._there = dict(self._run.summary) if self._run.resumed else {}
        self.offline = bool(self._run.offline)
        self.place = f"wandb sync {Path(self._run.dir).parent}" if self.offline else str(self._run.url)

    def epoch(self, epoch: Epoch) -> None:
        """Log the values of an epoch, over the fit's own axis of epochs; those that a resumed run has are skipped."""
        prefix = f"{epoch.fit}/{epoch.stage}"
        axis = f"{prefix}/epoch"
        if prefix not in self._defined:
            self._defined.add(prefix)
            self._run.define_metric(axis, hidden=True)
            self._run.define_metric(f"{prefix}/*", step_metric=axis)
        if epoch.number > self._there.get(axis, 0):
            self._run.log({axis: epoch.number, **{f"{prefix}/{name}": value for name, value in epoch.values.items()}})

    def scored(self, fit: str, scores: Mapping[str, float]) -> None:
        """Write the scores of a complete fit into the summary."""
        self._run.summary.update({f"{fit}/final/{name}": value for name, value in scores.items()})

    def finished(self, result: Result) -> None:
        """Write scores, findings, pictures and the record of a finished run; the codes of findings become tags."""
        table = self._wandb.Table(
            columns=list(FINDING), data=[[each[key] for key in FINDING] for each in result.findings]
        )
        logged: dict[str, Any] = {"findings": table}
        logged |= {f"pictures/{picture.stem}": self._wandb.Image(str(picture)) for picture in result.pictures}
        self._run.log(logged)
        self._run.summary.update({f"cv/{name}": value for name, value in result.scores.items()})
        self._run.tags = tuple(result.codes)
        copied = shutil.copy(result.record, self._run.dir)  # W&B's own link would break where the run is removed
        self._run.save(copied, base_path=self._run.dir, policy="now")

    def close(self, failed: bool) -> None:
        """End the run, with a failure if it did not finish; remove what a killed process left of it."""
        self._run.finish(exit_code=int(failed))
        for old in self._before if self.offline else ():
            shutil.rmtree(old)


def _mode(settings: WandbSettings) -> str | None:
    """online, offline, or None for what WANDB_MODE says."""
    if settings.mode != "auto":
        return settings.mode
    if os.environ.get("WANDB_MODE"):
        return None
    import wandb

    return "online" if wandb.login(prompt=False) else "offline"
