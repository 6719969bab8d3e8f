"""Parameters of the recipes for images: network or backbone, input images, training, and columns beside the image."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from goldfold.images.augmentation import Augmentation
from goldfold.params import BackboneName, Needs, Params, Pretrained, WeightsFile
from goldfold.recipes.classification.parameters import (
    GradientCheckpointing,
    HeadFactor,
    LayerDecay,
    Mixup,
    PeakRate,
    SamplesPerBatch,
    Schedule,
    TrainingEpochs,
    Views,
    Warmup,
    WeightDecay,
)
from goldfold.recipes.classification.table_columns import ColumnParams


class NetworkParams(Params):
    """Network, input images and training."""

    backbone: BackboneName = Field("efficientnet_lite0", description="timm name of the network")
    pretrained: Annotated[Pretrained, Needs(weights="")] = Field(True, description="start from pretrained weights")
    weights: WeightsFile = ""
    drop_rate: float = Field(0.2, ge=0, lt=1, description="dropout rate before the classifier")
    image_size: int = Field(224, ge=8, description="side of the network's input, in pixels")
    augmentation: Augmentation = Field("light", description="random changes of training images")
    views: Views = Field(
        "none", description="views of an image over which predictions are averaged (TTA); none: the image itself"
    )
    mixup: Mixup = 0.0
    cutmix: float = Field(
        0.0,
        ge=0,
        description="replace a rectangle of each image with that of another one of its batch, by a share from "
        "Beta(cutmix, cutmix); 0: none. With mixup, each batch has one of both",
    )
    epochs: TrainingEpochs = 10
    freeze_epochs: int = Field(
        0, ge=0, description="epochs before these in which the classifier layer alone is trained"
    )
    batch_size: SamplesPerBatch = 16
    learning_rate: PeakRate = 3e-4
    head_factor: HeadFactor = 3.0
    layer_decay: LayerDecay = 1.0
    weight_decay: WeightDecay = 1e-2
    schedule: Schedule = "cosine"
    warmup: Warmup = 0.1
    gradient_checkpointing: GradientCheckpointing = False
    memory: float = Field(
        2.0, ge=0, description="GiB of pixels to hold in memory; larger tables are read from disk in every epoch"
    )


class ImageClassifierParams(ColumnParams, NetworkParams):
    """Network, input images and training, then columns beside the image."""


class HeadParams(Params):
    """Backbone, features, and training of the head."""

    backbone: BackboneName = Field("efficientnet_lite0", description="timm name of the backbone")
    pretrained: Annotated[Pretrained, Needs(weights="")] = Field(
        True, description="use pretrained weights; random ones are for tests"
    )
    weights: WeightsFile = ""
    image_size: int = Field(224, ge=32, description="side of the backbone's input, in pixels")
    views: Views = Field("none", description="views of an image (TTA); in training each view is a sample")
    stages: int = Field(
        0,
        ge=0,
        description="last stages whose feature maps are added to the output, as mean and standard deviation; 0: none",
    )
    hidden: int = Field(0, ge=0, description="width of the head's hidden layer; 0: a linear head")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate of the head")
    mixup: Mixup = 0.0
    epochs: TrainingEpochs = 20
    batch_size: SamplesPerBatch = 64
    learning_rate: PeakRate = 1e-3
    weight_decay: WeightDecay = 1e-2
    schedule: Schedule = "cosine"
    warmup: Warmup = 0.1


class FrozenBackboneParams(ColumnParams, HeadParams):
    """Backbone, features, and training of the head, then columns beside the image."""
