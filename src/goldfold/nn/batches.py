"""Batches of an epoch: which samples, in which order, from memory or through a DataLoader, split over processes.

Both makers return the function `Stage.batches` wants: epoch -> an iterable with a length, equal for equal epochs
whatever came before. Under torch.distributed `batch_size` is that of all processes together; each gets its share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from goldfold.errors import GoldfoldError
from goldfold.io import seeding

if TYPE_CHECKING:
    from collections.abc import Iterable

GATHERED_BYTES = 2**24  # blocks of 16 MiB gather fastest, for rows of 80 bytes as for rows of 270 kB


def order(seed: int, epoch: int, n: int, shuffle: bool = True) -> np.ndarray:
    """The int64 (n,) positions of an epoch in the order they are visited: a permutation of range(n)."""
    if not shuffle:
        return np.arange(n)
    return np.random.default_rng(seeding.derive(seed, "order", epoch)).permutation(n)


def process() -> tuple[int, int]:
    """(rank, number of processes) of torch.distributed, (0, 1) without it."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def shares(
    visited: np.ndarray, batch_size: int, drop_last: bool = False, rank: int = 0, world: int = 1
) -> list[np.ndarray]:
    """One process's part of every batch of an epoch: positions (batch_size / world,), the last batch's perhaps fewer.

    Batches are cut from `visited` first and dealt out second, so that the batches of all processes together hold what
    one process alone would see; of a last batch up to world - 1 samples are left out, so that all shares are equal.
    """
    if batch_size < 1 or batch_size % world:
        raise GoldfoldError(f"batch_size must be a positive multiple of the {world} processes, it is {batch_size}")
    stop = len(visited) - len(visited) % (batch_size if drop_last else world)
    batches = np.split(visited[:stop], range(batch_size, stop, batch_size))
    return [batch[rank::world] for batch in batches if batch.size]


@dataclass(frozen=True)
class InMemory:
    """An epoch's batches, gathered from tensors that lie in memory; iterating again yields the same."""

    tensors: tuple[Tensor, ...]
    positions: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        bytes_per_row = sum(tensor[0].nbytes for tensor in self.tensors)
        per_block = max(1, GATHERED_BYTES // max(1, bytes_per_row * len(self.positions[0]))) if self.positions else 1
        for start in range(0, len(self), per_block):
            yield from self._block(self.positions[start : start + per_block])

    def _block(self, positions: list[np.ndarray]) -> Iterable[tuple[Tensor, ...]]:
        rows = torch.from_numpy(np.concatenate(positions)).to(self.tensors[0].device)
        size = len(positions[0])
        return zip(*(tensor.index_select(0, rows).split(size) for tensor in self.tensors), strict=True)


def in_memory(
    tensors: tuple[Tensor, ...], batch_size: int, seed: int, *, shuffle: bool = True, drop_last: bool = False
) -> Callable[[int], InMemory]:
    """Batches of tensors of equal length, on the device they lie on: epoch -> tuples of (batch, ...) tensors."""

    def batches(epoch: int) -> InMemory:
        visited = order(seed, epoch, len(tensors[0]), shuffle)
        return InMemory(tensors, shares(visited, batch_size, drop_last, *process()))

    return batches


@dataclass(frozen=True)
class _Samples:
    """A stateless data set of torch: the key is (epoch, position), so workers need not be told the epoch."""

    item: Callable[[int, int], Any]

    def __getitem__(self, key: tuple[int, int]) -> Any:
        return self.item(*key)


class _Keys:
    """A batch sampler for workers that outlive an epoch: what it yields is exchanged between epochs."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)


@dataclass(frozen=True)
class FromDataset:
    """An epoch's batches, each sample made by the workers of a DataLoader; iterate one epoch at a time."""

    loader: DataLoader
    keys: _Keys
    batches: list[list[tuple[int, int]]]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        self.keys.batches = self.batches
        return iter(self.loader)


def from_dataset(
    item: Callable[[int, int], Any],
    n: int,
    batch_size: int,
    seed: int,
    workers: int = 0,
    *,
    shuffle: bool = True,
    drop_last: bool = False,
) -> Callable[[int], FromDataset]:
    """Batches of samples made on demand: epoch -> collated samples, the same whatever the number of workers.

    item: (epoch, position in range(n)) -> a sample (tensors, arrays, numbers, in tuples or dicts). It must depend on
        its arguments alone, and be picklable (a function of a module, a partial of one) where workers are spawned.
    """
    keys = _Keys()
    own = torch.Generator().manual_seed(0)  # the loader would draw from torch's global state, once per set of workers
    loader = DataLoader(
        _Samples(item),
        batch_sampler=keys,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
        generator=own,
        pin_memory=torch.cuda.is_available(),
    )

    def batches(epoch: int) -> FromDataset:
        positions = shares(order(seed, epoch, n, shuffle), batch_size, drop_last, *process())
        return FromDataset(loader, keys, [[(epoch, int(position)) for position in batch] for batch in positions])

    return batches


def _one_thread(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # a forked worker inherits OpenCV's pool without its threads
