"""One epoch of a stage: forward, backward and optimizer steps over its batches, and its row of the history."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch

from goldfold.competition import Stage
from goldfold.errors import GoldfoldError
from goldfold.training import parameter_groups
from goldfold.training.diagnostics import first_terms, parameters_without_gradient
from goldfold.training.loss_log import LossLog
from goldfold.training.parameter_groups import GradientNorms
from goldfold.training.settings import (
    LoopOptions,
    autocast,
    epoch_batches,
    explain_runtime_error,
    total_loss,
    with_accumulation,
    without_gradient_sync,
)
from goldfold.training.state import Training

SYNC_SECONDS = 0.5  # between two reports within an epoch, since reading the losses makes the device wait


def train_epoch(
    training: Training, stage: Stage, epoch: int, loop: LoopOptions, report: Callable[[float, float], None]
) -> dict[str, Any]:
    """Train one pass over a stage's batches and return its row of the history.

    epoch: 0-based. report: called now and then with the finished share of the epoch and the mean loss so far.

    Raises:
        GoldfoldError: a loss or a weight is not finite, or memory ran out.
    """
    model, scaler = training.wrapped, training.scaler
    batches = epoch_batches(stage, epoch)
    count, steps = len(batches), 0
    groups = GradientNorms(training.optimizer, -(-count // loop.accumulate))
    precision = autocast(loop.precision, next(training.model.parameters()).device)
    losses = LossLog(stage.name, epoch + 1)
    norms: dict[str, float | None] = {}
    started = reported = time.perf_counter()
    model.train()
    for number, (batch, rows, share, stepping) in enumerate(with_accumulation(batches, loop.accumulate)):
        try:
            with nullcontext() if stepping else without_gradient_sync(model):
                if number == 0:
                    terms, norms = first_terms(training, stage, batch, precision, alone=stepping)
                else:
                    with precision():
                        terms = stage.losses(model, batch)
                scaler.scale(total_loss(terms, share)).backward()
            losses.add(terms, rows)
            if stepping:
                _step(training, stage, loop, groups if loop.clip or groups.due(steps) else None)
                steps += 1
        except RuntimeError as error:
            explain_runtime_error(error, rows)
            raise
        if time.perf_counter() - reported > SYNC_SECONDS:
            report((number + 1) / count, losses.mean())
            reported = time.perf_counter()
    losses.sync()
    _check_finite(training, losses.where)
    _end_epoch(training, stage)
    seconds = time.perf_counter() - started
    return _history_row(training, epoch, losses, (norms or {losses.terms[0]: groups.first()}, groups), steps, seconds)


def _history_row(
    training: Training,
    epoch: int,
    losses: LossLog,
    norms: tuple[Mapping[str, float | None], GradientNorms],
    steps: int,
    seconds: float,
) -> dict[str, Any]:
    """The history row of a 0-based epoch that has not been validated. norms: of the terms, of the groups."""
    means, samples = losses.over_all_processes()
    of_terms, of_groups = norms
    return {
        "stage": training.stage,
        "epoch": epoch + 1,
        "loss": means,
        "metric": None,
        "scores": {},
        "monitored": {},
        "learning_rate": dict(zip(of_groups.names, training.rates.final, strict=True)),
        "gradient_norm": of_terms,
        "group_gradient_norm": of_groups.means(),
        "group_weights": parameter_groups.weights(training.optimizer),
        "samples": samples,
        "steps": steps,
        "seconds": round(seconds, 6),
    }


def _step(training: Training, stage: Stage, loop: LoopOptions, groups: GradientNorms | None) -> None:
    """Make one optimizer step: measure, clip, step, average the weights, advance the schedule."""
    optimizer, facts = training.optimizer, training.facts[stage.name]
    if groups:
        training.scaler.unscale_(optimizer)
        norms = groups.measure(optimizer)
        if loop.clip:
            parameter_groups.clip(optimizer, norms, loop.clip)
    training.scaler.step(optimizer)
    training.scaler.update()
    if "without_gradient" not in facts:
        facts["without_gradient"] = parameters_without_gradient(training.model, optimizer)
    optimizer.zero_grad()
    if training.average:
        training.average.update_parameters(training.model)
    if training.schedule and stage.schedule_per == "step":
        training.rates.record(optimizer)
        training.schedule.step()


def _check_finite(training: Training, where: str) -> None:
    """Check the weights: a finite loss may have a gradient that is not, and such weights must not be saved."""
    finite = torch.stack([p.isfinite().all() for p in training.model.parameters() if p.requires_grad])
    if not finite.all():
        raise GoldfoldError(
            "weights_not_finite",
            f"a gradient in {where} was not finite and made the weights NaN or infinite: lower the learning rate or "
            "set clip. The checkpoint of the epoch before is kept",
        )


def _end_epoch(training: Training, stage: Stage) -> None:
    """Advance a schedule that steps by epoch, and store the learning rates."""
    if training.schedule is None or stage.schedule_per == "epoch":
        training.rates.record(training.optimizer)
    if training.schedule and stage.schedule_per == "epoch":
        training.schedule.step()
    training.rates.record_next(training.optimizer)
    facts = training.facts[stage.name]
    facts["rates"] = training.rates.facts()
    facts["unmoved"] = parameter_groups.unmoved(training.optimizer, facts["unmoved"])
