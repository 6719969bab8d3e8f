"""The embedding network: backbone, SimSiam's heads, and a metric loss with its own weights, in one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.images.sizes import Size, height_and_width
from goldfold.nn import backbones
from goldfold.retrieval import simsiam
from goldfold.retrieval.losses import MetricLoss

Embedding = Literal["backbone", "projector"]
PARTS = ("backbone", "projector", "predictor", "metric")


class Embedder(nn.Module):
    """A module from pixels uint8 (n, h, w, c) to embeddings float (n, d).

    A part without trainable parameters stays in evaluation mode, so that a frozen BatchNorm keeps its statistics. Parts
    that are neither trained nor needed for the embedding are None.

    embedding: the output that is the embedding. width: the embeddings' d.
    """

    def __init__(
        self,
        normalize: nn.Module,
        backbone: nn.Module,
        *,
        projector: nn.Module | None = None,
        predictor: nn.Module | None = None,
        metric: MetricLoss | None = None,
        embedding: Embedding = "backbone",
        width: int,
    ) -> None:
        super().__init__()
        self.normalize, self.backbone = normalize, backbone
        self.projector, self.predictor, self.metric = projector, predictor, metric
        self.embedding, self.width = embedding, width

    def forward(self, *views: Tensor, labels: Tensor | None = None) -> Tensor | list:
        """Compute embeddings, the metric loss, or SimSiam's heads; one entry point, as DistributedDataParallel needs.

        views: one batch of pixels, or of features (n, f): return its embeddings, or with labels int64 (n,) the metric
            loss. Two batches: return the projection and the prediction of each, a list of pairs (n, d). A third batch
            is only projected, without gradient.
        """
        if labels is not None:
            assert self.metric is not None
            return self.metric(self.embed(*views), labels)
        if len(views) == 1:
            return self.embed(*views)
        assert self.predictor is not None
        heads = [(z := self.project(self.features(view)), self.predictor(z)) for view in views[:2]]
        with torch.no_grad():
            return heads + [self.project(self.features(view)) for view in views[2:]]

    def features(self, inputs: Tensor) -> Tensor:
        """Return the backbone's features (n, f) of pixels; inputs with two axes are cached features already."""
        return inputs if inputs.ndim == 2 else self.backbone(self.normalize(inputs)).flatten(1)

    def project(self, features: Tensor) -> Tensor:
        """Return the projector's output (n, d) of features (n, f)."""
        assert self.projector is not None
        return self.projector(features)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the embeddings (n, d) of pixels or of cached features."""
        features = self.features(inputs)
        return self.project(features) if self.embedding == "projector" else features

    def train(self, mode: bool = True) -> Embedder:
        """Set training mode, except for parts without trainable parameters."""
        super().train(mode)
        for part in self.present(*PARTS):
            part.train(mode and any(parameter.requires_grad for parameter in part.parameters()))
        return self

    def present(self, *names: str) -> list[nn.Module]:
        """Return those of the named parts that are not None."""
        return [part for name in names if (part := getattr(self, name)) is not None]


def create_backbone(
    network: Callable[[], nn.Module] | None, backbone: str, pretrained: bool, channels: int, image_size: Size
) -> tuple[nn.Module, nn.Module]:
    """Create the normalization of pixels, and the backbone.

    network: creates a backbone that takes pixels in [-1, 1]; None: timm's model `backbone` without its classifier.
    """
    if network is not None:
        return backbones.Normalize((0.5,) * channels, (0.5,) * channels), network()
    net, mean, std = backbones.create(backbone, pretrained, in_chans=channels, image_size=image_size)
    return backbones.Normalize(mean, std), net


def feature_width(normalize: nn.Module, backbone: nn.Module, size: Size, channels: int) -> int:
    """Return the number of features that a backbone computes of an image of this size.

    Raises GoldfoldError if its output is not one row of features per image.
    """
    training = backbone.training
    with torch.no_grad():
        features = backbone.eval()(normalize(torch.zeros(1, *height_and_width(size), channels, dtype=torch.uint8)))
    backbone.train(training)
    if features.ndim < 2 or len(features) != 1:
        raise GoldfoldError(
            "wrong_feature_shape",
            f"the network returns the shape {tuple(features.shape)} for one image: let it return features (n, f)",
        )
    return features.flatten(1).shape[1]


def create_embedder(
    parts: tuple[nn.Module, nn.Module],
    features: int,
    *,
    hidden: int,
    out: int,
    siamese: bool,
    embedding: Embedding,
    metric: Callable[[int], MetricLoss] | None,
) -> Embedder:
    """Create an embedder with the parts it needs.

    parts, features: results of `create_backbone` and `feature_width`.
    hidden, out: widths of the projector's hidden layers and output.
    siamese: whether SimSiam trains it.
    metric: width of the embeddings -> metric loss; None if no metric loss trains it.
    """
    projects = siamese or embedding == "projector"
    width = out if embedding == "projector" else features
    return Embedder(
        *parts,
        projector=simsiam.projector(features, hidden, out) if projects else None,
        predictor=simsiam.predictor(out) if siamese else None,
        metric=metric(width) if metric else None,
        embedding=embedding,
        width=width,
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
