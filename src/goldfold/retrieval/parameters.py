"""Parameters of an embedder: its network, the SimSiam stage, the metric-learning stage."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from goldfold.errors import unknown
from goldfold.nn import schedules
from goldfold.params import BackboneName, Epochs, Needs, Not, Params, Pretrained, Role, WholeBatch
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

IN_SIMSIAM, IN_METRIC = Needs(simsiam_epochs=Not(0)), Needs(metric_epochs=Not(0))
IN_VIEWS = Needs(simsiam_epochs=Not(0), metric_augmentation="simsiam")
PROJECTED = Needs(simsiam_epochs=Not(0), embedding="projector")


class EmbedderParams(Params):
    """The network, the embedding, and the training of each of the two stages."""

    backbone: BackboneName = Field("resnet18", description="timm's name of the backbone")
    pretrained: Pretrained = Field(True, description="start from pretrained weights")
    image_size: int = Field(224, ge=8, description="image side in pixels")
    projector_dim: Annotated[int, PROJECTED] = Field(2048, ge=1, description="width of the projector's hidden layers")
    embedding_dim: Annotated[int | None, PROJECTED] = Field(
        None, ge=4, description="outputs of the projector; projector_dim by default"
    )
    embedding: Embedding = Field("backbone", description="output that is the embedding; SimSiam's paper: backbone")
    crop: Annotated[float, IN_VIEWS] = Field(
        0.2, gt=0, le=1, description="views: smallest share of the area that a crop keeps"
    )
    strength: Annotated[float, IN_VIEWS] = Field(
        1.0, ge=0, le=2, description="views: strength of color changes and blur; 1: as published"
    )
    flip: Annotated[bool, IN_VIEWS, Role.MIRRORS] = Field(True, description="views: whether to flip left-right")
    memory: float = Field(2.0, ge=0, description="GiB for pixels; larger sets are read from files every epoch")
    simsiam_epochs: Epochs = Field(20, ge=0, description="0: no SimSiam stage")
    simsiam_batch_size: Annotated[WholeBatch, IN_SIMSIAM] = Field(
        128, ge=2, description="images per batch, each in two views"
    )
    simsiam_learning_rate: Annotated[float | None, IN_SIMSIAM] = Field(
        None, gt=0, description="default: 0.05 x batch size / 256"
    )
    simsiam_schedule_epochs: Annotated[int | None, IN_SIMSIAM] = Field(
        None, ge=1, description="epochs of the whole cosine; default: all"
    )
    fixed_predictor_rate: Annotated[bool, IN_SIMSIAM] = Field(
        True, description="whether the predictor's learning rate stays constant"
    )
    simsiam_weight_decay: Annotated[float, IN_SIMSIAM] = Field(1e-4, ge=0, description="weight decay of SimSiam's SGD")
    simsiam_momentum: Annotated[float, IN_SIMSIAM] = Field(0.9, ge=0, lt=1, description="momentum of SimSiam's SGD")
    temporal_weight: Annotated[float, IN_SIMSIAM] = Field(
        0.0, ge=0, description="weight of the similarity to a later frame; 0: none"
    )
    temporal_step: Annotated[float, Needs(temporal_weight=Not(0.0))] = Field(
        1.0, gt=0, description="time to the later frame, in the unit of the time column"
    )
    metric_epochs: Epochs = Field(10, ge=0, description="0: no metric-learning stage")
    metric_loss: Annotated[metric_losses.Name, IN_METRIC] = Field(
        "fastap", description="loss of the metric-learning stage"
    )
    miner: Annotated[metric_losses.Miner, Needs(metric_loss=metric_losses.MINABLE)] = Field(
        "none", description="selects pairs for triplet, contrastive, multi_similarity"
    )
    margin: Annotated[float | None, Needs(metric_loss=("triplet", "arcface"))] = Field(
        None, gt=0, description="triplet: distance; arcface: degrees; default: pytorch-metric-learning's"
    )
    bins: Annotated[int, Needs(metric_loss="fastap")] = Field(10, ge=1, description="bins of FastAP's histograms")
    kernel: Annotated[metric_losses.Kernel, Needs(metric_loss="fastap")] = Field(
        "triangular", description="kernel of FastAP's histograms"
    )
    sigma: Annotated[float, Needs(kernel="gaussian")] = Field(
        0.05, gt=0, description="standard deviation of the Gaussian kernel, in squared distance"
    )
    metric_batch_size: Annotated[WholeBatch, IN_METRIC] = Field(
        64, ge=2, description="embeddings per batch; with labels=views half as many images"
    )
    metric_optimizer: Annotated[Literal["adamw", "sgd"], IN_METRIC] = Field(
        "adamw", description="optimizer of the metric loss"
    )
    metric_learning_rate: Annotated[float, IN_METRIC] = Field(
        1e-4, gt=0, description="peak learning rate of the metric loss"
    )
    head_factor: Annotated[float, Needs(freeze_projector=False, metric_loss="arcface")] = Field(
        1.0, gt=0, description="learning rate of projector and class weights / the backbone's"
    )
    metric_weight_decay: Annotated[float, IN_METRIC] = Field(1e-4, ge=0, description="weight decay of the metric loss")
    metric_schedule: Annotated[schedules.Name, IN_METRIC] = Field(
        "cosine", description="learning-rate schedule of the metric loss"
    )
    metric_warmup: Annotated[float, Needs(metric_schedule=Not("constant"))] = Field(
        0.1, ge=0, lt=1, description="share of all steps in which the learning rate rises"
    )
    metric_augmentation: Annotated[MetricAugmentation, IN_METRIC, Role.MIRRORS] = Field(
        "simsiam", description="simsiam: as in the SimSiam stage"
    )
    sampler: Annotated[Sampler, IN_METRIC] = Field("random", description="how batches of labeled images are drawn")
    m_per_class: Annotated[int, Needs(sampler="m_per_class")] = Field(
        4, ge=2, description="sampler=m_per_class: images of each class in a batch"
    )
    freeze_backbone: Annotated[bool, IN_METRIC] = Field(
        False, description="whether the metric loss does not train the backbone"
    )
    freeze_projector: Annotated[bool, IN_METRIC, Needs(embedding="projector")] = Field(
        False, description="whether the metric loss does not train the projector"
    )
    labels: Annotated[Labels, IN_METRIC] = Field(
        "true", description="what is relevant: equal labels, views of one image, or pseudo-labels"
    )
    neighbors: Annotated[float, Needs(labels="views")] = Field(
        0.0, ge=0, description="labels=views: largest time to the frame of the second view"
    )
    reference: Annotated[str | None, Needs(labels="pseudo")] = Field(
        None, description="labels=pseudo: file of the frame that positive frames resemble"
    )
    motion_smooth: Annotated[int, Needs(labels="pseudo")] = Field(
        5, ge=1, description="labels=pseudo: frames in the moving average of motion"
    )
    motion_percentile: Annotated[float, Needs(labels="pseudo")] = Field(
        20.0, gt=0, lt=100, description="labels=pseudo: a frame at or below it is stable"
    )
    stable_frames: Annotated[int, Needs(labels="pseudo")] = Field(
        3, ge=1, description="labels=pseudo: minimum number of consecutive stable frames"
    )
    likeness_percentile: Annotated[float, Needs(labels="pseudo")] = Field(
        30.0, ge=0, le=100, description="labels=pseudo: of the stable frames' SSIM"
    )
    likeness_side: Annotated[Literal["above", "below"], Needs(labels="pseudo")] = Field(
        "above", description="labels=pseudo: the positive side of it"
    )

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
