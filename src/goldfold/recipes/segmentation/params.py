"""Parameters of the recipe `segmenter`."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from goldfold.images.sizes import Size, as_text, height_and_width
from goldfold.images.tiles import SMALLEST
from goldfold.images.views import MapViewSet
from goldfold.params import BackboneName, BatchSize, Epochs, LearningRate, Needs, Not, Params, Pretrained, Role, unused

LOSSES = ("bce", "ce", "dice", "focal", "lovasz", "tversky")
STRIDE = 32  # an encoder halves its image five times
Nested = Literal["unet", "unetplusplus", "manet"]  # decoders whose channels can be chosen
Architecture = Literal[Nested, "linknet", "fpn", "pan", "pspnet", "deeplabv3", "deeplabv3plus", "upernet", "segformer"]
NESTED: tuple[str, ...] = get_args(Nested)


def _divisible(size: Size, info: ValidationInfo) -> Size:
    _check_divisible(size, str(info.field_name))
    return size


def _check_divisible(size: Size, name: str) -> None:
    for side in height_and_width(size):
        if side < STRIDE or side % STRIDE:
            below = side // STRIDE * STRIDE
            near = f"{below} and {below + STRIDE} are the nearest" if below else f"{STRIDE} is the smallest"
            raise ValueError(
                f"{name} must be a multiple of {STRIDE}, since an encoder halves its image five times, got {side}: "
                f"{near}"
            )


Sides = Annotated[Size, AfterValidator(_divisible)]


class SegmenterParams(Params):
    """Network, input images, training and loss."""

    architecture: Architecture = Field("unet", description="decoder architecture")
    backbone: BackboneName = Field(
        "efficientnet_lite0", description="timm name of the encoder, with feature maps at 1/2 or 1/4 to 1/32"
    )
    pretrained: Pretrained = Field(True, description="start the encoder from pretrained weights")
    decoder_channels: Annotated[tuple[int, int, int, int, int], Needs(architecture=NESTED)] = Field(
        (64, 48, 32, 24, 16), description="channels of the decoder, coarse to fine"
    )
    image_size: Size = Field(256, description="height and width to which images are resized, or one side, in pixels")
    tiles: Sides | None = Field(
        None, description="height and width of overlapping tiles that are predicted; null: the whole image at once"
    )
    overlap: Annotated[float, Needs(tiles=Not(None))] = Field(
        0.25, ge=0, le=0.5, description="least share of a tile that the next one shows, too; there both are blended"
    )
    neighbors: int = Field(
        0, ge=0, description="slices before and after a row's that are gray channels of its image; 0: the image in RGB"
    )
    fit: Literal["resize", "letterbox"] = Field(
        "resize", description="resize: stretch images to image_size. letterbox: keep their aspect ratio and pad them"
    )
    crop: Sides = Field(
        128, description="height and width of random training crops, in pixels; predictions use images or tiles"
    )
    memory: float = Field(
        4.0, ge=0, description="GiB of images and masks to hold in memory; more are read from disk in every epoch"
    )
    rare_crops: float = Field(
        0.0, ge=0, le=1, description="share of crops that hold a pixel of a class drawn by its rarity; 0: none"
    )
    augmentation: Annotated[Literal["none", "flips", "moves", "light", "strong"], Role.MIRRORS] = Field(
        "flips", description="random changes of training crops"
    )
    flip: Annotated[bool, Role.MIRRORS] = Field(False, description="also flip half of the training crops left-right")
    epochs: Epochs = Field(15, ge=1, description="number of training epochs")
    batch_size: BatchSize = Field(8, ge=1, description="crops per batch")
    prediction_batch: int | None = Field(None, ge=1, description="images or tiles predicted at once; null: batch_size")
    learning_rate: LearningRate = Field(2e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of AdamW")
    warmup: float = Field(
        0.15, ge=0, lt=1, description="share of all steps in which the learning rate rises; then a cosine falls to 0"
    )
    bce: float = Field(1.0, ge=0, description="weight of the pixel-wise binary cross-entropy in the loss; 0: none")
    ce: float = Field(1.0, ge=0, description="weight of the cross-entropy of exclusive classes in the loss; 0: none")
    dice: float = Field(1.0, ge=0, description="weight of 1 - Dice of a batch in the loss; 0: none")
    focal: float = Field(0.0, ge=0, description="weight of the focal loss; 0: none")
    lovasz: float = Field(0.0, ge=0, description="weight of the Lovász loss, a surrogate of 1 - IoU; 0: none")
    tversky: float = Field(0.0, ge=0, description="weight of 1 - Tversky index of a batch in the loss; 0: none")
    pos_weight: Annotated[float | Literal["balanced"], Needs(bce=Not(0.0))] = Field(
        1.0, description="factor of positive pixels in bce; balanced: negatives divided by positives of training rows"
    )
    class_weights: Annotated[tuple[float, ...] | Literal["equal", "balanced"], Needs(ce=Not(0.0))] = Field(
        "equal", description="factor of each class in ce; balanced: median frequency divided by the class's frequency"
    )
    focal_gamma: Annotated[float, Needs(focal=Not(0.0))] = Field(
        2.0, ge=0, description="exponent of the focal loss; larger: easy pixels count less"
    )
    tversky_alpha: Annotated[float, Needs(tversky=Not(0.0))] = Field(
        0.3, ge=0, le=1, description="factor of false positives in tversky; that of false negatives is 1 - alpha"
    )
    views: Annotated[MapViewSet, Role.VIEWS] = Field(
        "none", description="views of an image over which its maps are averaged (TTA); none: the image itself"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> SegmenterParams:
        if self.tiles is None:
            _check_divisible(self.image_size, "image_size")
            return self
        tile, whole = height_and_width(self.tiles), height_and_width(self.image_size)
        if min(tile) < SMALLEST:
            raise ValueError(f"tiles must be at least {SMALLEST}, so that they can overlap, got {as_text(tile)}")
        if all(part >= side + STRIDE for part, side in zip(tile, whole, strict=True)):
            raise ValueError(
                f"tiles must not exceed image_size, got {as_text(tile)} > {as_text(whole)}: set image_size to the "
                "height and width of your images, or tiles to null"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> SegmenterParams:
        sides = zip(height_and_width(self.crop), height_and_width(self.image_size), strict=True)
        if any(crop > whole for crop, whole in sides):
            raise ValueError(f"crop must not exceed image_size, got {as_text(self.crop)} > {as_text(self.image_size)}")
        if not any(self.loss_weights().values()):
            names = " and ".join(self.loss_weights())
            raise ValueError(f"{names} are all 0, so the loss is empty: set one of them above 0")
        if isinstance(self.pos_weight, float) and self.pos_weight <= 0:
            raise ValueError(f"pos_weight must be above 0, got {self.pos_weight:g}: 1 weighs all pixels alike")
        if not isinstance(self.class_weights, str) and min(self.class_weights, default=0) <= 0:
            raise ValueError(f"class_weights must be above 0, got {list(self.class_weights)}: give one for each class")
        return self

    def network_size(self) -> tuple[int, int]:
        """Height and width of what the network predicts at once: an image, or a tile."""
        return height_and_width(self.image_size if self.tiles is None else self.tiles)

    def channels(self) -> int:
        """Channels of the network's images."""
        return 2 * self.neighbors + 1 if self.neighbors else 3

    def loss_weights(self) -> dict[str, float]:
        """Term -> its weight, of the terms that fit the classes of the competition."""
        return {name: getattr(self, name) for name in LOSSES if name not in unused(type(self))}
