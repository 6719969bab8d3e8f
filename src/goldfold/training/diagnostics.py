"""Diagnostics recorded during training for the audits: an epoch's first batch, frozen weights, untrained losses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from goldfold.competition import Stage
from goldfold.io.random_states import preserved_states
from goldfold.training.loss_inputs import LossInputs, outside_parameters

if TYPE_CHECKING:
    from goldfold.training.state import Training


def first_terms(
    training: Training, stage: Stage, batch: Any, autocast: Callable[[], AbstractContextManager], alone: bool
) -> tuple[Mapping[str, Tensor], dict[str, float | None]]:
    """Compute the loss terms of an epoch's first batch, and the L2 norm of each term's gradient over trained weights.

    None for a term without any gradient. What the terms were computed from is noted in the facts of the stage. A model
    that is compiled or distributed is looked at in a pass of its own, which does not affect training.

    alone: leave out the norm of a single term, which is that of the whole gradient.
    """
    if training.wrapped is training.model:
        terms = _watched(training, stage, batch, autocast)
        return terms, {} if alone and len(terms) == 1 else _norms(terms, training.model)
    buffers = {name: buffer.clone() for name, buffer in training.model.named_buffers()}
    with preserved_states():
        norms = _norms(_watched(training, stage, batch, autocast), training.model)
    for name, buffer in training.model.named_buffers():
        buffer.copy_(buffers[name])
    with autocast():
        return stage.losses(training.wrapped, batch), norms


def _watched(
    training: Training, stage: Stage, batch: Any, autocast: Callable[[], AbstractContextManager]
) -> Mapping[str, Tensor]:
    """The loss terms of a batch; facts of their inputs are noted."""
    with LossInputs() as inputs, autocast():
        terms = stage.losses(training.model, batch)
    facts, constant = training.facts[stage.name], inputs.constant()
    facts["constant_features"] = [each for each in facts.get("constant_features", constant) if each in constant]
    if "outside" not in facts:
        facts["outside"] = outside_parameters(terms.values(), training.model, training.optimizer)
        facts["silent_summands"] = inputs.silent_summands() if len(terms) == 1 else []
    return terms


def _norms(terms: Mapping[str, Tensor], model: nn.Module) -> dict[str, float | None]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return {name: _norm(term, parameters) for name, term in terms.items()}


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
