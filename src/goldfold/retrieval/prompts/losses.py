"""Losses of learned prompts and of the image tower tuned against them, from pytorch-metric-learning where it has them.

Formulas: Li et al. 2023 (CLIP-ReID); Hermans et al. 2017 (batch-hard triplets); Wen et al. 2016 (centers); Luo et al.
2019 (BNNeck).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.retrieval import losses as metric_losses
from goldfold.retrieval.losses import MetricLoss
from goldfold.retrieval.prompts.parameters import PromptedEmbedderParams

CLASSIFIER_SD = 0.001  # of the classifier's first weights, as published


class ImageTextLoss(nn.Module):
    """Supervised contrastive loss between images and texts, in both directions; a scalar.

    L_i2t = -mean_i 1/|P_i| sum_{p in P_i} log(exp(v_i t_p / T) / sum_a exp(v_i t_a / T)), where P_i are the texts of
    the batch with the identity of image i; L_t2i with the roles exchanged. The loss is their sum, as published.
    Features are compared by their inner product, as they come.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        from pytorch_metric_learning import distances, losses, reducers

        products = distances.DotProductSimilarity(normalize_embeddings=False)
        self.loss = losses.SupConLoss(temperature, distance=products, reducer=reducers.MeanReducer())

    def forward(self, images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of images and texts (n, d) with the same labels int64 (n,)."""
        with torch.autocast(images.device.type, enabled=False):
            images, texts = _precise(images), _precise(texts)
            others = labels.clone()  # the library leaves the diagonal out if both are the same tensor
            to_text = self.loss(images, labels, ref_emb=texts, ref_labels=others)
            return to_text + self.loss(texts, labels, ref_emb=images, ref_labels=others)


def _precise(features: Tensor) -> Tensor:
    return features if features.dtype is torch.float64 else features.float()


def batch_hard_triplet(margin: float, normalize: bool) -> MetricLoss:
    """Create the triplet loss mean_i max(0, margin + max_p d(i, p) - min_n d(i, n)) over the images with both kinds.

    d: Euclidean distance; normalize: of vectors of length 1.
    """
    from pytorch_metric_learning import distances, losses, miners, reducers

    distance = distances.LpDistance(normalize_embeddings=normalize)
    loss = losses.TripletMarginLoss(margin, distance=distance, reducer=reducers.MeanReducer())
    return MetricLoss(loss, miners.BatchHardMiner(distance=distance))


class CenterLoss(nn.Module):
    """Center loss weight / 2 mean_i |f_i - c_y(i)|^2, whose centers learn at a rate that the weight does not change.

    Features get the gradient of this value, centers that of the value for a weight of 1: what the published code does
    by dividing the centers' gradients by the weight before their step.
    """

    def __init__(self, classes: int, width: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.centers = nn.Parameter(torch.randn(classes, width))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Compute the weighted loss of features (n, width) and labels int64 (n,)."""
        features, own = _precise(features), self.centers[labels]
        pulls = self.weight * _half_square(features, own.detach())
        moves = _half_square(features.detach(), own)
        return pulls + (moves - moves.detach())


def _half_square(features: Tensor, centers: Tensor) -> Tensor:
    return 0.5 * (features - centers).square().sum(1).mean()


class Neck(nn.Module):
    """A classifier without bias behind a BatchNorm whose bias stays 0 (BNNeck); without BatchNorm if not `norm`."""

    def __init__(self, width: int, classes: int | None, norm: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width) if norm else nn.Identity()
        if isinstance(self.norm, nn.BatchNorm1d):
            self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(width, classes, bias=False) if classes else None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=CLASSIFIER_SD)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features (n, width) behind the BatchNorm."""
        return self.norm(features)

    def logits(self, normed: Tensor) -> Tensor:
        """Return the logits (n, classes) of features behind the BatchNorm."""
        assert self.classifier is not None
        return self.classifier(normed).float()


class Views(NamedTuple):
    """What the losses see of a batch of images: features and their projection; the block before, if asked for."""

    last: Tensor
    projected: Tensor
    inner: Tensor | None


class ImageLosses(nn.Module):
    """The losses of the image stage with a weight above 0, each weighted, and the weights they learn."""

    def __init__(self, params: PromptedEmbedderParams, classes: int, width: int, projected: int) -> None:
        super().__init__()
        self.params = params
        identities = classes if params.id_weight else None
        both = params.id_weight > 0 and params.id_heads == "both"
        used = params.id_weight > 0 or params.arcface_weight > 0
        self.neck = Neck(width, identities, params.bnneck) if used else None
        self.projected_neck = Neck(projected, classes, params.bnneck) if both else None
        self.arcface = _arcface(params, classes, width) if params.arcface_weight else None
        self.triplet = None
        if params.triplet_weight:
            self.triplet = batch_hard_triplet(params.triplet_margin, params.triplet_normalize)
        self.center = CenterLoss(classes, width, params.center_weight) if params.center_weight else None
        self.supcon = _supcon(params) if params.supcon_weight else None

    def forward(self, views: Views, texts: Tensor | None, labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted terms; texts: the features (classes, d) of all identities, if a loss needs them."""
        params = self.params
        terms: dict[str, Tensor] = {}
        if self.neck is not None:
            terms |= self._of_neck(self.neck(views.last), views, labels)
        if self.supcon is not None:
            between = (views.projected, *(() if texts is None or not self._texts_in_supcon else (texts[labels],)))
            terms["supcon"] = params.supcon_weight * self.supcon(*between, labels)
        if self.triplet is not None:
            terms["triplet"] = params.triplet_weight * sum(self.triplet(each, labels) for each in self._ranked(views))
        if self.center is not None:
            terms["center"] = self.center(views.last, labels)
        if params.image_text_weight:
            assert texts is not None
            logits = views.projected.float() @ texts.T / params.image_text_temperature
            terms["image_text"] = params.image_text_weight * self._cross_entropy(logits, labels)
        return terms

    @property
    def needs_texts(self) -> bool:
        """Whether a loss compares images with texts."""
        return self.params.image_text_weight > 0 or self._texts_in_supcon

    @property
    def uses_projection(self) -> bool:
        """Whether a loss sees the projected features."""
        ranked = self.triplet is not None and self.params.triplet_features != "feature"
        return self.needs_texts or ranked or self.projected_neck is not None or self.supcon is not None

    @property
    def needs_inner(self) -> bool:
        """Whether a loss sees the block before the last."""
        return self.params.triplet_weight > 0 and self.params.triplet_features == "three"

    @property
    def _texts_in_supcon(self) -> bool:
        return self.params.supcon_weight > 0 and self.params.supcon_pairs == "image_text"

    def _of_neck(self, normed: Tensor, views: Views, labels: Tensor) -> dict[str, Tensor]:
        """The terms of classifiers: identity on one or two heads, and ArcFace."""
        params = self.params
        terms: dict[str, Tensor] = {}
        if params.id_weight and self.neck is not None:
            terms["id"] = params.id_weight * self._cross_entropy(self.neck.logits(normed), labels)
        if self.projected_neck is not None:
            logits = self.projected_neck.logits(self.projected_neck(views.projected))
            terms["id_projection"] = params.id_weight * self._cross_entropy(logits, labels)
        if self.arcface is not None:
            terms["arcface"] = params.arcface_weight * self.arcface(normed, labels)
        return terms

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.params.label_smoothing)

    def _ranked(self, views: Views) -> list[Tensor]:
        """The features that triplets are taken from."""
        chosen = [views.last]
        if self.params.triplet_features != "feature":
            chosen.append(views.projected)
        return [*chosen, views.inner] if views.inner is not None else chosen


def _arcface(params: PromptedEmbedderParams, classes: int, width: int) -> MetricLoss:
    degrees = math.degrees(params.arcface_margin)  # the library's unit
    return metric_losses.create("arcface", classes=classes, width=width, margin=degrees, scale=params.arcface_scale)


def _supcon(params: PromptedEmbedderParams) -> nn.Module:
    if params.supcon_pairs == "image_text":
        return ImageTextLoss(params.supcon_temperature)
    from pytorch_metric_learning import losses

    return MetricLoss(losses.SupConLoss(params.supcon_temperature))
