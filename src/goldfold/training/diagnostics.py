"""Diagnostics recorded during training for the audits: learning rates, gradient norms, untrained losses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from goldfold.competition import Stage
from goldfold.io.random_states import preserved_states


@dataclass
class LearningRates:
    """Learning rates of a stage's parameter groups, one value for each group in the optimizer's order.

    configured: as the optimizer was built, before any schedule. peak, final: the highest rate, and that of the last
        optimizer step. next: the rate the schedule would use after the last step. minima: how often the rate fell and
        then rose again. falling: whether it fell at its last change.
    """

    configured: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    next: list[float] = field(default_factory=list)
    minima: list[int] = field(default_factory=list)
    falling: list[bool] = field(default_factory=list)

    @classmethod
    def of(cls, optimizer: Optimizer) -> LearningRates:
        """Start recording the rates of an optimizer that has made no step."""
        configured = [float(group["lr"]) for group in optimizer.param_groups]
        groups = len(configured)
        return cls(configured, [0.0] * groups, minima=[0] * groups, falling=[False] * groups)

    def record(self, optimizer: Optimizer) -> None:
        """Record the rates of the optimizer step just made."""
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        for group, (rate, before) in enumerate(zip(rates, self.final or rates, strict=True)):
            if rate > before and self.falling[group]:
                self.minima[group] += 1
            self.falling[group] = rate < before or (rate == before and self.falling[group])
            self.peak[group] = max(self.peak[group], rate)
        self.final = rates

    def record_next(self, optimizer: Optimizer) -> None:
        """Record the schedule's next rates: a cosine over few epochs reaches its end only after the last step."""
        self.next = [float(group["lr"]) for group in optimizer.param_groups]

    def facts(self) -> dict[str, Any]:
        """The fields as a dict for JSON."""
        return asdict(self)


def gradient_norms(
    model: nn.Module,
    losses: Callable[[nn.Module, Any], Mapping[str, Tensor]],
    batch: Any,
    autocast: Callable[[], AbstractContextManager],
) -> dict[str, float | None]:
    """Compute the L2 norm of each loss term's own gradient over all trainable parameters.

    None for a term without any gradient. Buffers and random states are restored, so training is not affected.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with preserved_states(), autocast():
        terms = losses(model, batch)
    norms = {name: _norm(term, parameters) for name, term in terms.items()}
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    return norms


def _norm(term: Tensor, parameters: list[nn.Parameter]) -> float | None:
    if not term.requires_grad:
        return None
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    known = [gradient.detach().float() for gradient in gradients if gradient is not None]
    return float(torch.nn.utils.get_total_norm(known)) if known else None


def parameters_without_gradient(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """Names of trainable parameters that the optimizer holds and no loss reached."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    learning = [(n, p) for n, p in model.named_parameters() if id(p) in held and p.requires_grad]
    return [name for name, parameter in learning if parameter.grad is None]


def untrained_loss(
    model: nn.Module, stage: Stage, autocast: Callable[[], AbstractContextManager]
) -> dict[str, dict[str, list[float]]]:
    """Compute the stage's loss without learning on a copy of the model: {"untrained_loss": {term: [value, sd]}}.

    Empty if the stage does not define it. Random states are restored.
    """
    if stage.untrained_loss is None:
        return {}
    with preserved_states(), autocast(), torch.no_grad():
        losses = stage.untrained_loss(copy.deepcopy(model).train())
    return {"untrained_loss": {term: [float(each.value), float(each.sd)] for term, each in losses.items()}}


def freeze_unoptimized(model: nn.Module, optimizer: Optimizer, trainable: set[str]) -> set[str]:
    """Set `requires_grad` for exactly those of the `trainable` parameters that the optimizer holds.

    Returns the names of all parameters that the optimizer holds.
    """
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in held}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names and name in trainable)
    return names
