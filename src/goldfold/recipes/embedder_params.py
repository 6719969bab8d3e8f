"""Parameters of the embedder recipe."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from goldfold.errors import unknown
from goldfold.nn import schedules
from goldfold.params import BackboneName, Epochs, Params, Pretrained
from goldfold.retrieval import losses
from goldfold.retrieval.network import Embedding
from goldfold.retrieval.stages import Labels, MetricAugmentation, Sampler

CHOICES = ("metric_loss", "miner", "kernel", "sampler", "labels", "embedding")


class EmbedderParams(Params):
    """Network, embedding, and the two optional training stages: SimSiam, then a metric loss."""

    backbone: BackboneName = Field("resnet18", description="timm name of the network")
    pretrained: Pretrained = Field(True, description="start from pretrained weights")
    image_size: int = Field(224, ge=8, description="side of the network's input, in pixels")
    projector_dim: int = Field(2048, ge=1, description="width of the projector's hidden layers")
    embedding_dim: int | None = Field(None, ge=4, description="outputs of the projector; by default projector_dim")
    embedding: Embedding = Field(
        "backbone", description="output used as the embedding; SimSiam as published discards the projector"
    )
    crop: float = Field(0.2, gt=0, le=1, description="smallest share of the image's area in a random view")
    strength: float = Field(1.0, ge=0, le=2, description="strength of a view's color and blur changes; 1: as published")
    flip: bool = Field(True, description="mirror views at random")
    memory: float = Field(
        2.0, ge=0, description="GiB of pixels to hold in memory; larger tables are read from disk in every epoch"
    )
    simsiam_epochs: Epochs = Field(20, ge=0, description="epochs of SimSiam; 0 leaves it out")
    simsiam_batch_size: int = Field(128, ge=2, description="images per batch, each in two views")
    simsiam_learning_rate: float | None = Field(
        None, gt=0, description="learning rate of SGD; by default 0.05 * batch size / 256"
    )
    simsiam_schedule_epochs: int | None = Field(
        None, ge=1, description="epochs over which the cosine schedule falls to 0; by default simsiam_epochs"
    )
    fixed_predictor_rate: bool = Field(True, description="keep the predictor's learning rate constant, as published")
    simsiam_weight_decay: float = Field(1e-4, ge=0, description="weight decay of SGD")
    simsiam_momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    temporal_weight: float = Field(
        0.0, ge=0, description="weight of the similarity to a later frame in the loss; 0 leaves it out"
    )
    temporal_step: float = Field(1.0, gt=0, description="how much later that frame is, in the unit of the time column")
    metric_epochs: Epochs = Field(10, ge=0, description="epochs with the metric loss; 0 leaves it out")
    metric_loss: losses.Name = Field("fastap", description="loss of labeled embeddings")
    miner: losses.Miner = Field(
        "none", description="selection of pairs, for the losses triplet, contrastive and multi_similarity"
    )
    margin: float | None = Field(
        None,
        gt=0,
        description="margin of triplet (distance) or arcface (degrees); by default that of pytorch-metric-learning",
    )
    bins: int = Field(10, ge=1, description="bins of FastAP's histograms")
    kernel: losses.Kernel = Field("triangular", description="kernel of FastAP's histograms")
    sigma: float = Field(0.05, gt=0, description="kernel=gaussian: standard deviation, in squared distance")
    metric_batch_size: int = Field(64, ge=2, description="embeddings per batch; with labels=views half as many images")
    metric_optimizer: Literal["adamw", "sgd"] = Field("adamw", description="optimizer of the metric loss")
    metric_learning_rate: float = Field(1e-4, gt=0, description="peak learning rate of the metric loss")
    head_factor: float = Field(
        1.0, gt=0, description="learning rate of projector and class weights, as a multiple of metric_learning_rate"
    )
    metric_weight_decay: float = Field(1e-4, ge=0, description="weight decay of the metric loss")
    metric_schedule: schedules.Name = Field("cosine", description="learning-rate schedule of the metric loss")
    metric_warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps in which the learning rate rises")
    metric_augmentation: MetricAugmentation = Field(
        "simsiam", description="augmentation for the metric loss; simsiam: the random views described above"
    )
    sampler: Sampler = Field("random", description="which labeled images form a batch")
    m_per_class: int = Field(4, ge=2, description="sampler=m_per_class: images of each class in a batch")
    freeze_backbone: bool = Field(False, description="train no backbone weights with the metric loss")
    freeze_projector: bool = Field(False, description="train no projector weights with the metric loss")
    labels: Labels = Field(
        "true", description="positive pairs: equal labels, two views of one image, or equal pseudo-labels"
    )
    neighbors: float = Field(
        0.0, ge=0, description="labels=views: largest time between two frames that may be views of each other; 0: none"
    )
    reference: str | None = Field(None, description="labels=pseudo: image file that positive frames resemble")
    motion_smooth: int = Field(5, ge=1, description="labels=pseudo: frames in the moving average of the motion")
    motion_percentile: float = Field(
        20.0, gt=0, lt=100, description="labels=pseudo: frames with motion up to this percentile are stable"
    )
    stable_frames: int = Field(3, ge=1, description="labels=pseudo: shortest run of stable frames")
    likeness_percentile: float = Field(
        30.0, ge=0, le=100, description="labels=pseudo: percentile of the stable frames' SSIM to the reference"
    )
    likeness_side: Literal["above", "below"] = Field(
        "above", description="labels=pseudo: side of that percentile on which stable frames are positive"
    )

    @field_validator(*CHOICES, mode="before")
    @classmethod
    def _known(cls, name: Any, info: ValidationInfo) -> Any:
        key = str(info.field_name)
        known = get_args(cls.model_fields[key].annotation)
        if name not in known:
            raise ValueError(str(unknown(key, str(name), known)))
        return name

    @model_validator(mode="after")
    def _consistent(self) -> EmbedderParams:
        views, pseudo = self.labels == "views", self.labels == "pseudo"
        nothing_left = self.embedding == "backbone" or self.freeze_projector
        problems = {
            "freeze_backbone leaves the metric loss nothing to train: set embedding=projector and "
            "freeze_projector=false": self.metric_epochs and self.freeze_backbone and nothing_left,
            f"metric_loss={self.metric_loss} uses every pair: set miner=none": self.miner != "none"
            and self.metric_loss not in losses.MINABLE,
            "labels=views makes every image its own class: set sampler=random": views and self.sampler != "random",
            "labels=views with arcface needs a class per image: choose another metric_loss": views
            and self.metric_loss == "arcface",
            "labels=views needs views that differ: metric_augmentation must not be none": views
            and self.metric_augmentation == "none",
            "labels=pseudo needs an image to compare with: set reference": self.metric_epochs
            and pseudo
            and self.reference is None,
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(problem)
        return self

    @property
    def projected(self) -> int:
        """Outputs of the projector."""
        return self.embedding_dim or self.projector_dim
