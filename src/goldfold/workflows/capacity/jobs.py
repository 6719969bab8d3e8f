"""One trial as a job for a child process: what is sent, how it is carried out there, and what comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from goldfold.competition import Recipe
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.failures import explained
from goldfold.experiment.fits import Experiment, build_plan
from goldfold.experiment.setup import prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.io import memory
from goldfold.io.files import read_json, write_json
from goldfold.training.capacity import measured, predictions
from goldfold.training.capacity.measured import Request, Subject
from goldfold.training.capacity.meters import meter
from goldfold.training.capacity.trials import Trial, from_facts
from goldfold.training.predictor import finish_plan

CHILD = "goldfold.workflows.capacity.child"
OUT_OF_MEMORY = (signal.SIGKILL, signal.SIGABRT)  # of the system, and of C++ code without memory
VALIDATED = 64  # rows at least that a trial predicts


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial, as it is told to a child process.

    name: of the competition's folder. values: the resolved config. limit, seconds, timed, batch: see `Request`.
    predicts: whether the batch is of predictions, without training. workers: processes that load data.
    """

    name: str
    values: Mapping[str, Any]
    batch: int
    fold: int
    device: str
    limit: float
    seconds: float
    timed: tuple[str, ...] = ()
    workers: int = 0
    predicts: bool = False


def with_values(config: configs.Config, recipes: Mapping[str, Recipe], **changed: Any) -> configs.Config:
    """A resolved config with some values changed and checked again."""
    values = config.resolved() | changed
    return replace(configs.resolve_config(values.pop("config"), values, recipes), search=config.search)


def in_child(job: Job, root: Path) -> Trial:
    """Carry a job out in a process of its own, in the project `root`; one that is killed is a failed trial."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "trial.json"
        command = [sys.executable, "-m", CHILD, str(result)]
        done = subprocess.run(command, input=json.dumps(asdict(job)), cwd=root, text=True, capture_output=True)
        if result.exists():
            return from_facts(read_json(result))
    if -done.returncode in OUT_OF_MEMORY:
        name = signal.Signals(-done.returncode).name
        return Trial(batch=job.batch, status="out_of_memory", code="killed", message=f"the process was ended by {name}")
    told = " ".join((done.stderr.strip().splitlines() or ["nothing"])[-1].split())
    message = f"the process ended with code {done.returncode} and wrote: {told}"
    return Trial(batch=job.batch, status="failed", code="trial_failed", message=message)


def carry_out(job: Job, result: Path) -> None:
    """Carry a job out in this process, and write the trial as JSON."""
    memory.keep_freed_memory()
    try:
        with explained(f"a trial with a batch of {job.batch}", job.name):
            trial = _trial(job)
    except GoldfoldError as error:
        trial = Trial(batch=job.batch, status="failed", code=error.code, message=str(error))
    write_json(result, trial.facts())


def _trial(job: Job) -> Trial:
    workspace, known = Workspace(Path(os.curdir)), dict(job.values)
    config = configs.resolve_config(known.pop("config"), known, workspace.competition(job.name).recipes)
    found = prepare_experiment(workspace, job.name, config, torch.device(job.device), job.workers)
    request = Request(job.batch, job.limit, job.seconds, tuple(job.timed))
    if job.predicts:
        return predictions.measure(*_prediction(found.experiment, job), request, meter(torch.device(job.device)))
    return measured.measure(_subject(found.experiment, job), request, meter(torch.device(job.device)))


def _subject(experiment: Experiment, job: Job) -> Subject:
    plan, held_out = build_plan(experiment, job.fold, experiment.protocol.seeds[0])
    rows = held_out.iloc[: max(job.batch, VALIDATED)]
    targets, precision = experiment.competition.targets, experiment.loop.precision

    def validate(model: nn.Module) -> Any:
        return finish_plan(plan, model, targets, precision)(rows)

    return Subject(plan, experiment.loop, experiment.runtime.device, validate)


def _prediction(experiment: Experiment, job: Job) -> tuple[Any, Any]:
    """The predictor of a plan with the weights it starts with, and rows for one batch."""
    plan, _ = build_plan(experiment, job.fold, experiment.protocol.seeds[0])
    model = plan.model.to(experiment.runtime.device) if plan.model is not None else None
    predictor = finish_plan(plan, model, experiment.competition.targets, experiment.loop.precision)
    test = experiment.tables.test
    return predictor, test.iloc[[number % len(test) for number in range(job.batch)]].reset_index(drop=True)
