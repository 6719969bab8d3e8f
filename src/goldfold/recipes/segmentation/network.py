"""The network: a decoder of segmentation-models-pytorch on a timm encoder, and the sizes of images that it takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from goldfold.errors import GoldfoldError
from goldfold.images.sizes import Size, as_text, height_and_width
from goldfold.nn import backbones
from goldfold.nn.backbones import Backbone
from goldfold.recipes.segmentation.params import NESTED, STRIDE, SegmenterParams

FARTHEST = 8  # strides from a size up to which other sizes are tried
OUTPUT_STRIDES = {"deeplabv3": 8, "deeplabv3plus": 16, "pan": 16}  # of dilated encoders; all others have 32
POOLED = ("deeplabv3", "deeplabv3plus", "pan", "pspnet", "upernet")  # normalize one value per channel and image


def encoder(params: SegmenterParams) -> Backbone:
    """Create the encoder for images or tiles, dilated where the decoder wants it.

    Raises:
        GoldfoldError: those of `backbones.create`; `backbone_unsuitable`, it cannot be dilated.
    """
    stride = OUTPUT_STRIDES.get(params.architecture)
    if stride is None:
        return backbones.create(params.backbone, params.pretrained, params.channels(), image_size=params.network_size())
    try:
        return backbones.create(params.backbone, params.pretrained, params.channels(), output_stride=stride)
    except (AssertionError, TypeError) as error:  # of families that cannot be dilated
        raise _unsuitable(params, error) from error


def create(params: SegmenterParams, backbone: Backbone, maps: int = 1) -> nn.Module:
    """Create the network: (b, channels, h, w) normalized images -> (b, maps, h, w) logits.

    backbone: its model becomes part of the network.

    Raises:
        GoldfoldError: `backbone_unsuitable`, it lacks feature maps at 1/2 or 1/4 to 1/32 of the image.
    """
    import segmentation_models_pytorch as smp
    from timm.models._features import FeatureGetterNet

    options = {"decoder_channels": params.decoder_channels} if params.architecture in NESTED else {}
    try:
        model = smp.create_model(
            params.architecture,
            encoder_name=f"tu-{params.backbone}",
            encoder_weights=None,
            in_channels=params.channels(),
            classes=maps,
            **options,
        )
        encoder: Any = model.encoder
        levels = encoder.model.feature_info.out_indices
        encoder.model = FeatureGetterNet(backbone.model, levels)  # has the weights and padding of `backbone`
        encoder._is_channel_last = False  # FeatureGetterNet returns (b, c, h, w) of every family
    except Exception as error:  # each family of models raises its own
        raise _unsuitable(params, error) from error
    return model


def _unsuitable(params: SegmenterParams, error: Exception) -> GoldfoldError:
    return GoldfoldError(
        "backbone_unsuitable",
        f"backbone '{params.backbone}' cannot be used for {params.architecture} ({_reason(error)}): "
        "choose a convolutional one such as efficientnet_lite0 or resnet18",
    )


def check_sizes(model: nn.Module, params: SegmenterParams) -> None:
    """Raise GoldfoldError (`image_size_unsuitable`) unless the network takes training crops and images or tiles."""
    whole = "tiles" if params.tiles else "image_size"
    for key in (whole, "crop"):
        size = getattr(params, key)
        error = _fault(model, size, params.channels())
        if error is None:
            continue
        near = sorted([each for each in _near(size) if _fault(model, each, params.channels()) is None][:2])
        step = f"choose {' or '.join(f'{key}={as_text(each)}' for each in near) or 'another backbone'}"
        raise GoldfoldError(
            "image_size_unsuitable",
            f"{params.architecture} on backbone '{params.backbone}' cannot take {key}={as_text(size)} ({error}): {step}"
            f"{f', or crop equal to {whole}' if key == 'crop' else ''}",
        )


def _near(size: Size) -> list[tuple[int, int]]:
    """Other sizes, nearest first, both sides changed alike and multiples of the stride."""
    rows, columns = height_and_width(size)
    steps = sorted((step for step in range(-FARTHEST, FARTHEST + 1) if step), key=abs)
    sizes = [(rows + STRIDE * step, columns + STRIDE * step) for step in steps]
    return [each for each in sizes if min(each) >= STRIDE]


def _fault(model: nn.Module, size: Size, channels: int) -> str | None:
    """Why the network cannot take an image of this size, or None."""
    training, device = model.training, next(model.parameters()).device
    height, width = height_and_width(size)
    try:
        with torch.no_grad():
            logits = model.eval()(torch.zeros(1, channels, height, width, device=device))
    except Exception as error:  # as above
        return _reason(error)
    finally:
        model.train(training)
    found = tuple(logits.shape[2:])
    return None if found == (height, width) else f"its maps have {as_text(found)} pixels"


def _reason(error: Exception) -> str:
    """The first sentence of an error of a library."""
    told = " ".join(str(error).split()) or type(error).__name__
    return told.split(". ")[0].rstrip(".")[:200]
