"""Probe a config's capacity: predict the memory of a training step, verify in child processes, find the knee."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from goldfold.errors import GoldfoldError
from goldfold.experiment.config import Config
from goldfold.experiment.fits import build_plan, fold_numbers
from goldfold.experiment.setup import Prepared, prepare_experiment
from goldfold.params import Role, values
from goldfold.report.capacity import Entry, memory_text, trial_line
from goldfold.training.capacity.free_memory import free_bytes
from goldfold.training.capacity.meters import resident
from goldfold.training.capacity.predicted import Predicted, predict
from goldfold.training.capacity.search import Bounds, Search, find_knee, find_largest
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
    """What to probe of a prepared experiment, a probed per batch size."""
    if under_torchrun():
        raise GoldfoldError(
            "capacity_under_torchrun", "a trial runs in one process: probe without torchrun, with one GPU"
        )
    limits.checked()
    parameters = batch_parameters(found.config)
    return [Probed(found=found, parameter=each, device=device, limits=limits) for each in parameters]


def on_cpu(found: Prepared) -> Prepared:
    """The same experiment on the CPU."""
    return prepare_experiment(found.workspace, found.name, found.config, torch.device("cpu"))


def predicted(probed: Probed) -> tuple[Predicted, int]:
    """The predicted memory, and the cap: the most samples that a batch can have."""
    experiment = probed.found.experiment
    fold = fold_numbers(experiment.protocol, experiment.folds)[0]
    most = min(len(each.train) for each in experiment.folds)
    most = min(most, probed.limits.cap or most)
    lengths: dict[int, int] = {}

    def build(batch: int) -> Any:
        config = probed.sized(batch)
        plan, _ = build_plan(replace(experiment, params=config.params), fold, experiment.protocol.seeds[0])
        if not any(stage.epochs for stage in plan.stages):
            raise GoldfoldError(
                "nothing_to_probe",
                f"config '{config.name}' trains nothing with these values: choose a config with a training stage",
            )
        lengths[batch] = max(len(stage.batches(0)) * batch for stage in plan.stages)
        return replace(plan, stages=[stage for stage in plan.stages if stage.epochs])

    told = predict(build, probed.config.loop, probed.device, most, probed.least)
    return told, max(probed.least, min(most, max(lengths.values())))


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


def search_of(
    probed: Probed, told: Predicted, cap: int, changed: Callable[[int], Mapping[str, Any]] = lambda batch: {}
) -> Search:
    """A search over batch sizes, each tried in a child process. changed: batch -> other values of the config."""
    limit = limit_of_a_step(probed)
    bounds = Bounds(cap=cap, limit=limit, margin=probed.limits.margin, first=probed.own, least=probed.least)
    return Search(partial(try_batch, probed, told, limit, changed), bounds, told.line)


def try_batch(
    probed: Probed, told: Predicted, limit: float, changed: Callable[[int], Mapping[str, Any]], batch: int
) -> Trial:
    """Try one batch size in a child process, and report it. changed: batch -> other values of the config."""
    found, config = probed.found, probed.sized(batch, **changed(batch))
    job = Job(
        name=found.name,
        values=config.resolved(),
        batch=batch,
        fold=_fold_with_a_single_row(probed, batch),
        device=str(probed.device),
        limit=limit,
        seconds=probed.limits.seconds,
        timed=told.scaled,
    )
    trial = in_child(job, found.workspace.root.resolve())
    found.workspace.observer.line(f"  {trial_line(trial)}")
    return trial


def _fold_with_a_single_row(probed: Probed, batch: int) -> int:
    """The fold to try: one whose last batch has a single row if there is one, which BatchNorm refuses."""
    experiment = probed.found.experiment
    numbers = fold_numbers(experiment.protocol, experiment.folds)
    return next((each for each in numbers if len(experiment.folds[each].train) % batch == 1), numbers[0])


def probe(probed: Probed, variant: str = "") -> Entry:
    """Find the largest batch that fits and the knee.

    Raises:
        GoldfoldError: the least batch does not fit (`batch_does_not_fit`), or trials fail for another reason.
    """
    told, cap = predicted(probed)
    search = search_of(probed, told, cap)
    if told.line is None:
        probed.found.workspace.observer.line(f"  no trace ({told.why}): predicted from two small trials instead")
    largest = find_largest(search)
    if not largest:
        raise does_not_fit(probed, search)
    to_limit = len(search.trials)
    best = find_knee(search)
    return Entry(
        variant=variant,
        parameter=probed.parameter,
        own=probed.own,
        best=best or largest,
        largest=search.largest,
        limit=search.bounds.limit,
        cap=cap,
        line=told.line,
        why=told.why,
        trials=tuple(search.trials),
        foreseen=search.foreseen,
        to_limit=to_limit,
    )


def does_not_fit(probed: Probed, search: Search) -> GoldfoldError:
    """The error for a search without a size that fits."""
    last = min(search.trials, key=lambda trial: trial.batch)
    if last.status in ("failed", "single_row"):
        return GoldfoldError(last.code, last.message)
    if last.status == "too_slow":
        return GoldfoldError(
            "trial_too_slow",
            f"at {probed.parameter}={last.batch} {last.message}: raise SECONDS",
        )
    peak = memory_text(last.peak) if last.peak else "more than it may"
    told = f", and {memory_text(search.predicted.at(last.batch))} are predicted" if search.predicted else ""
    return GoldfoldError(
        "batch_does_not_fit",
        f"{probed.parameter}={last.batch} does not fit: a step took {peak} before memory ran out{told}, and the limit "
        f"is {memory_text(search.bounds.limit)}. Raise MEMORY, or take smaller images or a smaller model",
    )
