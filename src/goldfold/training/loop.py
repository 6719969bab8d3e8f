"""The training loop: plain PyTorch, from a plan's first stage to its last epoch.

A row of the history has the keys `stage`, `epoch` (1-based), `loss` (each term's mean over samples), `metric` (None if
the epoch was not validated), `scores`, `monitored` (each `Monitored` as a dict; both empty if not validated),
`learning_rate` (of each parameter group at the last step, by name), `gradient_norm` (of each loss term at the first
batch), `group_gradient_norm` (of each parameter group before clipping, mean over the epoch's steps or 16 of them),
`group_weights` (trained ones of each group), `samples`, `steps` and `seconds`.

The facts for audits are stage -> `trainable` parameters, those `held` by its optimizer, those `without_gradient`, those
`outside` the model; the groups that are `unmoved`; learning `rates`; `constant_features` and `silent_summands` of the
losses; `untrained_loss` (term -> [value, sd]) if the stage defines it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.amp.grad_scaler import GradScaler

from goldfold.competition import Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.io.progress import EpochProgress
from goldfold.io.random_states import preserved_states
from goldfold.training import checkpoints, hard_examples
from goldfold.training import state as training_state
from goldfold.training.averaging import estimate_batch_norm
from goldfold.training.diagnostics import untrained_loss
from goldfold.training.distributed import from_first, is_writer
from goldfold.training.epoch import train_epoch
from goldfold.training.epoch_selection import check_select, checkpoints_to_keep, patience_exhausted
from goldfold.training.hard_examples import HardExamples
from goldfold.training.settings import LoopOptions, autocast, autocast_dtype, epoch_batches
from goldfold.training.state import History, Training

Observe = Callable[[EpochProgress], None]
Validate = Callable[[nn.Module, bool], Mapping[str, float]]


def train(
    plan: Plan,
    *,
    loop: LoopOptions,
    device: torch.device,
    folder: Path | None = None,
    keep_every: bool = False,
    validate: Validate | None = None,
    higher_is_better: bool = True,
    observe: Observe | None = None,
    examples: HardExamples | None = None,
) -> tuple[History, dict[str, Any]]:
    """Train the stages of `plan`; its model ends with the weights of the last epoch, averaged ones if there are any.

    folder: of checkpoints; training resumes from the newest undamaged one. None: no checkpoints. keep_every: keep the
        weights of every epoch, not only the best and the last.
    validate: (model, whether no epoch can follow) -> scores by name; the first is the metric that selects epochs.
    observe: receives the progress.
    examples: where to write the losses of single training rows.

    Returns the history and the facts for audits, as described at the top of this module.

    Raises:
        GoldfoldError: a loss is not finite, memory ran out, or a checkpoint could not be written.
    """
    _check_stages(plan, loop)
    assert plan.model is not None, "a plan with stages has a model"
    model = plan.model.to(device)
    if loop.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stub
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    history: History = []
    facts: dict[str, Any] = {}
    saved = checkpoints.load_latest(folder) if folder else None
    first_stage, first_epoch = saved[0].order if saved else (0, 0)
    over = saved is not None and training_state.is_finished(saved[1])
    for index, stage in enumerate(plan.stages[first_stage:], first_stage):
        training = _begin(model, stage, loop, trainable, history, facts)
        if saved and index == first_stage:
            checkpoints.load_weights(saved[0], training.predictor)
            training_state.restore(training, saved[1])
        else:
            facts[stage.name] |= untrained_loss(model, stage, autocast(loop.precision, device))
        for epoch in range(first_epoch if index == first_stage else 0, stage.epochs):
            if over or patience_exhausted(history, stage.name, loop.patience, loop.select, higher_is_better):
                break
            report = partial(_report, observe, plan, index, epoch)
            row = train_epoch(training, stage, epoch, loop, report)
            if training.average and loop.ema_statistics == "estimated":
                estimate_batch_norm(training.predictor, stage, loop.precision)
            if validate and ((epoch + 1) % loop.validate_every == 0 or epoch + 1 == stage.epochs):
                last = (index + 1, epoch + 1) == (len(plan.stages), stage.epochs)
                row |= from_first(_validate(plan, validate, training.predictor, last))
                check_select(row, loop.select)
            history.append(row)
            if examples and examples.stage == stage.name and is_writer():
                hard_examples.write(examples, stage, epoch, training.predictor, loop.precision)
            if folder and is_writer():
                _save(training, folder, (index, epoch + 1), row)
                kept = (
                    None
                    if keep_every
                    else checkpoints_to_keep(folder, loop.select, higher_is_better, loop.averaged_epochs(epoch + 1))
                )
                checkpoints.prune(folder, kept)
            report(1, sum(row["loss"].values()), row)
        if training.average:
            model.load_state_dict(training.predictor.state_dict())
    if dist.is_initialized():
        dist.barrier()  # until the last checkpoint is written
    return history, facts


def _save(training: Training, folder: Path, order: tuple[int, int], row: dict[str, Any]) -> None:
    """Save the checkpoint of an epoch."""
    checkpoints.save(folder, order, row, training.predictor, training_state.state_dict(training))


def _check_stages(plan: Plan, loop: LoopOptions) -> None:
    """Check that stages have different names and that an epoch selected by number exists."""
    names = [stage.name for stage in plan.stages]
    if len(set(names)) < len(names):
        raise GoldfoldError(
            "stage_names_not_unique",
            f"stages must have different names, and these are called {', '.join(names)}: rename one",
        )
    late = [epoch for epoch in loop.averaged_epochs(plan.stages[-1].epochs) if epoch > plan.stages[-1].epochs]
    select = loop.select if not late else str(late[0])
    if select.isdecimal() and not 1 <= int(select) <= plan.stages[-1].epochs:
        last = plan.stages[-1]
        raise GoldfoldError(
            "unknown_epoch",
            f"the config names epoch {select}, and stage '{last.name}' has epochs 1 to {last.epochs}: choose one",
        )


def _report(
    observe: Observe | None, plan: Plan, index: int, epoch: int, part: float, loss: float, row: dict | None = None
) -> None:
    """Report the progress; `part` is the finished share of the 0-based epoch."""
    if observe is None:
        return
    stage = plan.stages[index]
    done = sum(earlier.epochs for earlier in plan.stages[:index]) + epoch + part
    observe(EpochProgress(stage.name, epoch + 1, stage.epochs, done / sum(s.epochs for s in plan.stages), loss, row))


def _begin(
    model: nn.Module, stage: Stage, loop: LoopOptions, trainable: set[str], history: History, facts: dict[str, Any]
) -> Training:
    """Begin a stage with its gradient scaler, weight average and wrapped model."""
    steps_per_epoch = math.ceil(len(epoch_batches(stage, 0)) / loop.accumulate)
    training = training_state.begin_stage(model, stage, steps_per_epoch, trainable, history, facts)
    device = next(model.parameters()).device
    training.scaler = GradScaler(device.type, enabled=autocast_dtype(loop.precision, device) is torch.float16)
    if loop.ema:
        training_state.use_weight_average(training, loop.ema)
    training_state.wrap_model(training, loop.compile)
    return training


def _validate(plan: Plan, validate: Validate, model: nn.Module, last: bool) -> dict[str, Any]:
    """Compute an epoch's scores and monitored values; the random states of training are restored."""
    with preserved_states():
        scores = dict(validate(model, last))
        model.eval()
        with torch.no_grad():
            monitored = plan.monitor(model) if plan.monitor else {}
    return {
        "metric": next(iter(scores.values())),
        "scores": scores,
        "monitored": {name: measured._asdict() for name, measured in monitored.items()},
    }
