"""Foreground segmentation: a U-Net of segmentation-models-pytorch on a timm backbone, trained on random crops.

The competition says how the masks of a row are read; the recipe learns whether a pixel belongs to any object. Metric
and submission split the foreground into objects (`goldfold.images.instances`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cv2
import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation, reading
from goldfold.images.views import MapViewSet, make_views, undo_views
from goldfold.nn import backbones, batches, schedules
from goldfold.nn.backbones import Backbone
from goldfold.params import BackboneName, BatchSize, Epochs, LearningRate, Params, Pretrained, Role, with_defaults

if TYPE_CHECKING:
    from albumentations import Compose
    from pandas import DataFrame

    Masks = Callable[[DataFrame], Iterable[np.ndarray]]

Side = Annotated[int, Field(ge=32, multiple_of=32)]  # a U-Net halves its image five times


class SegmenterParams(Params):
    """Network, input images and training."""

    architecture: Literal["unet", "unetplusplus", "manet"] = Field("unet", description="decoder architecture")
    backbone: BackboneName = Field(
        "efficientnet_lite0", description="timm name of the encoder, with feature maps at 1/2 to 1/32"
    )
    pretrained: Pretrained = Field(True, description="start the encoder from pretrained weights")
    decoder_channels: tuple[int, int, int, int, int] = Field(
        (64, 48, 32, 24, 16), description="channels of the decoder, coarse to fine"
    )
    image_size: Side = Field(256, description="side to which images are resized, in pixels")
    crop: Side = Field(128, description="side of random training crops, in pixels; predictions use whole images")
    augmentation: Annotated[Literal["none", "flips", "light", "strong"], Role.MIRRORS] = Field(
        "flips", description="random changes of training crops"
    )
    epochs: Epochs = Field(15, ge=1, description="number of training epochs")
    batch_size: BatchSize = Field(8, ge=1, description="crops per batch")
    learning_rate: LearningRate = Field(2e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of AdamW")
    warmup: float = Field(
        0.15, ge=0, lt=1, description="share of all steps in which the learning rate rises; then a cosine falls to 0"
    )
    bce: float = Field(1.0, ge=0, description="weight of the pixel-wise cross-entropy in the loss; 0 leaves it out")
    dice: float = Field(1.0, ge=0, description="weight of 1 - Dice of a batch in the loss; 0 leaves it out")
    views: Annotated[MapViewSet, Role.VIEWS] = Field(
        "none", description="views of an image over which its maps are averaged (TTA); none: the image itself"
    )

    @model_validator(mode="after")
    def _consistent(self) -> SegmenterParams:
        if self.crop > self.image_size:
            raise ValueError(f"crop must not exceed image_size, got {self.crop} > {self.image_size}")
        if not self.bce + self.dice:
            raise ValueError("bce and dice are both 0, so the loss is empty: set one of them above 0")
        return self


def recipe(masks: Masks, **defaults: Any) -> Recipe:
    """Return the recipe for rows with a column `path`.

    masks: rows -> an integer (h, w) map of the objects of each row, 0 = background.
    defaults: defaults of `SegmenterParams` for this competition.

    Predictions are foreground probability maps, (n, image_size, image_size) float16 in [0, 1].
    """
    return Recipe(
        params=with_defaults(SegmenterParams, **defaults),
        build=partial(build, masks),
        columns=("path",),
        example=lambda params, rows, _: np.full((rows, params.image_size, params.image_size), 0.5, np.float16),
    )


def build(masks: Masks, params: SegmenterParams, rows: DataFrame, runtime: Runtime) -> Plan:
    """Build the plan of one fold; images and masks are held in memory, 4 * image_size**2 bytes per row."""
    backbone = backbones.create(params.backbone, params.pretrained)
    item = partial(
        _sample,
        reading.load_resized(list(rows["path"]), params.image_size),
        np.stack([_foreground(objects, params.image_size) for objects in _sized(masks(rows), rows)]),
        augmentation.distinct_ids(rows["id"]),
        _crop_pipeline(params),
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


def network(params: SegmenterParams, backbone: Backbone) -> nn.Module:
    """Create the network: (b, 3, s, s) normalized images -> (b, 1, s, s) logits, s a multiple of 32.

    backbone: its model becomes part of the network.

    Raises:
        GoldfoldError: `backbone_unsuitable`, it lacks feature maps at 1/2 or 1/4 to 1/32 of the image.
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
        model.encoder.model = FeatureGetterNet(backbone.model, levels)  # has the weights and padding of `backbone`
    except (AttributeError, RuntimeError, ValueError) as error:
        raise GoldfoldError(
            "backbone_unsuitable",
            f"backbone '{params.backbone}' cannot be used for {params.architecture} ({error}): "
            "choose a convolutional one such as efficientnet_lite0 or resnet18",
        ) from error
    return model


