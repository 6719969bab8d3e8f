"""The network of an embedder: backbone, SimSiam's heads and a metric loss with its own weights, in one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.nn import backbones
from goldfold.retrieval import simsiam
from goldfold.retrieval.losses import Loss

Embedding = Literal["backbone", "projector"]
PARTS = ("backbone", "projector", "predictor", "metric")


class Embedder(nn.Module):
    """Pixels uint8 (n, h, w, c) -> embeddings float (n, d).

    A part none of whose parameters learns stays in evaluation mode, so that a frozen BatchNorm keeps its statistics.
    Parts that no stage trains and no embedding passes are None. width: the embeddings' d.
    """

    def __init__(
        self,
        normalise: nn.Module,
        backbone: nn.Module,
        *,
        projector: nn.Module | None = None,
        predictor: nn.Module | None = None,
        metric: Loss | None = None,
        embedding: Embedding = "backbone",
        width: int,
    ) -> None:
        super().__init__()
        self.normalise, self.backbone = normalise, backbone
        self.projector, self.predictor, self.metric = projector, predictor, metric
        self.embedding, self.width = embedding, width

    def forward(self, *views: Tensor, labels: Tensor | None = None) -> Tensor | list:
        """What training asks for, in one call, as a wrapped model needs it.

        One batch of pixels (or features (n, f)): their embeddings, or with labels int64 (n,) the metric loss. Two: of
        each what is projected and what is predicted, a list of pairs (n, d); a third is projected only, without
        gradient.
        """
        if labels is not None:
            return self.metric(self.embed(*views), labels)
        if len(views) == 1:
            return self.embed(*views)
        heads = [(z := self.project(self.features(view)), self.predictor(z)) for view in views[:2]]
        with torch.no_grad():
            return heads + [self.project(self.features(view)) for view in views[2:]]

    def features(self, shown: Tensor) -> Tensor:
        """Of pixels; what has two axes is features already, of a backbone that never changes."""
        return shown if shown.ndim == 2 else self.backbone(self.normalise(shown)).flatten(1)

    def project(self, features: Tensor) -> Tensor:
        return self.projector(features)

    def embed(self, shown: Tensor) -> Tensor:
        features = self.features(shown)
        return self.project(features) if self.embedding == "projector" else features

    def train(self, mode: bool = True) -> Embedder:
        super().train(mode)
        for part in self.present(*PARTS):
            part.train(mode and any(parameter.requires_grad for parameter in part.parameters()))
        return self

    def present(self, *names: str) -> list[nn.Module]:
        """Those of the named parts that there are."""
        return [part for name in names if (part := getattr(self, name)) is not None]


def towers(
    network: Callable[[], nn.Module] | None, backbone: str, pretrained: bool, channels: int
) -> tuple[nn.Module, nn.Module]:
    """What normalises pixels, and the backbone: `network()` on pixels in [-1, 1], or timm's without its classifier."""
    if network is not None:
        return backbones.Normalize((0.5,) * channels, (0.5,) * channels), network()
    net, mean, std = backbones.create(backbone, pretrained, in_chans=channels)
    return backbones.Normalize(mean, std), net


def features_of(normalise: nn.Module, backbone: nn.Module, size: int, channels: int) -> int:
    """Features a backbone makes of an image of `size` pixels a side; training mode is as it was."""
    training = backbone.training
    with torch.no_grad():
        made = backbone.eval()(normalise(torch.zeros(1, size, size, channels, dtype=torch.uint8)))
    backbone.train(training)
    if made.ndim < 2 or len(made) != 1:
        raise GoldfoldError(f"a network must make features (n, f) of pixels, this one makes {tuple(made.shape)} of one")
    return made.flatten(1).shape[1]


def network(
    parts: tuple[nn.Module, nn.Module],
    features: int,
    *,
    hidden: int,
    out: int,
    siamese: bool,
    embedding: Embedding,
    metric: Callable[[int], Loss] | None,
) -> Embedder:
    """An embedder with the parts it needs.

    parts, features: what `towers` and `features_of` return. hidden, out: the projector's widths.
    siamese: whether SimSiam trains it. metric: width of the embeddings -> the loss, where there is one.
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
    ).to(memory_format=torch.channels_last)
