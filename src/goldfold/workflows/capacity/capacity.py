"""Probe the batch sizes of a config, or of its variants, and write the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from goldfold.experiment import config as configs
from goldfold.experiment.identity import provenance
from goldfold.experiment.setup import prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_bytes, write_json, write_text
from goldfold.report import capacity as report
from goldfold.report.plotting import markdown
from goldfold.training.capacity.free_memory import total_bytes
from goldfold.training.devices import choose_device
from goldfold.workflows.capacity.probe import probe, probe_predictions
from goldfold.workflows.capacity.probed import Limits, all_probed

PLACE = "capacity"  # in runs/<competition>


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What was found: an entry per variant and batch size. files: JSON report, table, picture."""

    entries: tuple[report.Entry, ...]
    text: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def capacity(
    workspace: Workspace,
    name: str,
    config_name: str = "baseline",
    overrides: Sequence[str] = (),
    *,
    device: str | None = None,
    limits: Limits | None = None,
    variants: bool = False,
    predict: bool = False,
) -> Capacity:
    """Find the largest batch that fits and the one that trains fastest, and write `capacity_report.json`.

    overrides: `key=value` words. variants: probe those of the config's `ablation:` block, too. predict: of predictions
        instead of training steps.

    Raises:
        GoldfoldError: the recipe has no batch size (`nothing_to_probe`), its least one does not fit
            (`batch_does_not_fit`), or training fails.
    """
    chosen, limits = choose_device(device), limits or Limits()
    recipes, path = workspace.competition(name, edited=True).recipes, workspace.config_path(name, config_name)
    read = configs.read_variants if variants else _alone
    workspace.prepare(name)
    entries = []
    for variant, config in read(path, overrides, recipes).items():
        found = prepare_experiment(workspace, name, replace(config, automatic=()), torch.device("cpu"))
        for probed in all_probed(found, chosen, limits):
            workspace.observer.line(f"{' '.join(filter(None, (variant, probed.parameter)))} on {chosen}:")
            entries.append((probe_predictions if predict else probe)(probed, variant))
    folder = workspace.runs / name / PLACE / (f"{config_name}-predictions" if predict else config_name)
    return _written(folder, entries, _facts(name, config_name, chosen))


def _alone(path: Path, overrides: Sequence[str], recipes: Any) -> dict[str, configs.Config]:
    return {"": configs.read_config(path, overrides, recipes)}


def _facts(name: str, config: str, device: torch.device) -> dict[str, Any]:
    """Where and when trials were made."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    facts = {"competition": name, "config": config, "device": str(device), "device_name": kind}
    return {**facts, "total_memory": total_bytes(device), "date": datetime.now(UTC).isoformat(), **provenance.machine()}


def _written(folder: Path, entries: Sequence[report.Entry], facts: dict[str, Any]) -> Capacity:
    written = folder / "capacity_report.json", folder / "capacity.txt", folder / "capacity.png"
    text = report.text(entries)
    write_json(written[0], report.report(entries, facts))
    write_text(written[1], f"{text}\n")
    title = ", ".join(facts[name] for name in ("competition", "config", "device_name"))
    write_bytes(written[2], report.picture(entries, title))
    shown = f"{text}\n{folder}: {', '.join(path.name for path in written)}"
    return Capacity(entries=tuple(entries), text=shown, files=written)
