"""The parameters of an embedder: its network, SimSiam's stage, the stage of metric learning."""

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
NAMED = ("metric_loss", "miner", "kernel", "sampler", "labels", "embedding")


class EmbedderParams(Params):
    """The network, what an embedding is, and how each of two stages learns."""

    backbone: BackboneName = Field("resnet18", description="timm's name of the network")
    pretrained: Pretrained = Field(True, description="start from pretrained weights")
    image_size: int = Field(224, ge=8, description="pixels a side that the network sees")
    projector_dim: int = Field(2048, ge=1, description="width of the projector's hidden layers")
    embedding_dim: int | None = Field(None, ge=4, description="outputs of the projector; projector_dim by default")
    embedding: Embedding = Field("backbone", description="output that is the embedding: SimSiam drops the projector")
    crop: float = Field(0.2, gt=0, le=1, description="smallest share of the area that a view keeps")
    strength: float = Field(1.0, ge=0, le=2, description="of a view's changes of colour and blur; 1: as published")
    flip: bool = Field(True, description="whether views are mirrored")
    memory: float = Field(2.0, ge=0, description="GiB; images with more pixels are read from their files every epoch")
    simsiam_epochs: Epochs = Field(20, ge=0, description="0: no SimSiam")
    simsiam_batch_size: int = Field(128, ge=2, description="images, each seen in two views")
    simsiam_learning_rate: float | None = Field(None, gt=0, description="0.05 x batch / 256 by default")
    simsiam_schedule_epochs: int | None = Field(None, ge=1, description="epochs the cosine is planned over; all")
    fixed_predictor_rate: bool = Field(True, description="whether the predictor's rate stays as it is")
    simsiam_weight_decay: float = Field(1e-4, ge=0)
    simsiam_momentum: float = Field(0.9, ge=0, lt=1)
    temporal_weight: float = Field(0.0, ge=0, description="of the likeness to the frame ahead; 0: none")
    temporal_step: float = Field(1.0, gt=0, description="how far ahead, in the unit of the time column")
    metric_epochs: Epochs = Field(10, ge=0, description="0: no metric loss")
    metric_loss: metric_losses.Name = "fastap"
    miner: metric_losses.Miner = Field("none", description="choice of pairs for triplet, contrastive, multi_similarity")
    margin: float | None = Field(
        None, gt=0, description="triplet: distance, arcface: degrees; the library's by default"
    )
    bins: int = Field(10, ge=1, description="of FastAP's histograms")
    kernel: metric_losses.Kernel = Field("triangular", description="of FastAP's histograms")
    sigma: float = Field(0.05, gt=0, description="of the Gaussian kernel, in squared distance")
    metric_batch_size: int = Field(64, ge=2, description="embeddings; with labels=views half as many images")
    metric_optimizer: Literal["adamw", "sgd"] = "adamw"
    metric_learning_rate: float = Field(1e-4, gt=0)
    head_factor: float = Field(1.0, gt=0, description="rate of projector and class weights, in units of the backbone's")
    metric_weight_decay: float = Field(1e-4, ge=0)
    metric_schedule: schedules.Name = "cosine"
    metric_warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps in which the rate rises")
    metric_augmentation: MetricAugmentation = Field("simsiam", description="simsiam: the views above")
    sampler: Sampler = Field("random", description="which images a batch of labelled ones holds")
    m_per_class: int = Field(4, ge=2)
    freeze_backbone: bool = Field(False, description="whether the metric loss leaves the backbone as it is")
    freeze_projector: bool = Field(False, description="whether the metric loss leaves the projector as it is")
    labels: Labels = Field("true", description="what is right: equal labels, views of one image, or pseudo-labels")
    neighbors: float = Field(0.0, ge=0, description="labels=views: time up to which a frame may be the second view")
    reference: str | None = Field(None, description="labels=pseudo: file of the frame that positive ones look like")
    motion_smooth: int = Field(5, ge=1, description="labels=pseudo: frames that motion is averaged over")
    motion_percentile: float = Field(20.0, gt=0, lt=100, description="labels=pseudo: at or below it a frame is stable")
    stable_frames: int = Field(3, ge=1, description="labels=pseudo: stable frames in a row, at least")
    likeness_percentile: float = Field(30.0, ge=0, le=100, description="labels=pseudo: of the stable frames' SSIM")
    likeness_side: Literal["above", "below"] = Field("above", description="labels=pseudo: side of it that is positive")

    @field_validator(*NAMED, mode="before")
    @classmethod
    def _known(cls, name: Any, info: ValidationInfo) -> Any:
        known = get_args(cls.model_fields[info.field_name].annotation)
        if name not in known:
            raise ValueError(str(unknown(info.field_name, str(name), known)))
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> EmbedderParams:
        problems = {
            "the metric loss trains nothing: embedding=backbone with freeze_backbone": self.metric_epochs
            and self.freeze_backbone
            and (self.embedding == "backbone" or self.freeze_projector),
            f"metric_loss={self.metric_loss} uses every pair, so miner must be none": self.miner != "none"
            and self.metric_loss not in metric_losses.MINABLE,
            "labels=views makes every image a class of its own, so sampler must be random": self.labels == "views"
            and self.sampler != "random",
            "labels=views with arcface would need a class per image: choose another metric_loss": self.labels == "views"
            and self.metric_loss == "arcface",
            "labels=views needs views that differ, so metric_augmentation must not be none": self.labels == "views"
            and self.metric_augmentation == "none",
            "labels=pseudo needs the file of a frame to compare with: set reference": self.metric_epochs
            and self.labels == "pseudo"
            and self.reference is None,
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(problem)
        return self

    @property
    def projected(self) -> int:
        return self.embedding_dim or self.projector_dim
