"""Pick a kept epoch of a run, or an average of several: a run of its own that predicts with these weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment.fits import CHECKPOINTS
from goldfold.experiment.saved_epochs import last_stage_checkpoints
from goldfold.experiment.setup import accepting, config_of_run, rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.training import checkpoints
from goldfold.training.averaging import UNIFORM
from goldfold.training.devices import choose_device
from goldfold.workflows.train import carry_out


def pick(
    workspace: Workspace,
    run: Path,
    epochs: int | Sequence[int],
    *,
    by: str = UNIFORM,
    device: str | None = None,
    accept: Sequence[str] = (),
) -> Path:
    """The run that training with `select=<epoch>`, or with `average=<epochs>`, would make; returns its folder.

    epochs: 1-based, one or several that `run` kept. by: how several are averaged, see the config's `average_by`.

    Raises:
        GoldfoldError: a fit kept no such epoch or its weights are damaged, or the run's code or data has changed since.
    """
    places = sorted(path.parent for path in run.glob(f"fold*-seed*/{CHECKPOINTS}"))
    if not places:
        raise GoldfoldError(
            "no_epochs", f"run '{runs.run_name(run)}' trained nothing by epochs: there is no epoch to pick"
        )
    numbers = (epochs,) if isinstance(epochs, int) else tuple(epochs)
    wanted = {place.name: _wanted(place, numbers) for place in places}
    found = rebuild(workspace, run, choose_device(device), accept)
    config = accepting(config_of_run(workspace, run, **_changed(numbers, by)), accept)
    changes = (*read_json(run / "reproduce.json").get("code_changes", ()), *found.code_changes)
    experiment = replace(found.experiment, loop=config.loop, protocol=config.protocol)
    found = replace(found, config=config, experiment=experiment, code_changes=changes)

    def begin(folder: Path) -> None:
        for name, chosen in wanted.items():
            for checkpoint in chosen:
                _link(checkpoint, folder / name / CHECKPOINTS)

    return carry_out(found, begin)


def _changed(numbers: tuple[int, ...], by: str) -> dict[str, Any]:
    """The keys of the config that pick one epoch, or several."""
    if len(numbers) == 1:
        return {"select": str(numbers[0]), "average": (), "average_by": UNIFORM}
    return {"select": "last", "average": numbers, "average_by": by, "patience": None}


def _wanted(place: Path, epochs: Sequence[int]) -> list[checkpoints.Checkpoint]:
    """The epochs that are to predict, and the newest ones, by which training is known to be over."""
    known = last_stage_checkpoints(place)
    chosen = [checkpoint for checkpoint in known if checkpoint.row["epoch"] in epochs]
    for epoch in set(epochs) - {checkpoint.row["epoch"] for checkpoint in chosen}:
        numbers = ", ".join(str(checkpoint.row["epoch"]) for checkpoint in known)
        raise GoldfoldError(
            "epoch_not_kept",
            f"{place.parent.name}/{place.name} kept no epoch {epoch}, only {numbers}: a run with DEBUG=1 keeps all",
        )
    for checkpoint in chosen:
        checkpoints.verify(checkpoint)
    return [*chosen, *known[-checkpoints.STATES_KEPT :]]


def _link(checkpoint: checkpoints.Checkpoint, folder: Path) -> None:
    """The checkpoint's files under a second name, its facts last; copied where the disk knows no second names."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in [checkpoint.path.with_name(name) for name in checkpoint.files] + [checkpoint.path]:
        target = folder / file.name
        if target.exists() or not file.exists():  # training states of older epochs are not kept
            continue
        try:
            os.link(file, target)
        except OSError:
            shutil.copyfile(file, target)
