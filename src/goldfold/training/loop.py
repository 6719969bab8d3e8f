"""The one training loop: plain PyTorch, from a plan's first stage to its last epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from goldfold.competition import Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.io.random_states import preserved_states
from goldfold.training import checkpoints
from goldfold.training import state as training_state
from goldfold.training.epoch_selection import check, exhausted, worth_keeping
from goldfold.training.facts import gradient_norms, untrained_loss, without_gradient
from goldfold.training.loss_log import LossLog
from goldfold.training.settings import (
    Loop,
    autocast,
    autocast_dtype,
    explain,
    sized_batches,
    total,
    unsynchronised,
    weighed,
)
from goldfold.training.state import History, Training

LOOK_SECONDS = 0.5  # between two looks at the losses, since a look makes the device wait


@dataclass(frozen=True)
class Progress:
    """What an observer is told: now and then within an epoch (`row` is None), and at its end.

    epoch is 1-based and of the stage; done is the share of the plan's epochs behind us, in [0, 1]; loss is the mean
    total of the epoch so far.
    """

    stage: str
    epoch: int
    epochs: int
    done: float
    loss: float
    row: dict[str, Any] | None = None


Observer = Callable[[Progress], None]


def train(
    plan: Plan,
    *,
    loop: Loop,
    device: torch.device,
    folder: Path | None = None,
    keep_every: bool = False,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    higher_is_better: bool = True,
    observe: Observer | None = None,
) -> tuple[History, dict[str, Any]]:
    """Carry out `plan`'s stages; its model ends with the last epoch's (averaged) weights.

    folder: for checkpoints; training goes on from the newest whole one there. None keeps none.
    keep_every: keep every epoch's weights, not only the best and the last.
    validate: model -> scores by name, the first is the metric by which epochs are told apart.

    Returns the history and the facts for audits. A row of history has stage, epoch (1-based), loss (each term's mean
    over samples), metric (or None), scores, monitored (each `Monitored` as a dict; both empty where nobody looked),
    learning_rate (each group's, at the last step), gradient_norm (each term's, at the first batch), samples, steps,
    seconds. Facts: stage -> `rates`, the parameters its optimizer `held`, those `without_gradient`, and what its losses
    are where nothing was learned, `untrained_loss`, term -> [value, sd], where the stage knows.

    Raises:
        GoldfoldError: a loss is not finite, memory ran out, or a checkpoint could not be written.
    """
    _check_stages(plan, loop.select)
    model = plan.model.to(device)
    if loop.channels_last:
        model.to(memory_format=torch.channels_last)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    history: History = []
    facts: dict[str, Any] = {}
    found = checkpoints.newest_state(folder) if folder else None
    reached_stage, reached_epoch = found[0].order if found else (0, 0)
    for index, stage in enumerate(plan.stages):
        if index < reached_stage:
            continue
        training = _begin(model, stage, loop, trainable, history, facts)
        resumed = found is not None and index == reached_stage
        if resumed:
            checkpoints.load_weights(found[0], training.predictor)
            training_state.restore(training, found[1])
        else:
            facts[stage.name] |= untrained_loss(model, stage, autocast(loop.precision, device))
        for epoch in range(reached_epoch if resumed else 0, stage.epochs):
            report = partial(_tell, observe, plan, index, epoch)
            if exhausted(history, stage.name, loop.patience, loop.select, higher_is_better):
                break
            row = _train_epoch(training, stage, epoch, loop, report)
            if validate and ((epoch + 1) % loop.validate_every == 0 or epoch + 1 == stage.epochs):
                row |= from_first(_look(plan, validate, training.predictor))
                check(row, loop.select)
            history.append(row)
            if folder and is_writer():
                checkpoints.save(folder, (index, epoch + 1), row, training.predictor, training_state.state_of(training))
                kept = None if keep_every else worth_keeping(folder, loop.select, higher_is_better)
                checkpoints.prune(folder, kept)
            report(1, sum(row["loss"].values()), row)
        if training.average:
            model.load_state_dict(training.predictor.state_dict())
    if dist.is_initialized():
        dist.barrier()  # until the last checkpoint is written
    return history, facts


def _check_stages(plan: Plan, select: str) -> None:
    names = [stage.name for stage in plan.stages]
    if len(set(names)) < len(names):
        raise GoldfoldError(f"stages must have different names and are called {', '.join(names)}: rename one")
    if select.isdecimal() and not 1 <= int(select) <= plan.stages[-1].epochs:
        last = plan.stages[-1]
        raise GoldfoldError(f"select is epoch {select}, '{last.name}' has epochs 1 to {last.epochs}: choose one")


def _train_epoch(
    training: Training, stage: Stage, epoch: int, loop: Loop, report: Callable[[float, float], None]
) -> dict[str, Any]:
    """One pass over a stage's batches: the loop itself."""
    model, scaler = training.wrapped, training.scaler
    batches = sized_batches(stage, epoch)
    count, steps = len(batches), 0
    precision = autocast(loop.precision, next(training.model.parameters()).device)
    losses = LossLog(stage.name, epoch + 1)
    norms: dict[str, float | None] = {}
    started = looked = time.perf_counter()
    model.train()
    for number, (batch, rows, share, stepping) in enumerate(weighed(batches, loop.accumulate)):
        try:
            if number == 0:
                norms = gradient_norms(training.model, stage.losses, batch, precision)
            with nullcontext() if stepping else unsynchronised(model):
                with precision():
                    terms = stage.losses(model, batch)
                scaler.scale(total(terms, share)).backward()
            losses.add(terms, rows)
            if stepping:
                _step(training, stage, loop)
                steps += 1
        except RuntimeError as error:
            explain(error, rows)
            raise
        if time.perf_counter() - looked > LOOK_SECONDS:
            report((number + 1) / count, losses.mean())
            looked = time.perf_counter()
    losses.look()
    _check_finite(training, losses.where)
    _end_epoch(training, stage)
    return _history_row(training, epoch, losses, norms, steps, time.perf_counter() - started)


