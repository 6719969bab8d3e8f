"""Losses of labelled embeddings: pytorch-metric-learning's, and FastAP with a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.optional_parts import UntrainedLoss

Name = Literal["fastap", "triplet", "contrastive", "arcface", "multi_similarity"]
Miner = Literal["none", "multi_similarity", "semihard", "hardest"]
Kernel = Literal["triangular", "gaussian"]
MINABLE = ("triplet", "contrastive", "multi_similarity")  # FastAP and ArcFace use every pair, every class
NULL_VALUES = 100  # batches of random embeddings that estimate an untrained loss, over all draws


class Loss(nn.Module):
    """Embeddings (n, d) of any length and labels int64 (n,) -> a scalar, in float32 under autocast too.

    fastap: 1 - mean average precision, as pytorch-metric-learning has it (the authors' own logs print -AP).
    """

    def __init__(self, of: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.of, self.miner = of, miner

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            whole = embeddings if embeddings.dtype is torch.float64 else embeddings.float()
            return self.of(whole, labels, self.miner(whole, labels) if self.miner else None)


def create(
    name: Name,
    *,
    classes: int = 0,
    width: int = 0,
    miner: Miner = "none",
    bins: int = 10,
    kernel: Kernel = "triangular",
    sigma: float = 0.05,
    **margin: float,
) -> Loss:
    """The loss called `name`.

    classes, width: how many labels there are, 0 to classes - 1, and the embeddings' dimensions, for ArcFace alone,
        whose class weights are parameters of the loss. bins, kernel, sigma: of FastAP.
    margin: of triplets in Euclidean distance of unit vectors, of ArcFace in degrees; the library's where not given.
    """
    from pytorch_metric_learning import losses

    makers: dict[str, Callable[..., nn.Module]] = {
        "fastap": lambda: losses.FastAPLoss(bins) if kernel == "triangular" else GaussianFastAP(bins, sigma),
        "triplet": lambda: losses.TripletMarginLoss(**margin),
        "contrastive": lambda: losses.ContrastiveLoss(),
        "arcface": lambda: losses.ArcFaceLoss(classes, width, **margin),
        "multi_similarity": lambda: losses.MultiSimilarityLoss(),
    }
    return Loss(makers[name](), _miner(miner))


def _miner(name: Miner) -> nn.Module | None:
    from pytorch_metric_learning import miners

    makers: dict[str, Callable[[], Any]] = {
        "none": lambda: None,
        "multi_similarity": miners.MultiSimilarityMiner,
        "semihard": lambda: miners.TripletMarginMiner(type_of_triplets="semihard"),
        "hardest": miners.BatchHardMiner,
    }
    return makers[name]()


class GaussianFastAP(nn.Module):
    """FastAP (Cakir et al. 2019) whose histograms are made with a Gaussian instead of a triangular kernel.

    With d the squared distance of unit vectors, in [0, 4], and centres c_l = 4 l / bins, l = 0 to bins, a pair counts
    k_l(d) = exp(-(d - c_l)^2 / (2 sigma^2)) in bin l, divided by the sum over l. The rest is as published: an anchor's
    AP is the sum over l of h+_l H+_l / H_l over its number of positives, the loss 1 - mean AP over anchors with any.
    """

    def __init__(self, bins: int, sigma: float) -> None:
        super().__init__()
        self.bins, self.sigma = bins, sigma

    def forward(self, embeddings: Tensor, labels: Tensor, indices: None = None) -> Tensor:
        units = F.normalize(embeddings, dim=1)
        distances = (2 - 2 * units @ units.T).clamp(0, 4)
        counts = self._counts(distances)
        others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        right = (labels[:, None] == labels) & others
        positive = (counts * right[..., None]).sum(1)  # (n, bins + 1)
        everyone = (counts * others[..., None]).sum(1)
        seen, below = positive.cumsum(1), everyone.cumsum(1)
        safe = below.clamp(min=torch.finfo(below.dtype).tiny)  # where a bin and all below are empty, h+ is 0 as well
        rights = right.sum(1)
        precisions = (positive * seen / safe).sum(1) / rights.clamp(min=1)
        asked = rights > 0
        return 1 - precisions[asked].mean() if asked.any() else 0 * embeddings.sum()

    def _counts(self, distances: Tensor) -> Tensor:
        """(n, n) -> (n, n, bins + 1), of sum 1 over the last axis."""
        centres = torch.linspace(0, 4, self.bins + 1, device=distances.device, dtype=distances.dtype)
        return torch.softmax(-((distances[..., None] - centres) ** 2) / (2 * self.sigma**2), dim=-1)


def untrained_loss(loss: Loss, labels: Sequence[Tensor], width: int, seed: int) -> UntrainedLoss:
    """The loss of random embeddings (n, width), isotropic, in an epoch's batches of labels, over several draws.

    labels: int64 (n,) of each batch of an epoch, on the loss's device. The standard deviation is that of the mean of
    an epoch as long as this one.
    """
    draw = torch.Generator().manual_seed(seed)
    some = labels[:NULL_VALUES]
    values = []
    for _ in range(max(2, -(-NULL_VALUES // len(some)))):
        for batch in some:
            embeddings = torch.randn(len(batch), width, generator=draw).to(batch.device)
            values.append(loss(embeddings, batch).detach())
    return of_epoch(torch.stack(values), len(labels))


def of_epoch(values: Tensor, batches: int) -> UntrainedLoss:
    """What losses (k,) of single batches, k > 1, tell of the mean over an epoch of so many batches."""
    values = values.double()
    return UntrainedLoss(values.mean().item(), values.std().item() / batches**0.5)