def _sized(objects: Iterable[np.ndarray], rows: DataFrame) -> Iterator[np.ndarray]:
    """The objects of each row; a map of another size than its image raises GoldfoldError."""
    for each, id_, path in zip(objects, rows["id"], rows["path"], strict=True):
        if each.shape != (wanted := reading.size(path)):
            raise GoldfoldError(
                "mask_size_differs",
                f"the mask of row {id_!r} has {each.shape[1]} x {each.shape[0]} pixels and its image {wanted[1]} x "
                f"{wanted[0]}: correct what the competition's masks() returns",
            )
        yield each


def _foreground(objects: np.ndarray, size: int) -> np.ndarray:
    """Resize (h, w) objects to (size, size) uint8, 1 where objects cover more than half of a pixel."""
    shrinks = min(objects.shape) >= size
    covered = cv2.resize(
        (objects > 0).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return (covered > 0.5).astype(np.uint8)


def _crop_pipeline(params: SegmenterParams) -> Compose:
    import albumentations as A

    return A.Compose([A.RandomCrop(params.crop, params.crop), augmentation.pipeline(params.augmentation, params.crop)])


def _sample(
    pixels: np.ndarray, foreground: np.ndarray, ids: list, pipeline: Compose, seed: int, epoch: int, position: int
) -> tuple[Tensor, Tensor]:
    """Return one crop, uint8 (c, c, 3), and its foreground, uint8 (c, c)."""
    drawn = augmentation.apply(pipeline, seed, epoch, ids[position], image=pixels[position], mask=foreground[position])
    return torch.from_numpy(drawn["image"].copy()), torch.from_numpy(drawn["mask"].copy())


def _normalize(pixels: Tensor, backbone: Backbone, model: nn.Module) -> Tensor:
    """Normalize uint8 (b, s, s, 3) as the backbone expects: float32 (b, 3, s, s) on the model's device."""
    device = next(model.parameters()).device
    mean, std = (torch.tensor(values, device=device) for values in (backbone.mean, backbone.std))
    return ((pixels.to(device).float() / 255 - mean) / std).permute(0, 3, 1, 2)


def _losses(
    params: SegmenterParams, backbone: Backbone, model: nn.Module, batch: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    from segmentation_models_pytorch.losses import DiceLoss

    logits = model(_normalize(batch[0], backbone, model)).float()
    truth = batch[1].to(logits)[:, None]
    terms = {"bce": nn.functional.binary_cross_entropy_with_logits, "dice": DiceLoss("binary")}
    weights = {name: getattr(params, name) for name in terms}
    return {name: weights[name] * loss(logits, truth) for name, loss in terms.items() if weights[name]}


def _optimizer(params: SegmenterParams, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)


def _predict(params: SegmenterParams, backbone: Backbone, model: nn.Module, _: None, rows: DataFrame) -> np.ndarray:
    maps = np.empty((len(rows), params.image_size, params.image_size), np.float16)
    paths = list(rows["path"])
    device = next(model.parameters()).device
    for chunk in batches.prediction_batches(len(paths), params.batch_size, params.image_size, device):
        pixels = torch.from_numpy(reading.load_resized(paths[chunk], params.image_size))
        views = make_views(pixels, params.views)
        predicted = [model(_normalize(view, backbone, model)).float().sigmoid()[:, 0] for view in views]
        maps[chunk] = torch.stack(undo_views(predicted, params.views)).mean(dim=0).cpu().numpy()
    return maps
