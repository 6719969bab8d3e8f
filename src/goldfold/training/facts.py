"""What the loop notes about itself while it trains, so that audits can judge it afterwards."""

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
class Rates:
    """Learning rates of a stage's parameter groups over its optimizer steps, in the optimizer's order of groups.

    configured: as the optimizer was built, before any schedule touched it.
    peak, final: the highest, and the last one a step was made with. left: where the schedule stood after that step.
    minima: how often the rate went down and then up again.
    """

    configured: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    minima: list[int] = field(default_factory=list)
    falling: list[bool] = field(default_factory=list)

    @classmethod
    def of(cls, optimizer: Optimizer) -> Rates:
        configured = [float(group["lr"]) for group in optimizer.param_groups]
        groups = len(configured)
        return cls(configured, [0.0] * groups, minima=[0] * groups, falling=[False] * groups)

    def note(self, optimizer: Optimizer) -> None:
        """Take down the rates of the step just made."""
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        for group, (rate, before) in enumerate(zip(rates, self.final or rates, strict=True)):
            if rate > before and self.falling[group]:
                self.minima[group] += 1
            self.falling[group] = rate < before or (rate == before and self.falling[group])
            self.peak[group] = max(self.peak[group], rate)
        self.final = rates

    def note_left(self, optimizer: Optimizer) -> None:
        """Take down where the schedule stands: a cosine over few epochs reaches its end only after the last of them."""
        self.left = [float(group["lr"]) for group in optimizer.param_groups]

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def gradient_norms(
    model: nn.Module,
    losses: Callable[[nn.Module, Any], Mapping[str, Tensor]],
    batch: Any,
    autocast: Callable[[], AbstractContextManager],
) -> dict[str, float | None]:
    """The norm of each loss term's own gradient over all trainable parameters; None for a term without any.

    Training goes on as if this had not happened: buffers and random states are put back.
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


def without_gradient(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """Names of trainable parameters the optimizer holds that the losses did not reach."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    learning = [(n, p) for n, p in model.named_parameters() if id(p) in held and p.requires_grad]
    return [name for name, parameter in learning if parameter.grad is None]


def untrained_loss(
    model: nn.Module, stage: Stage, autocast: Callable[[], AbstractContextManager]
) -> dict[str, dict[str, list[float]]]:
    """The untrained loss of a stage, computed with a copy of the model; empty if the stage has none.

    Random states are left as they were.
    """
    if stage.untrained_loss is None:
        return {}
    with preserved_states(), autocast(), torch.no_grad():
        told = stage.untrained_loss(copy.deepcopy(model).train())
    return {"untrained_loss": {term: [float(each.value), float(each.sd)] for term, each in told.items()}}


def freeze_others(model: nn.Module, optimizer: Optimizer, trainable: set[str]) -> set[str]:
    """Let gradients flow to exactly those of `trainable` that the optimizer holds; returns the names it holds."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in held}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names and name in trainable)
    return names
