"""The state of a training stage, and how it is saved and restored bit-identically."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from goldfold.competition import Stage
from goldfold.io import random_states
from goldfold.nn.optimizers import refuse_duplicates
from goldfold.training import parameter_groups
from goldfold.training.diagnostics import freeze_unoptimized
from goldfold.training.parameter_groups import LearningRates

History = list[dict[str, Any]]


@dataclass
class Training:
    """A stage in training.

    model: the plan's. wrapped: the model that the losses call (compiled, distributed). average: the moving average of
        the weights, if there is one. history: the rows of all epochs so far, those of earlier stages included. facts:
        stage -> see `goldfold.training.loop`.
    """

    stage: str
    model: nn.Module
    wrapped: nn.Module
    average: AveragedModel | None
    optimizer: Optimizer
    schedule: LRScheduler | None
    scaler: GradScaler
    rates: LearningRates
    history: History
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def predictor(self) -> nn.Module:
        """The model that predicts: the averaged one if there is one."""
        return self.average.module if self.average else self.model


def begin_stage(
    model: nn.Module, stage: Stage, steps_per_epoch: int, trainable: set[str], history: History, facts: dict[str, Any]
) -> Training:
    """Build a stage's optimizer and schedule, and freeze parameters that the optimizer does not hold.

    trainable: names of the parameters that are not frozen in the plan's model. They are not when the optimizer is
        built either, whatever an earlier stage held, since optimizers often take those that require gradients.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
    optimizer = stage.optimizer(model)
    refuse_duplicates(optimizer.param_groups)
    rates = LearningRates.of(optimizer)
    held = freeze_unoptimized(model, optimizer, trainable)
    facts[stage.name] = {
        "trainable": sorted(trainable),
        "held": sorted(held),
        "rates": rates.facts(),
        "weights": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "unmoved": parameter_groups.fingerprints(optimizer),
    }
    schedule = stage.schedule(optimizer, stage.epochs, steps_per_epoch) if stage.schedule else None
    scaler = GradScaler(next(model.parameters()).device.type, enabled=False)
    return Training(stage.name, model, model, None, optimizer, schedule, scaler, rates, history, facts)


def use_weight_average(training: Training, decay: float) -> None:
    """Predict with an exponential moving average of the weights; buffers (batch statistics) are copied."""
    training.average = AveragedModel(training.model, multi_avg_fn=get_ema_multi_avg_fn(decay))


def wrap_model(training: Training, compiled: bool) -> None:
    """Wrap the model for distributed training, and compile it if wanted."""
    if dist.is_initialized():
        devices = [torch.cuda.current_device()] if next(training.model.parameters()).is_cuda else None
        training.wrapped = DistributedDataParallel(training.model, device_ids=devices)
    if compiled:
        training.wrapped = cast(nn.Module, torch.compile(training.wrapped))  # its stub returns a function


def state_dict(training: Training) -> dict[str, Any]:
    """Everything that the next epoch depends on, for `torch.save`."""
    return _plain(
        {
            "model": training.model.state_dict() if training.average else None,
            "average": {"n": training.average.n_averaged} if training.average else None,
            "optimizer": training.optimizer.state_dict(),
            "schedule": training.schedule.state_dict() if training.schedule else None,
            "scaler": training.scaler.state_dict(),
            "random": random_states.get_states(),
            "rates": training.rates.facts(),
            "history": training.history,
            "facts": training.facts,
        }
    )


def of_finished(state: dict[str, Any]) -> dict[str, Any]:
    """What is left to know of a training that is over: random states, learning rates, history and facts.

    The rest, that of the optimizer above all, is larger than the weights, and only another epoch would read it.
    """
    return {key: state[key] for key in ("random", "rates", "history", "facts")}


def is_finished(state: dict[str, Any]) -> bool:
    """Whether a saved state is that of a training that is over, so that no epoch can follow."""
    return "optimizer" not in state


def _plain(value: Any) -> Any:
    """Convert NumPy scalars to Python's: `torch.load` refuses NumPy's, which some schedules leave in the rates."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(part) for part in value)
    return value.item() if isinstance(value, np.generic) else value


def restore(training: Training, state: dict[str, Any]) -> None:
    """Restore the state saved by `state_dict`; the caller has loaded the predictor's weights before."""
    if not is_finished(state):
        _restore_steps(training, state)
    training.rates = LearningRates(**state["rates"])
    training.history[:] = state["history"]
    training.facts.update(state["facts"])
    random_states.set_states(state["random"])


def _restore_steps(training: Training, state: dict[str, Any]) -> None:
    """Restore what further steps depend on."""
    if training.average:
        training.model.load_state_dict(state["model"])
        training.average.n_averaged.copy_(state["average"]["n"])
    training.optimizer.load_state_dict(state["optimizer"])
    if training.schedule:
        training.schedule.load_state_dict(state["schedule"])
    training.scaler.load_state_dict(state["scaler"])
