"""Foreground of images: a U-Net of segmentation-models-pytorch on a timm backbone, trained on random crops.

A competition says how a row's objects are read; the recipe learns whether a pixel belongs to any object. What parts the
foreground into objects is the business of the metric and the submission (`goldfold.images.instances`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cv2
import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation
from goldfold.images import reading as images
from goldfold.images.views import MapViewSet, make_views, undo_views
from goldfold.nn import backbones, batches, schedules
from goldfold.nn.backbones import Backbone
from goldfold.params import BackboneName, Epochs, Params, Pretrained, Role, with_defaults

if TYPE_CHECKING:
    from albumentations import Compose
    from pandas import DataFrame

    Masks = Callable[[DataFrame], Iterable[np.ndarray]]

Side = Annotated[int, Field(ge=32, multiple_of=32)]  # a U-Net halves its image five times


class Segmenter(Params):
    """The network, what it sees, and how long it learns."""

    architecture: Literal["unet", "unetplusplus", "manet"] = "unet"
    backbone: BackboneName = Field("efficientnet_lite0", description="a timm model with feature maps at 1/2 to 1/32")
    pretrained: Pretrained = True
    decoder_channels: tuple[int, int, int, int, int] = Field((64, 48, 32, 24, 16), description="coarse to fine")
    image_size: Side = Field(256, description="pixels a side, whatever the files have")
    crop: Side = Field(128, description="pixels a side of the random crops in training; predictions see whole images")
    augmentation: Literal["none", "flips", "light", "strong"] = "flips"
    epochs: Epochs = Field(15, ge=1)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup: float = Field(0.15, ge=0, lt=1, description="share of all steps; after it the rate falls to 0 as a cosine")
    bce: float = Field(1.0, ge=0, description="weight of the cross-entropy over pixels; 0 leaves it out")
    dice: float = Field(1.0, ge=0, description="weight of 1 - Dice over a batch; 0 leaves it out")
    views: Annotated[MapViewSet, Role.VIEWS] = Field(
        "none", description="views of an image that its maps are averaged over"
    )

    @model_validator(mode="after")
    def _possible(self) -> Segmenter:
        if self.crop > self.image_size:
            raise ValueError(f"crop must not exceed image_size, got {self.crop} > {self.image_size}")
        if not self.bce + self.dice:
            raise ValueError("one of bce and dice must be above 0, or nothing is learned")
        return self


def recipe(masks: Masks, **defaults: Any) -> Recipe:
    """Foreground probability maps, (n, image_size, image_size) float16 in [0, 1].

    masks: rows -> for each row an integer (h, w) map of its objects, 0 = background.
    defaults: of `Segmenter`, where the competition's baseline wants others.
    """
    return Recipe(params=with_defaults(Segmenter, **defaults), build=partial(build, masks))


def build(masks: Masks, params: Segmenter, rows: DataFrame, runtime: Runtime) -> Plan:
    """Training images and masks are held in memory as bytes: 4 x image_size x image_size a row."""
    backbone = backbones.create(params.backbone, params.pretrained)
    item = partial(
        _sample,
        images.load_resized(list(rows["path"]), params.image_size),
        np.stack([_foreground(objects, params.image_size) for objects in masks(rows)]),
        list(rows["id"]),
        _cropped(params),
        runtime.seed,
    )
    stage = Stage(
        name="segment",
        epochs=params.epochs,
        batches=batches.from_dataset(item, len(rows), params.batch_size, runtime.seed, runtime.workers),
        losses=partial(_losses, params, backbone),
        optimizer=partial(_optimizer, params),
        schedule=partial(schedules.cosine, warmup=params.warmup),
    )
    return Plan(model=network(params, backbone), stages=[stage], predict=partial(_predict, params, backbone))


def network(params: Segmenter, backbone: Backbone) -> nn.Module:
    """(b, 3, s, s) normalised images -> (b, 1, s, s) logits; s a multiple of 32. Takes the backbone's model over.

    Raises GoldfoldError for a backbone without maps at 1/2 or 1/4 to 1/32 of its image.
    """
    import segmentation_models_pytorch as smp
    from timm.models._features import FeatureGetterNet

    try:
        model = smp.create_model(
            params.architecture,
            encoder_name=f"tu-{params.backbone}",
            encoder_weights=None,
            decoder_channels=params.decoder_channels,
        )
        levels = model.encoder.model.feature_info.out_indices
        model.encoder.model = FeatureGetterNet(backbone.model, levels)  # this one knows its weights and padding
    except (AttributeError, RuntimeError, ValueError) as error:
        raise GoldfoldError(
            f"backbone '{params.backbone}' cannot carry a {params.architecture} ({error}); "
            "choose a convolutional one such as efficientnet_lite0 or resnet18"
        ) from error
    return model


def _foreground(objects: np.ndarray, size: int) -> np.ndarray:
    """(h, w) objects -> (size, size) uint8, 1 where objects cover more than half of a pixel."""
    shrinks = min(objects.shape) >= size
    covered = cv2.resize(
        (objects > 0).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return (covered > 0.5).astype(np.uint8)


def _cropped(params: Segmenter) -> Compose:
    import albumentations as A

    return A.Compose([A.RandomCrop(params.crop, params.crop), augmentation.pipeline(params.augmentation, params.crop)])


def _sample(
    pixels: np.ndarray, foreground: np.ndarray, ids: list, pipeline: Compose, seed: int, epoch: int, position: int
) -> tuple[Tensor, Tensor]:
    """One crop as uint8 (c, c, 3) and its foreground as uint8 (c, c)."""
    drawn = augmentation.apply(pipeline, seed, epoch, ids[position], image=pixels[position], mask=foreground[position])
    return torch.from_numpy(drawn["image"].copy()), torch.from_numpy(drawn["mask"].copy())


def _normalised(pixels: Tensor, backbone: Backbone, model: nn.Module) -> Tensor:
    """uint8 (b, s, s, 3) -> what the backbone was trained on: float32 (b, 3, s, s), on the model's device."""
    device = next(model.parameters()).device
    mean, std = (torch.tensor(values, device=device) for values in (backbone.mean, backbone.std))
    return ((pixels.to(device).float() / 255 - mean) / std).permute(0, 3, 1, 2)


def _losses(params: Segmenter, backbone: Backbone, model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    from segmentation_models_pytorch.losses import DiceLoss

    logits = model(_normalised(batch[0], backbone, model)).float()
    truth = batch[1].to(logits)[:, None]
    terms = {"bce": nn.functional.binary_cross_entropy_with_logits, "dice": DiceLoss("binary")}
    weights = {name: getattr(params, name) for name in terms}
    return {name: weights[name] * loss(logits, truth) for name, loss in terms.items() if weights[name]}


def _optimizer(params: Segmenter, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)


def _predict(params: Segmenter, backbone: Backbone, model: nn.Module, _: None, rows: DataFrame) -> np.ndarray:
    maps = np.empty((len(rows), params.image_size, params.image_size), np.float16)
    paths = list(rows["path"])
    for start in range(0, len(paths), params.batch_size):
        chunk = slice(start, start + params.batch_size)
        pixels = torch.from_numpy(images.load_resized(paths[chunk], params.image_size))
        inputs = [_normalised(view, backbone, model) for view in make_views(pixels, params.views)]
        seen = [model(view).float().sigmoid()[:, 0] for view in inputs]
        maps[chunk] = torch.stack(undo_views(seen, params.views)).mean(dim=0).cpu().numpy()
    return maps
