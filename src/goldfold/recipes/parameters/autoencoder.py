"""Parameters of the autoencoder recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from goldfold.anomaly.autoencoders import Skips
from goldfold.anomaly.synthetic_defects import Kind
from goldfold.nn import schedules
from goldfold.params import BackboneName, BatchSize, Epochs, LearningRate, Models, Needs, Not, Params, Pretrained, Role


class AutoencoderParams(Params):
    """Network, input images, training and anomaly score."""

    backbone: BackboneName = Field(
        "efficientnet_lite0", description="timm name of the encoder; plain: a U-Net trained from scratch"
    )
    pretrained: Annotated[Pretrained, Needs(backbone=Not("plain"))] = Field(
        True, description="start the encoder from pretrained weights"
    )
    skips: Skips = Field("none", description="skip connections: all, none, or a list of levels; level 1 is the finest")
    widths: tuple[int, ...] = Field(
        (128, 64, 48, 32, 16),
        description="channels of the decoder, coarse to fine; with backbone=plain of all levels, bottleneck first",
    )
    image_size: int = Field(128, ge=16, description="side of the network's input, in pixels")
    train_images: int | None = Field(
        None, ge=2, description="number of normal images to use, drawn at random; by default all of the fold"
    )
    holdout: float = Field(
        0.1, gt=0, lt=1, description="share of them that is held out of training for the per-epoch diagnostics"
    )
    crop: float = Field(1.0, gt=0, le=1, description="smallest area share that a random crop keeps; 1: no crops")
    augmentation: Annotated[Literal["none", "flips", "moves", "light"], Role.MIRRORS] = Field(
        "none", description="random changes of both input and target"
    )
    dropout: bool = Field(False, description="cut rectangular holes into the input, which the network must fill in")
    damages: tuple[Kind, ...] = Field(
        (), description="synthetic defects painted into half of the inputs, which the network must remove; none"
    )
    mse: float = Field(1.0, ge=0, description="weight of the squared error in the loss; 0 leaves it out")
    ssim: float = Field(1.0, ge=0, description="weight of 1 - SSIM in the loss; 0 leaves it out")
    score: Literal["pixel", "feature", "library"] = Field(
        "pixel",
        description="anomaly score: pixel error, feature error, or distance to the library of normal features",
    )
    library: Annotated[int, Needs(score="library")] = Field(
        256, ge=1, description="number of normal images in the library, drawn at random"
    )
    unit: Annotated[Literal["image", "patch"], Needs(score="library")] = Field(
        "image", description="vectors of the library: the whole feature map of an image, or each position of it"
    )
    neighbors: Annotated[int, Needs(score="library")] = Field(
        1, ge=1, description="k nearest neighbors in the library: their distances are averaged, or re-weight unit=patch"
    )
    pseudo: Kind | Literal["none"] = Field(
        "cutpaste_scar", description="synthetic defect for the pseudo-anomaly AUROC of each epoch; it is not trained on"
    )
    models: Models = Field("one", description="one model, or per_class: one per class, with class routing of images")
    textures: Annotated[tuple[str, ...], Needs(models="per_class")] = Field(
        (), description="models=per_class: classes that are routed by color statistics instead of a mean image"
    )
    epochs: Epochs = Field(30, ge=1, description="number of training epochs")
    batch_size: BatchSize = Field(16, ge=2, description="images per batch")
    learning_rate: LearningRate = Field(1e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.0, ge=0, description="weight decay of AdamW")
    schedule: schedules.Name = Field("cosine", description="learning-rate schedule, after a warmup of 5 % of the steps")

    @model_validator(mode="after")
    def _has_a_loss(self) -> AutoencoderParams:
        if not self.mse + self.ssim:
            raise ValueError("mse and ssim are both 0, so the loss is empty: set one of them above 0")
        return self
