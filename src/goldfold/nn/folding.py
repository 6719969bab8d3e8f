"""Batch normalization and paddings of a frozen model, folded into its convolutions: the same function in less time.

In evaluation mode BatchNorm is y = (x - mean) / sqrt(var + eps) * weight + bias with constants, so that a convolution
before it can compute y by other weights and biases (Jacob et al., CVPR 2018, equation 14). Outputs differ by rounding.

TensorFlow's "SAME" padding depends on the size of the input and may be one pixel more at the bottom and right than at
the top and left; timm copies each input into a larger one for it. For inputs of a known size it is the convolution's
own padding, with a row and column of zeros in front of the weights where the sides differ.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)

ROUNDING = 1e-3  # of the outputs' standard deviation; more than that is not rounding


def fold(model: Model, example: Tensor) -> Model:
    """Return a copy of a frozen model whose BatchNorm2d layers and paddings are folded; the model itself without any.

    model: in evaluation mode. example: an input; the copy takes inputs of its height and width. A layer is folded if
        its input is the output of a convolution and each of both is used once. If the copy's outputs differ by more
        than rounding, the model itself is returned, too: something else reads what a convolution puts out.
    """
    assert not model.training
    with torch.inference_mode():
        before, pairs, sizes = _traced(model, example)
    padded = {name: size for name, size in sizes.items() if _takes_same_padding(model.get_submodule(name))}
    if not pairs and not padded:
        return model
    folded = copy.deepcopy(model)
    for convolution, norm in pairs:
        _fold(folded, convolution, norm)
    for convolution, size in padded.items():
        _fold_padding(folded, convolution, size)
    with torch.inference_mode():
        difference = (folded(example) - before).abs().max()
    return folded if difference <= ROUNDING * before.std() else model


def fold_for_images(model: nn.Module, size: tuple[int, int], device: torch.device) -> nn.Module:
    """Return `fold` of a model of pixels, uint8 (n, h, w, 3), for those of this height and width."""
    draw = torch.Generator().manual_seed(0)
    return fold(model, torch.randint(256, (1, *size, 3), generator=draw, dtype=torch.uint8).to(device))


def _norms() -> tuple[type[nn.Module], ...]:
    from timm.layers.norm_act import BatchNormAct2d

    return nn.BatchNorm2d, BatchNormAct2d


def _convolutions() -> tuple[type[nn.Module], ...]:
    """Types whose weights are used as they are: timm also has some that standardize them."""
    from timm.layers.conv2d_same import Conv2dSame

    return nn.Conv2d, Conv2dSame


def _traced(model: nn.Module, example: Tensor) -> tuple[Tensor, list[tuple[str, str]], dict[str, torch.Size]]:
    """The model's output, convolutions with the norms that follow them, and the height and width that each one gets."""
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
    sizes = {name: inputs[0].shape[-2:] for name, inputs, _ in once if type(layers[name]) in _convolutions()}
    return output, [(made[given], name) for name, given in norms if given in made], sizes


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
    _replace(model, convolution, fused)
    _replace(model, norm, nn.Sequential(*rest))


def _takes_same_padding(layer: Any) -> bool:
    from timm.layers.conv2d_same import Conv2dSame

    return type(layer) is Conv2dSame and layer.dilation == (1, 1)


def _fold_padding(model: nn.Module, convolution: str, size: Sequence[int]) -> None:
    """Replace a convolution with "SAME" padding, in place, by one with its own padding for inputs of this size."""
    from timm.layers.padding import get_same_padding

    conv: Any = model.get_submodule(convolution)
    widths = zip(size, conv.kernel_size, conv.stride, strict=True)
    down, right = (int(get_same_padding(length, kernel, stride, 1)) for length, kernel, stride in widths)
    weight = nn.functional.pad(conv.weight, (right % 2, 0, down % 2, 0))
    kernel, padding = (weight.shape[2], weight.shape[3]), ((down + 1) // 2, (right + 1) // 2)
    shape = {"kernel_size": kernel, "stride": conv.stride, "padding": padding, "groups": conv.groups}
    layer = nn.Conv2d(conv.in_channels, conv.out_channels, **shape, bias=False, device="meta")  # draws no weights
    layer.weight, layer.bias = nn.Parameter(weight, requires_grad=False), conv.bias
    _replace(model, convolution, layer)


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, layer)
