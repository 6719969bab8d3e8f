"""Batches of texts of like length, so that little of a batch is padding: sorted within buckets of a shuffled epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch
from torch import Tensor

from goldfold.io import seeding
from goldfold.nn.batches import balanced_order, epoch_order, rank_and_world_size, split_batches
from goldfold.nn.texts.tokens import Tokens

SPAN = 16  # batches in a bucket


def bucketed(order: np.ndarray, lengths: np.ndarray, batch_size: int, generator: np.random.Generator) -> np.ndarray:
    """Return an epoch's order in which each run of `batch_size` rows has texts of like length, int64 (n,).

    order: of the shuffled epoch. It is cut into buckets of `SPAN` batches, each is sorted by length, and then the whole
        batches are shuffled. The batch with the longest text comes first: memory that it lacks runs out at once. Rows
        that fill no batch come last.
    """
    buckets = np.split(order, range(batch_size * SPAN, len(order), batch_size * SPAN))
    by_length = np.concatenate([bucket[np.argsort(lengths[bucket], kind="stable")] for bucket in buckets])
    whole = len(by_length) // batch_size * batch_size
    batches = by_length[:whole].reshape(-1, batch_size)
    batches = batches[generator.permutation(len(batches))]
    if len(batches):
        longest = int(lengths[batches].max(axis=1).argmax())
        batches[[0, longest]] = batches[[longest, 0]]
    return np.concatenate([batches.ravel(), by_length[whole:]])


@dataclass(frozen=True)
class TextBatches(Sequence):
    """An epoch's batches (ids, mask, types, labels), padded when they are asked for. positions: rows of each batch."""

    tokens: Tokens
    labels: Tensor
    positions: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, at: int) -> tuple[Tensor, ...]: ...

    @overload
    def __getitem__(self, at: slice) -> TextBatches: ...

    def __getitem__(self, at: int | slice) -> tuple[Tensor, ...] | TextBatches:
        if isinstance(at, slice):
            return replace(self, positions=self.positions[at])
        rows = self.positions[at]
        return *self.tokens.batch(rows), self.labels[torch.from_numpy(rows)]

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return (self[at] for at in range(len(self)))


def batches(
    tokens: Tokens, labels: Tensor, batch_size: int, seed: int, balance: np.ndarray | None = None
) -> Callable[[int], TextBatches]:
    """Make batches of tokenized texts for `Stage.batches`: epoch -> `TextBatches`; equal epochs give equal batches.

    balance: the class of each row, (n,), for the draws of `batches.balanced_order`; None: every row once.
    """

    def of_epoch(epoch: int) -> TextBatches:
        count = len(tokens.lengths)
        order = epoch_order(seed, epoch, count) if balance is None else balanced_order(seed, epoch, balance)
        generator = np.random.default_rng(seeding.derive(seed, "length buckets", epoch))
        order = bucketed(order, tokens.lengths, batch_size, generator)
        return TextBatches(tokens, labels, split_batches(order, batch_size, False, *rank_and_world_size()))

    return of_epoch
