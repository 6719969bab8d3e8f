"""Mixup and CutMix: every sample of a batch is mixed with another one of it, and so are the losses of their labels.

`batches` wraps the batches of a stage, whose inputs come first and labels last; `mix` mixes the inputs on their device.

    Stage(batches=mixup.batches(batches.in_memory((inputs, labels), ...), params.mixup, seed), losses=losses, ...)

    def losses(model, batch):
        inputs, labels = mixup.mix(batch)
        return mixup.mixed_loss(loss, model(inputs), labels)

Sources: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018; Yun et al., CutMix: Regularization Strategy to
Train Strong Classifiers with Localizable Features, 2019. One share per batch, as in the authors' programs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from goldfold.io import seeding
from goldfold.nn.batches import rank_and_world_size

if TYPE_CHECKING:
    from goldfold.competition import Batches


class Pairs(NamedTuple):
    """Labels of mixed samples: `share` of each sample is of `first`, the rest of `second`, of equal shape."""

    first: Tensor
    second: Tensor
    share: float


@dataclass(frozen=True)
class Mixed:
    """An epoch's batches with partners and share appended: (inputs, labels, int64 (n,) partners, float share).

    A batch of CutMix has a fifth part: the center of the rectangle, (y, x) as shares of height and width.
    """

    batches: Batches
    alpha: float
    seed: int
    epoch: int
    cut_alpha: float = 0.0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        rank, _ = rank_and_world_size()
        for number, batch in enumerate(self.batches):
            order = np.random.default_rng(seeding.derive(self.seed, "mixup partners", self.epoch, number, rank))
            partners = torch.from_numpy(order.permutation(len(batch[-1])))
            yield *batch, partners, *self._drawn(number)

    def _drawn(self, number: int) -> tuple[Any, ...]:
        """The share of a batch, and the center of its rectangle if it is cut; with both methods a coin decides."""
        share = np.random.default_rng(seeding.derive(self.seed, "mixup share", self.epoch, number))
        if not self.cut_alpha:
            return (float(share.beta(self.alpha, self.alpha)),)
        place = np.random.default_rng(seeding.derive(self.seed, "cutmix", self.epoch, number))
        if self.alpha and place.random() < 0.5:
            return (float(share.beta(self.alpha, self.alpha)),)
        return float(share.beta(self.cut_alpha, self.cut_alpha)), (float(place.random()), float(place.random()))


def batches(
    of_epoch: Callable[[int], Batches], alpha: float, seed: int, cut_alpha: float = 0.0
) -> Callable[[int], Batches]:
    """Return the batches of an epoch with partners and share for `mix`; unchanged if both alphas are 0.

    alpha, cut_alpha: of the distributions Beta(alpha, alpha) of the share in mixup and in CutMix, which all processes
        of a run draw alike; with both, each batch is mixed by one of them, with equal chances. Partners are of the same
        process. All depends on seed, epoch and number of the batch only.
    """
    return (lambda epoch: Mixed(of_epoch(epoch), alpha, seed, epoch, cut_alpha)) if alpha or cut_alpha else of_epoch


def mix(batch: tuple[Any, ...]) -> tuple[Any, Tensor | Pairs]:
    """Return inputs, mixed, and their labels of a batch (inputs, labels) with or without partners.

    Inputs of mixup become float; those of CutMix are images (n, h, w, c) and keep their type. Inputs in several parts
    are images and, beside them, numbers (n, k), which are mixed by the share of the image.
    """
    inputs, labels, *mixing = batch
    if not mixing:
        return inputs, labels
    images, *beside = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    partners, share = mixing[0].to(images.device), mixing[1]
    if len(mixing) == 3:
        mixed, share = _cut(images, partners, share, mixing[2])
    else:
        mixed = share * images + (1 - share) * images[partners]
    numbers = [share * part + (1 - share) * part[partners] for part in beside]
    labels = Pairs(labels, labels[partners.to(labels.device)], share)
    return ((mixed, *numbers) if numbers else mixed), labels


def box(height: int, width: int, share: float, center: tuple[float, float]) -> tuple[int, int, int, int]:
    """The rectangle (top, left, bottom, right) of CutMix in an image, of sqrt(1 - share) of its height and width.

    center: (y, x) in [0, 1); where it is near an edge the rectangle ends there.

    >>> box(8, 8, 0.75, (0.5, 0.9))
    (2, 5, 6, 8)
    """
    reach = 0.5 * math.sqrt(1 - share)
    (top, bottom), (left, right) = (
        (max(0, int(place * side) - int(reach * side)), min(side, int(place * side) + int(reach * side)))
        for place, side in zip(center, (height, width), strict=True)
    )
    return top, left, bottom, right


def _cut(images: Tensor, partners: Tensor, share: float, center: tuple[float, float]) -> tuple[Tensor, float]:
    """Images (n, h, w, c) with a rectangle of their partners', and the share of an image that is its own."""
    height, width = images.shape[1:3]
    top, left, bottom, right = box(height, width, share, center)
    mixed = images.clone()
    mixed[:, top:bottom, left:right] = images[partners, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def mixed_loss(
    loss: Callable[[Tensor, Tensor], Mapping[str, Tensor]], logits: Tensor, labels: Tensor | Pairs
) -> dict[str, Tensor]:
    """The loss terms of plain labels; of mixed ones share * loss(first) + (1 - share) * loss(second)."""
    if not isinstance(labels, Pairs):
        return dict(loss(logits, labels))
    first, second = loss(logits, labels.first), loss(logits, labels.second)
    return {term: labels.share * first[term] + (1 - labels.share) * second[term] for term in first}
