"""Batch normalization of a frozen model, folded into the convolutions before it: the same function in less time.

In evaluation mode BatchNorm is y = (x - mean) / sqrt(var + eps) * weight + bias with constants, so that a convolution
before it can compute y by other weights and biases (Jacob et al., CVPR 2018, equation 14). Outputs differ by rounding.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

ROUNDING = 1e-3  # of the outputs' standard deviation; more than that is not rounding


def fold(model: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy of a frozen model whose BatchNorm2d layers are folded; the model itself if none can be.

    model: in evaluation mode. example: an input. A layer is folded if its input is the output of a convolution and each
        of both is used once. If the copy's outputs differ by more than rounding, the model itself is returned, too:
        something else reads what a convolution puts out.
    """
    assert not model.training
    with torch.inference_mode():
        before, pairs = _traced(model, example)
    if not pairs:
        return model
    folded = copy.deepcopy(model)
    for convolution, norm in pairs:
        _fold(folded, convolution, norm)
    with torch.inference_mode():
        difference = (folded(example) - before).abs().max()
    return folded if difference <= ROUNDING * before.std() else model


def _norms() -> tuple[type[nn.Module], ...]:
    from timm.layers.norm_act import BatchNormAct2d

    return nn.BatchNorm2d, BatchNormAct2d


def _convolutions() -> tuple[type[nn.Module], ...]:
    """Types whose weights are used as they are: timm also has some that standardize them."""
    from timm.layers.conv2d_same import Conv2dSame

    return nn.Conv2d, Conv2dSame


def _traced(model: nn.Module, example: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """The model's output, and the names of convolutions and of the norms that follow them."""
    calls: list[tuple[str, tuple, Tensor]] = []  # layer, inputs, output; all are kept, so that no id is used again

    def listen(name: str, layer: nn.Module) -> Any:
        return layer.register_forward_hook(lambda _, inputs, output: calls.append((name, inputs, output)))

    layers = {name: layer for name, layer in model.named_modules() if type(layer) in (*_norms(), *_convolutions())}
    hooks = [listen(name, layer) for name, layer in layers.items()]
    try:
        output = model(example)
    finally:
        for hook in hooks:
            hook.remove()
    names = [name for name, _, _ in calls]
    once = [call for call in calls if names.count(call[0]) == 1]
    made = {id(after): name for name, _, after in once if type(layers[name]) in _convolutions()}
    norms = [(name, id(inputs[0])) for name, inputs, _ in once if inputs and _has_norm(layers[name])]
    return output, [(made[given], name) for name, given in norms if given in made]


def _has_norm(layer: nn.Module) -> bool:
    """Whether a layer is a norm by statistics of the training, not of the batch."""
    return type(layer) in _norms() and getattr(layer, "running_var", None) is not None


def _fold(model: nn.Module, convolution: str, norm: str) -> None:
    """Fold one norm of the model in place; the activation that timm has in it stays."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    conv: Any = model.get_submodule(convolution)
    bn: Any = model.get_submodule(norm)
    device, dtype = conv.weight.device, conv.weight.dtype
    fused = fuse_conv_bn_eval(conv.cpu().double(), bn.cpu().double()).to(device, dtype)
    rest = [getattr(bn, each) for each in ("drop", "act") if hasattr(bn, each)]
    for name, layer in ((convolution, fused), (norm, nn.Sequential(*rest))):
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer)
