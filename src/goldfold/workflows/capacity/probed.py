"""What is probed: a batch size of a config on a device, its limits, and a trial of it in a child process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from goldfold.errors import GoldfoldError
from goldfold.experiment.config import Config
from goldfold.experiment.fits import fold_numbers
from goldfold.experiment.setup import Prepared
from goldfold.params import Role, values
from goldfold.report.capacity import memory_text, trial_line
from goldfold.training.capacity.free_memory import free_bytes
from goldfold.training.capacity.meters import resident
from goldfold.training.capacity.trials import Trial
from goldfold.training.devices import under_torchrun
from goldfold.workflows.capacity.jobs import Job, in_child, with_values


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What trials may take.

    memory: bytes of a whole training process; None: what is free. margin: share of it to leave free. cap: largest batch
        to try; None: the number of training rows. seconds: for the steps of a trial.
    """

    memory: int | None = None
    margin: float = 0.05
    cap: int | None = None
    seconds: float = 60.0

    def checked(self) -> Limits:
        """These limits, if they are possible."""
        if not 0 <= self.margin < 0.5:
            raise GoldfoldError("invalid_margin", f"margin is {self.margin:g} and must be in [0, 0.5): change it")
        if self.cap is not None and self.cap < 1:
            raise GoldfoldError("invalid_cap", f"cap is {self.cap} and must be at least 1: leave it out or raise it")
        if self.seconds <= 0:
            raise GoldfoldError("invalid_seconds", f"seconds is {self.seconds:g} and must be more than 0: raise it")
        return self


@dataclass(frozen=True, kw_only=True)
class Probed:
    """One parameter of one config to probe.

    found: the experiment, on the CPU, so that predicting takes nothing from a GPU. device: of the trials.
    """

    found: Prepared
    parameter: str
    device: torch.device
    limits: Limits

    @property
    def config(self) -> Config:
        return self.found.config

    @property
    def own(self) -> int:
        """The config's batch size."""
        return getattr(self.config.params, self.parameter)

    @property
    def least(self) -> int:
        """The smallest batch size that the recipe allows."""
        field = type(self.config.params).model_fields[self.parameter]
        return next((mark.ge for mark in field.metadata if hasattr(mark, "ge")), 1)

    def sized(self, batch: int, **changed: Any) -> Config:
        """The config with another batch size."""
        recipes = self.found.workspace.competition(self.found.name).recipes
        return with_values(self.config, recipes, **{self.parameter: batch, **changed})


def batch_parameters(config: Config) -> list[str]:
    """Names of the config's batch sizes that have an effect.

    Raises:
        GoldfoldError: `nothing_to_probe`, the recipe has none.
    """
    found = list(values(config.params, Role.BATCH_SIZE))
    if not found:
        raise GoldfoldError(
            "nothing_to_probe",
            f"recipe '{config.recipe}' with these values has no batch size of a training stage, so there is nothing to "
            "probe: choose a config that trains",
        )
    return found


def all_probed(found: Prepared, device: torch.device, limits: Limits) -> list[Probed]:
    """What to probe of a prepared experiment, one value per batch size."""
    if under_torchrun():
        raise GoldfoldError(
            "capacity_under_torchrun", "a trial runs in one process: probe without torchrun, with one GPU"
        )
    limits.checked()
    parameters = batch_parameters(found.config)
    return [Probed(found=found, parameter=each, device=device, limits=limits) for each in parameters]


def limit_of_a_step(probed: Probed) -> int:
    """Bytes that a training step may take over the start of its process, which this process resembles.

    Raises:
        GoldfoldError: `no_memory_for_trials`, the start alone exceeds the limit.
    """
    on_gpu = probed.device.type == "cuda"
    whole = probed.limits.memory or free_bytes(probed.device)
    start = 0 if on_gpu else resident("VmRSS")
    if whole <= start:
        raise GoldfoldError(
            "no_memory_for_trials",
            f"a process with this config's rows takes {memory_text(start)} before its first step, and the limit is "
            f"{memory_text(whole)}: raise MEMORY, or free memory",
        )
    return whole - start


def tried(
    probed: Probed, batch: int, config: Config, limit: float, timed: tuple[str, ...], predicts: bool = False
) -> Trial:
    """Try a config in a child process, and report the trial. timed, predicts: see `Job`."""
    found = probed.found
    job = Job(
        name=found.name,
        values=config.resolved(),
        batch=batch,
        fold=_fold_with_a_single_row(probed, batch),
        device=str(probed.device),
        limit=limit,
        seconds=probed.limits.seconds,
        timed=timed,
        predicts=predicts,
    )
    trial = in_child(job, found.workspace.root.resolve())
    found.workspace.observer.line(f"  {trial_line(trial)}")
    return trial


def _fold_with_a_single_row(probed: Probed, batch: int) -> int:
    """The fold to try: one whose last batch has a single row if there is one, which BatchNorm refuses."""
    experiment = probed.found.experiment
    numbers = fold_numbers(experiment.protocol, experiment.folds)
    return next((each for each in numbers if len(experiment.folds[each].train) % batch == 1), numbers[0])
