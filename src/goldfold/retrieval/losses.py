"""Metric-learning losses: those of pytorch-metric-learning, and FastAP with a Gaussian kernel."""

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
MINABLE = ("triplet", "contrastive", "multi_similarity")  # FastAP uses every pair and ArcFace every class
UNTRAINED_BATCHES = 100  # batches of random embeddings that estimate an untrained loss


class MetricLoss(nn.Module):
    """A scalar loss of embeddings (n, d) of any length and labels int64 (n,); in float32 under autocast, too.

    loss: takes embeddings, labels, and the pairs of the miner or None. FastAP's value is 1 - mean average precision, as
        in pytorch-metric-learning (the authors' own logs print -AP).
    miner: chooses the pairs that the loss uses; None: all.
    """

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of a batch, a scalar."""
        with torch.autocast(embeddings.device.type, enabled=False):
            precise = embeddings if embeddings.dtype is torch.float64 else embeddings.float()
            return self.loss(precise, labels, self.miner(precise, labels) if self.miner else None)


def create(
    name: Name,
    *,
    classes: int = 0,
    width: int = 0,
    miner: Miner = "none",
    bins: int = 10,
    kernel: Kernel = "triangular",
    sigma: float = 0.05,
    **margin_and_scale: float,
) -> MetricLoss:
    """Create the loss `name`.

    classes, width: number of labels, which are 0 to classes - 1, and dimensions of the embeddings. Only ArcFace needs
        them; its class weights are parameters of the loss.
    bins, kernel, sigma: of FastAP.
    margin_and_scale: `margin` of triplet in Euclidean distance of unit vectors, of arcface in degrees; `scale` of
        arcface; the library's default if not given.
    """
    from pytorch_metric_learning import losses

    makers: dict[str, Callable[..., nn.Module]] = {
        "fastap": lambda: losses.FastAPLoss(bins) if kernel == "triangular" else GaussianFastAP(bins, sigma),
        "triplet": lambda: losses.TripletMarginLoss(**margin_and_scale),
        "contrastive": lambda: losses.ContrastiveLoss(),
        "arcface": lambda: losses.ArcFaceLoss(classes, width, **margin_and_scale),
        "multi_similarity": lambda: losses.MultiSimilarityLoss(),
    }
    return MetricLoss(makers[name](), _miner(miner))


def _miner(name: Miner) -> nn.Module | None:
    """Create the miner `name`, which chooses the pairs that a loss uses."""
    from pytorch_metric_learning import miners

    makers: dict[str, Callable[[], Any]] = {
        "none": lambda: None,
        "multi_similarity": miners.MultiSimilarityMiner,
        "semihard": lambda: miners.TripletMarginMiner(type_of_triplets="semihard"),
        "hardest": miners.BatchHardMiner,
    }
    return makers[name]()


class GaussianFastAP(nn.Module):
    """FastAP (Cakir et al. 2019) with a Gaussian instead of a triangular kernel for its histograms.

    Let d be the squared distance of unit vectors, in [0, 4], and c_l = 4 l / bins the center of bin l = 0, ..., bins. A
    pair counts k_l(d) = exp(-(d - c_l)^2 / (2 sigma^2)) in bin l, divided by the sum over l. The rest is as published:
    an anchor's AP is the sum over l of h+_l H+_l / H_l, divided by its number of positives. The loss is 1 - mean AP
    over the anchors that have positives.
    """

    def __init__(self, bins: int, sigma: float) -> None:
        super().__init__()
        self.bins, self.sigma = bins, sigma

    def forward(self, embeddings: Tensor, labels: Tensor, indices: None = None) -> Tensor:
        """Compute the loss of embeddings (n, d) and labels (n,); `indices`, the pairs of a miner, must be None."""
        units = F.normalize(embeddings, dim=1)
        distances = (2 - 2 * units @ units.T).clamp(0, 4)
        counts = self._counts(distances)
        others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positives = (labels[:, None] == labels) & others
        positive_counts = (counts * positives[..., None]).sum(1)  # (n, bins + 1)
        all_counts = (counts * others[..., None]).sum(1)
        positive_sums, all_sums = positive_counts.cumsum(1), all_counts.cumsum(1)
        nonzero = all_sums.clamp(min=torch.finfo(all_sums.dtype).tiny)  # if the sum is 0, the count h+ is 0, too
        number = positives.sum(1)
        average_precisions = (positive_counts * positive_sums / nonzero).sum(1) / number.clamp(min=1)
        anchors = number > 0
        return 1 - average_precisions[anchors].mean() if anchors.any() else 0 * embeddings.sum()

    def _counts(self, distances: Tensor) -> Tensor:
        """Distances (n, n) as soft counts (n, n, bins + 1), which sum to 1 over the last axis."""
        centers = torch.linspace(0, 4, self.bins + 1, device=distances.device, dtype=distances.dtype)
        return torch.softmax(-((distances[..., None] - centers) ** 2) / (2 * self.sigma**2), dim=-1)


def untrained_loss(loss: MetricLoss, labels: Sequence[Tensor], width: int, seed: int) -> UntrainedLoss:
    """Estimate the loss of random isotropic embeddings (n, width) in the batches of an epoch.

    labels: int64 (n,) for each batch of the epoch, on the loss's device. The standard deviation is that of the mean
        over an epoch of so many batches.
    """
    generator = torch.Generator().manual_seed(seed)
    used = labels[:UNTRAINED_BATCHES]
    values = []
    for _ in range(max(2, -(-UNTRAINED_BATCHES // len(used)))):
        for batch in used:
            embeddings = torch.randn(len(batch), width, generator=generator).to(batch.device)
            values.append(loss(embeddings, batch).detach())
    return epoch_mean(torch.stack(values), len(labels))


def epoch_mean(values: Tensor, batches: int) -> UntrainedLoss:
    """Estimate the mean loss of an epoch of `batches` batches, and its standard deviation, from k > 1 batches (k,)."""
    values = values.double()
    return UntrainedLoss(values.mean().item(), values.std().item() / batches**0.5)
