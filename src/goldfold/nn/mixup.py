"""Mixup: every sample of a batch is mixed with another one of it, and so are the losses of their labels.

`batches` wraps the batches of a stage, whose inputs come first and labels last; `mix` mixes the inputs on their device.

    Stage(batches=mixup.batches(batches.in_memory((inputs, labels), ...), params.mixup, seed), losses=losses, ...)

    def losses(model, batch):
        inputs, labels = mixup.mix(batch)
        return mixup.mixed_loss(loss, model(inputs), labels)

Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018; one share per batch, as in the authors' program.
"""

from __future__ import annotations

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
    """An epoch's batches with partners and share appended: (inputs, labels, int64 (n,) partners, float share)."""

    batches: Batches
    alpha: float
    seed: int
    epoch: int

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        rank, _ = rank_and_world_size()
        for number, batch in enumerate(self.batches):
            share = np.random.default_rng(seeding.derive(self.seed, "mixup share", self.epoch, number))
            order = np.random.default_rng(seeding.derive(self.seed, "mixup partners", self.epoch, number, rank))
            partners = torch.from_numpy(order.permutation(len(batch[-1])))
            yield *batch, partners, float(share.beta(self.alpha, self.alpha))


def batches(of_epoch: Callable[[int], Batches], alpha: float, seed: int) -> Callable[[int], Batches]:
    """Return the batches of an epoch with partners and share for `mix`; unchanged if `alpha` is 0.

    alpha: of the distribution Beta(alpha, alpha) of the share, which all processes of a run draw alike. Partners are of
        the same process. Both depend on seed, epoch and number of the batch only.
    """
    return (lambda epoch: Mixed(of_epoch(epoch), alpha, seed, epoch)) if alpha else of_epoch


def mix(batch: tuple[Any, ...]) -> tuple[Tensor, Tensor | Pairs]:
    """Return inputs, float and mixed, and their labels of a batch (inputs, labels) with or without partners."""
    inputs, labels, *mixing = batch
    if not mixing:
        return inputs, labels
    partners, share = mixing[0].to(inputs.device), mixing[1]
    return share * inputs + (1 - share) * inputs[partners], Pairs(labels, labels[partners.to(labels.device)], share)


def mixed_loss(
    loss: Callable[[Tensor, Tensor], Mapping[str, Tensor]], logits: Tensor, labels: Tensor | Pairs
) -> dict[str, Tensor]:
    """The loss terms of plain labels; of mixed ones share * loss(first) + (1 - share) * loss(second)."""
    if not isinstance(labels, Pairs):
        return dict(loss(logits, labels))
    first, second = loss(logits, labels.first), loss(logits, labels.second)
    return {term: labels.share * first[term] + (1 - labels.share) * second[term] for term in first}
