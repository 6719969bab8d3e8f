"""Parameters of an embedder: its network, the SimSiam stage, the metric-learning stage."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from goldfold.errors import unknown
from goldfold.nn import schedules
from goldfold.params import BackboneName, Epochs, Params, Pretrained
from goldfold.retrieval import losses as metric_losses
from goldfold.retrieval.network import Embedding

Labels = Literal["true", "views", "pseudo"]
Sampler = Literal["random", "m_per_class", "two_category"]
MetricAugmentation = Literal["none", "flips", "moves", "light", "strong", "simsiam"]
CHECKED_NAMES = (  # fields whose error suggests the nearest name
    "metric_loss",
    "miner",
    "kernel",
    "sampler",
    "labels",
    "embedding",
)


class EmbedderParams(Params):
    """The network, the embedding, and the training of each of the two stages."""

    backbone: BackboneName = Field("resnet18", description="timm's name of the backbone")
    pretrained: Pretrained = Field(True, description="start from pretrained weights")
    image_size: int = Field(224, ge=8, description="image side in pixels")
    projector_dim: int = Field(2048, ge=1, description="width of the projector's hidden layers")
    embedding_dim: int | None = Field(None, ge=4, description="outputs of the projector; projector_dim by default")
    embedding: Embedding = Field("backbone", description="output that is the embedding; SimSiam's paper: backbone")
    crop: float = Field(0.2, gt=0, le=1, description="views: smallest share of the area that a crop keeps")
    strength: float = Field(1.0, ge=0, le=2, description="views: strength of color changes and blur; 1: as published")
    flip: bool = Field(True, description="views: whether to flip left-right")
    memory: float = Field(2.0, ge=0, description="GiB for pixels; larger sets are read from files every epoch")
    simsiam_epochs: Epochs = Field(20, ge=0, description="0: no SimSiam stage")
    simsiam_batch_size: int = Field(128, ge=2, description="images per batch, each in two views")
    simsiam_learning_rate: float | None = Field(None, gt=0, description="default: 0.05 x batch size / 256")
    simsiam_schedule_epochs: int | None = Field(None, ge=1, description="epochs of the whole cosine; default: all")
    fixed_predictor_rate: bool = Field(True, description="whether the predictor's learning rate stays constant")
    simsiam_weight_decay: float = Field(1e-4, ge=0, description="weight decay of SimSiam's SGD")
    simsiam_momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SimSiam's SGD")
    temporal_weight: float = Field(0.0, ge=0, description="weight of the similarity to a later frame; 0: none")
    temporal_step: float = Field(1.0, gt=0, description="time to the later frame, in the unit of the time column")
    metric_epochs: Epochs = Field(10, ge=0, description="0: no metric-learning stage")
    metric_loss: metric_losses.Name = Field("fastap", description="loss of the metric-learning stage")
    miner: metric_losses.Miner = Field("none", description="selects pairs for triplet, contrastive, multi_similarity")
    margin: float | None = Field(
        None, gt=0, description="triplet: distance; arcface: degrees; default: pytorch-metric-learning's"
    )
    bins: int = Field(10, ge=1, description="bins of FastAP's histograms")
    kernel: metric_losses.Kernel = Field("triangular", description="kernel of FastAP's histograms")
    sigma: float = Field(0.05, gt=0, description="standard deviation of the Gaussian kernel, in squared distance")
    metric_batch_size: int = Field(64, ge=2, description="embeddings per batch; with labels=views half as many images")
    metric_optimizer: Literal["adamw", "sgd"] = Field("adamw", description="optimizer of the metric loss")
    metric_learning_rate: float = Field(1e-4, gt=0, description="peak learning rate of the metric loss")
    head_factor: float = Field(1.0, gt=0, description="learning rate of projector and class weights / the backbone's")
    metric_weight_decay: float = Field(1e-4, ge=0, description="weight decay of the metric loss")
    metric_schedule: schedules.Name = Field("cosine", description="learning-rate schedule of the metric loss")
    metric_warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps in which the learning rate rises")
    metric_augmentation: MetricAugmentation = Field("simsiam", description="simsiam: as in the SimSiam stage")
    sampler: Sampler = Field("random", description="how batches of labeled images are drawn")
    m_per_class: int = Field(4, ge=2, description="sampler=m_per_class: images of each class in a batch")
    freeze_backbone: bool = Field(False, description="whether the metric loss does not train the backbone")
    freeze_projector: bool = Field(False, description="whether the metric loss does not train the projector")
    labels: Labels = Field("true", description="what is relevant: equal labels, views of one image, or pseudo-labels")
    neighbors: float = Field(0.0, ge=0, description="labels=views: largest time to the frame of the second view")
    reference: str | None = Field(None, description="labels=pseudo: file of the frame that positive frames resemble")
    motion_smooth: int = Field(5, ge=1, description="labels=pseudo: frames in the moving average of motion")
    motion_percentile: float = Field(20.0, gt=0, lt=100, description="labels=pseudo: a frame at or below it is stable")
    stable_frames: int = Field(3, ge=1, description="labels=pseudo: minimum number of consecutive stable frames")
    likeness_percentile: float = Field(30.0, ge=0, le=100, description="labels=pseudo: of the stable frames' SSIM")
    likeness_side: Literal["above", "below"] = Field("above", description="labels=pseudo: the positive side of it")

    @field_validator(*CHECKED_NAMES, mode="before")
    @classmethod
    def _known_name(cls, name: Any, info: ValidationInfo) -> Any:
        known = get_args(cls.model_fields[str(info.field_name)].annotation)
        if name not in known:
            raise ValueError(str(unknown(str(info.field_name), str(name), known, code="unknown_name")))
        return name

    @model_validator(mode="after")
    def _is_consistent(self) -> EmbedderParams:
        """Refuse combinations that train nothing or contradict each other."""
        views, pseudo = self.labels == "views", self.labels == "pseudo"
        no_projector = self.embedding == "backbone" or self.freeze_projector
        problems = {
            "the metric loss trains nothing, since backbone and projector are frozen: unset freeze_backbone": (
                self.metric_epochs and self.freeze_backbone and no_projector
            ),
            f"metric_loss={self.metric_loss} uses every pair: set miner=none": (
                self.miner != "none" and self.metric_loss not in metric_losses.MINABLE
            ),
            "labels=views makes every image a class of its own: set sampler=random": (
                views and self.sampler != "random"
            ),
            "labels=views with arcface needs a class per image: choose another metric_loss": (
                views and self.metric_loss == "arcface"
            ),
            "labels=views needs different views: do not set metric_augmentation=none": (
                views and self.metric_augmentation == "none"
            ),
            "labels=pseudo needs the file of a reference frame: set reference": (
                self.metric_epochs and pseudo and self.reference is None
            ),
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(problem)
        return self

    @property
    def projector_output_dim(self) -> int:
        """Width of the projector's output."""
        return self.embedding_dim or self.projector_dim