def _history_row(
    training: Training,
    epoch: int,
    losses: LossLog,
    norms: Mapping[str, float | None],
    steps: int,
    seconds: float,
) -> dict[str, Any]:
    """A 0-based epoch as `train` returns it, before anybody has looked at the metric."""
    means, samples = losses.over_all_processes()
    return {
        "stage": training.stage,
        "epoch": epoch + 1,
        "loss": means,
        "metric": None,
        "scores": {},
        "monitored": {},
        "learning_rate": list(training.rates.final),
        "gradient_norm": norms,
        "samples": samples,
        "steps": steps,
        "seconds": round(seconds, 6),
    }


def _step(training: Training, stage: Stage, loop: Loop) -> None:
    """One optimizer step, and what follows every step."""
    optimizer, facts = training.optimizer, training.facts[stage.name]
    if loop.clip:
        training.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(training.model.parameters(), loop.clip)
    training.scaler.step(optimizer)
    training.scaler.update()
    if "without_gradient" not in facts:
        facts["without_gradient"] = without_gradient(training.model, optimizer)
    optimizer.zero_grad()
    if training.average:
        training.average.update_parameters(training.model)
    if training.schedule and stage.schedule_per == "step":
        training.rates.note(optimizer)
        training.schedule.step()


def _check_finite(training: Training, where: str) -> None:
    """A finite loss may have a gradient that is not: weights it has spoilt must not be saved."""
    finite = torch.stack([p.isfinite().all() for p in training.model.parameters() if p.requires_grad])
    if not finite.all():
        raise GoldfoldError(
            f"a gradient was not finite and spoilt the weights in {where}: lower the learning rate or set clip; the "
            "weights of the epoch before are kept"
        )


def _tell(
    observe: Observer | None, plan: Plan, index: int, epoch: int, part: float, loss: float, row: dict | None = None
) -> None:
    if observe is None:
        return
    stage = plan.stages[index]
    behind = sum(earlier.epochs for earlier in plan.stages[:index]) + epoch + part
    observe(Progress(stage.name, epoch + 1, stage.epochs, behind / sum(s.epochs for s in plan.stages), loss, row))


def _end_epoch(training: Training, stage: Stage) -> None:
    if training.schedule is None or stage.schedule_per == "epoch":
        training.rates.note(training.optimizer)
    if training.schedule and stage.schedule_per == "epoch":
        training.schedule.step()
    training.rates.note_left(training.optimizer)
    training.facts[stage.name]["rates"] = training.rates.facts()


def _begin(
    model: nn.Module, stage: Stage, loop: Loop, trainable: set[str], history: History, facts: dict[str, Any]
) -> Training:
    steps_per_epoch = math.ceil(len(sized_batches(stage, 0)) / loop.accumulate)
    training = training_state.begin(model, stage, steps_per_epoch, trainable, history, facts)
    device = next(model.parameters()).device
    training.scaler = torch.amp.GradScaler(device.type, enabled=autocast_dtype(loop.precision, device) is torch.float16)
    if loop.ema:
        training_state.average(training, loop.ema)
    training_state.wrap(training, loop.compile)
    return training


def is_writer() -> bool:
    """Whether this process is the one of a distributed run that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def from_first(value: Any) -> Any:
    """The first process's `value`, on all processes of a distributed run."""
    told = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(told, src=0)
    return told[0]


def _look(plan: Plan, validate: Callable[[nn.Module], Mapping[str, float]], model: nn.Module) -> dict[str, Any]:
    """An epoch's scores, and what the plan monitors, without touching the random states of training."""
    with preserved_states():
        scores = dict(validate(model))
        model.eval()
        with torch.no_grad():
            monitored = plan.monitor(model) if plan.monitor else {}
    return {
        "metric": next(iter(scores.values())),
        "scores": scores,
        "monitored": {name: measured._asdict() for name, measured in monitored.items()},
    }
