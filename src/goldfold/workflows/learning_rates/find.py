"""Suggest a learning rate for a config's first stage, by range tests on the training rows of its first fold."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldfold.competition import Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.fits import Experiment, build_plan, fold_numbers, initial_weights
from goldfold.experiment.identity import provenance
from goldfold.experiment.setup import prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_bytes, write_json, write_text
from goldfold.params import Role, values
from goldfold.report import learning_rates as report
from goldfold.report.plotting import markdown
from goldfold.training.devices import choose_device, under_torchrun
from goldfold.training.learning_rates.range_test import Curve, Sweep, first_stage, range_test
from goldfold.training.learning_rates.suggestion import Suggestion, over_seeds, read

PLACE = "learning_rates"  # in runs/<competition>


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """What was found. curves: of each seed. files: JSON, text, picture."""

    suggestion: Suggestion
    curves: tuple[Curve, ...]
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.suggestion}\n{self.files[0].parent}: {', '.join(path.name for path in self.files)}"

    def _repr_markdown_(self) -> str:
        return markdown.code(str(self))


def find_learning_rate(
    workspace: Workspace,
    name: str,
    config_name: str = "baseline",
    overrides: Sequence[str] = (),
    *,
    device: str | None = None,
    seeds: int = 3,
    sweep: Sweep | None = None,
) -> RangeTest:
    """Sweep the learning rate of a config's first stage, and write JSON, text and picture; no weights are kept.

    overrides: `key=value` words. seeds: sweeps, each with a fit's own weights, order and augmentation.

    Raises:
        GoldfoldError: `nothing_to_sweep`, the config trains nothing by epochs; `invalid_sweep`; `no_finite_loss`.
    """
    if under_torchrun():
        raise GoldfoldError("range_test_in_one_process", "a range test runs in one process: start it without torchrun")
    if seeds < 1:
        raise GoldfoldError("invalid_sweep", f"{seeds} seeds are no sweep: take 1 or more")
    sweep, chosen = (sweep or Sweep()).checked(), choose_device(device)
    recipes = workspace.competition(name, edited=True).recipes
    config = configs.read_config(workspace.config_path(name, config_name), overrides, recipes)
    workspace.prepare(name)
    found = prepare_experiment(workspace, name, replace(config, automatic=()), chosen)
    curves, measured = [], ("", 0.0)
    for seed in range(seeds):
        plan, stage = _plan(found.experiment, config_name, found.experiment.protocol.seeds[0] + seed)
        measured = _measured(found.config.params, plan, stage)
        curves.append(range_test(plan, stage, found.experiment.loop, chosen, sweep, measured[1]))
        end = f"diverges at {curves[-1].rates[-1]:.2g}" if curves[-1].diverged else "does not diverge"
        workspace.observer.line(f"sweep {seed + 1} of {seeds}: stage '{stage.name}', {end}")
    readings = [read(curve) for curve in curves]
    steepest, tenth = (over_seeds([getattr(each, which) for each in readings]) for which in ("steepest", "tenth"))
    falls = 2 * sum(each.falls for each in readings) > len(readings)
    suggestion = Suggestion(*measured, seeds, steepest, tenth, falls)
    told = {"competition": name, "config": config_name, "overrides": list(overrides), "stage": stage.name}
    facts = {**told, **vars(sweep), **suggestion.facts(), **provenance.machine()}
    facts["curves"] = [{**vars(c), **r._asdict()} for c, r in zip(curves, readings, strict=True)]
    folder = workspace.runs / name / PLACE / config_name
    files = tuple(folder / f"learning_rate.{kind}" for kind in ("json", "txt", "png"))
    write_json(files[0], facts)
    write_text(files[1], f"{suggestion}\n")
    title = f"{name}, {config_name}, stage {stage.name}: range test of {sweep.steps} steps"
    write_bytes(files[2], report.picture(curves, readings, suggestion, title))
    return RangeTest(suggestion=suggestion, curves=tuple(curves), files=files)


def _plan(experiment: Experiment, config: str, seed: int) -> tuple[Plan, Stage]:
    """The plan of the first fold with the weights it starts from, and its first stage that trains."""
    number = fold_numbers(experiment.protocol, experiment.folds)[0]
    plan, _ = build_plan(experiment, number, seed)
    stage = first_stage(plan, config)
    with tempfile.TemporaryDirectory() as place:
        initial_weights.load(experiment, plan, number, seed, Path(place))
    return plan, stage


def _measured(params: Any, plan: Plan, stage: Stage) -> tuple[str, float]:
    """Name and value of the parameter that a group of the optimizer has as its rate; else the largest rate there is.

    Raises:
        GoldfoldError: `nothing_to_sweep`, all rates are 0.
    """
    assert plan.model is not None, "a plan with stages has a model"
    rates = [float(group["lr"]) for group in stage.optimizer(plan.model).param_groups]
    for name, value in values(params, Role.LEARNING_RATE).items():
        if value and any(math.isclose(value, rate) for rate in rates):
            return name, float(value)
    if not max(rates):
        raise GoldfoldError(
            "nothing_to_sweep", f"stage '{stage.name}' has a learning rate of 0 in its optimizer: set one above 0"
        )
    return f"largest learning rate of stage '{stage.name}'", max(rates)
