"""AdamW for a network and its head: one rate, another for the head, or rates that fall from block to block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from goldfold.errors import GoldfoldError
from goldfold.nn.optimizers import AdamW


def adamw(params: Any, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW over all parameters, with `learning_rate` and `weight_decay` of params."""
    return AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True)


def head_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The parameters of the classifier; none if the network has no `get_classifier`."""
    classifiers = getattr(network, "get_classifier", nn.Identity)()
    classifiers = classifiers if isinstance(classifiers, tuple) else (classifiers,)  # distilled models have two
    return [value for classifier in classifiers for value in classifier.parameters()]


def fine_tuning(params: Any, network: nn.Module, beside: Sequence[nn.Parameter] = ()) -> torch.optim.Optimizer:
    """AdamW for fine-tuning: the head has `head_factor` times the learning rate of the rest.

    With `layer_decay` d below 1 the blocks have rates of their own: that of a block is d times that of the next one,
    and the last one's, like the head's, is as without it (Clark et al., ELECTRA, 2020; Bao et al., BEiT, 2022). The
    blocks are those of `timm.optim.param_groups_layer_decay`.

    params: with `learning_rate`, `head_factor`, `weight_decay` and `layer_decay`. beside: parameters of the columns
        beside the image, a group with the rate of the head.
    """
    head = head_parameters(network)
    known = set(map(id, head))
    if params.layer_decay < 1:
        groups = _blocks(params, network, known)
    else:
        backbone = [value for value in network.parameters() if id(value) not in known]
        groups = [{"name": "backbone", "params": backbone, "lr": params.learning_rate}]
    rate = params.learning_rate * params.head_factor
    groups += [{"name": "head", "params": head, "lr": rate}, {"name": "columns", "params": list(beside), "lr": rate}]
    filled = [group for group in groups if group["params"]]
    return AdamW(filled, weight_decay=params.weight_decay, fused=True)


def head_alone(params: Any, network: nn.Module, beside: Sequence[nn.Parameter] = ()) -> torch.optim.Optimizer:
    """AdamW for the head and `beside` alone, at the rate in `fine_tuning`; the engine freezes the rest in the stage."""
    rate = params.learning_rate * params.head_factor
    group = {"name": "head", "params": [*head_parameters(network), *beside], "lr": rate}
    return AdamW([group], weight_decay=params.weight_decay, fused=True)


def _blocks(params: Any, network: nn.Module, head: set[int]) -> list[dict[str, Any]]:
    """A group for each block of the network without its head; rates fall towards the input.

    Raises:
        GoldfoldError: `no_blocks`, all parameters are in one block.
    """
    from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]  # its package lists no names

    found: dict[float, list[nn.Parameter]] = {}
    for group in param_groups_layer_decay(network, layer_decay=params.layer_decay, weight_decay_exclude_1d=False):
        own = [value for value in group["params"] if id(value) not in head]
        found.setdefault(group["lr_scale"], []).extend(own)
    scales = sorted(scale for scale, values in found.items() if values)
    if len(scales) < 2:
        raise GoldfoldError(
            "no_blocks",
            f"layer_decay={params.layer_decay} has no effect, since the network has one block of parameters: leave it "
            "out, or give the network a group_matcher() as timm's models have",
        )
    return [
        {"name": f"block {number}", "params": found[scale], "lr": params.learning_rate * scale}
        for number, scale in enumerate(scales)
    ]
