"""Batches of an epoch: their samples and order, from memory or through a DataLoader, split over processes.

`in_memory` and `from_dataset` return the function that `Stage.batches` needs: epoch -> an iterable with a length. Equal
epochs give equal batches, whatever was iterated before. Under torch.distributed, `batch_size` counts the samples of all
processes together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from goldfold.errors import GoldfoldError
from goldfold.io import seeding

if TYPE_CHECKING:
    from collections.abc import Iterable

PIXELS = (2**22, 2**24)  # of images in one forward pass, on a CPU and on a GPU
GATHER_BYTES = 2**24  # blocks of 16 MiB are the fastest to gather, for rows of 80 bytes and of 270 kB


def epoch_order(seed: int, epoch: int, n: int, shuffle: bool = True) -> np.ndarray:
    """Return the order in which an epoch visits its samples, int64 (n,): a permutation of range(n)."""
    if not shuffle:
        return np.arange(n)
    return np.random.default_rng(seeding.derive(seed, "order", epoch)).permutation(n)


def balanced_order(seed: int, epoch: int, classes: np.ndarray) -> np.ndarray:
    """Return samples of an epoch drawn with replacement, int64 (n,), so that all classes are expected equally often.

    classes: (n,), the class of each sample. The weight of a sample is 1 / n_c, n_c the number of samples of its class.
    """
    _, numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
    shares = 1 / counts[numbers] / len(counts)
    return np.random.default_rng(seeding.derive(seed, "balanced order", epoch)).choice(
        len(classes), len(classes), p=shares
    )


def _order(seed: int, epoch: int, n: int, shuffle: bool, balance: np.ndarray | None) -> np.ndarray:
    """The order of an epoch: a permutation, or draws that balance classes."""
    return epoch_order(seed, epoch, n, shuffle) if balance is None else balanced_order(seed, epoch, balance)


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank and the number of processes of torch.distributed; (0, 1) without it."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def rows_at_once(batch_size: int, side: int, device: torch.device) -> int:
    """Return how many rows a forward pass takes: `batch_size`, or fewer, at least one, if images are large.

    side: of an image, in pixels. A U-Net's maps of 2**22 pixels take about 1.3 GiB without gradients.
    """
    return max(1, min(batch_size, PIXELS[device.type != "cpu"] // side**2))


def prediction_batches(count: int, batch_size: int, side: int, device: torch.device) -> list[slice]:
    """Split rows 0 ... count - 1 into slices of `rows_at_once`; predictions depend on them by rounding only."""
    size = rows_at_once(batch_size, side, device)
    return [slice(start, start + size) for start in range(0, count, size)]


def split_batches(
    order: np.ndarray, batch_size: int, drop_last: bool = False, rank: int = 0, world_size: int = 1
) -> list[np.ndarray]:
    """Return one process's part of every batch of an epoch, (batch_size / world_size,); the last may be smaller.

    order: positions in the order they are visited. It is first cut into batches and then split over processes, so that
        all processes together see the batches of a single process. Up to world_size - 1 samples of the last batch are
        dropped, so that all processes get equally many.

    Raises GoldfoldError unless batch_size is a positive multiple of world_size.
    """
    if batch_size < 1 or batch_size % world_size:
        raise GoldfoldError(
            "batch_size_not_divisible",
            f"batch_size is {batch_size} and must be a positive multiple of the {world_size} processes: change it",
        )
    stop = len(order) - len(order) % (batch_size if drop_last else world_size)
    batches = np.split(order[:stop], range(batch_size, stop, batch_size))
    return [batch[rank::world_size] for batch in batches if batch.size]


@dataclass(frozen=True)
class InMemory:
    """An epoch's batches, gathered from tensors in memory; every iteration yields the same batches.

    tensors: of equal length. positions: of the rows of each batch.
    """

    tensors: tuple[Tensor, ...]
    positions: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        bytes_per_row = sum(tensor[0].nbytes for tensor in self.tensors)
        per_block = max(1, GATHER_BYTES // max(1, bytes_per_row * len(self.positions[0]))) if self.positions else 1
        for start in range(0, len(self), per_block):
            yield from self._block(self.positions[start : start + per_block])

    def _block(self, positions: list[np.ndarray]) -> Iterable[tuple[Tensor, ...]]:
        """Several batches, gathered at once."""
        rows = torch.from_numpy(np.concatenate(positions)).to(self.tensors[0].device)
        size = len(positions[0])
        return zip(*(tensor.index_select(0, rows).split(size) for tensor in self.tensors), strict=True)


def last_batch(batches: Iterable[Any]) -> Iterable[Any]:
    """The last batch of an epoch alone, without loading those before it; nothing if it cannot be reached so."""
    if isinstance(batches, InMemory):
        return replace(batches, positions=batches.positions[-1:])
    if isinstance(batches, FromDataset):
        return replace(batches, batches=batches.batches[-1:])
    return batches[-1:] if isinstance(batches, Sequence) else ()


def in_memory(
    tensors: tuple[Tensor, ...],
    batch_size: int,
    seed: int,
    *,
    shuffle: bool = True,
    drop_last: bool = False,
    balance: np.ndarray | None = None,
) -> Callable[[int], InMemory]:
    """Make batches of tensors of equal length, on their device: epoch -> tuples of tensors (batch, ...).

    balance: the class of each sample, (n,), for the draws of `balanced_order`; None: every sample once.
    """

    def batches(epoch: int) -> InMemory:
        order = _order(seed, epoch, len(tensors[0]), shuffle, balance)
        return InMemory(tensors, split_batches(order, batch_size, drop_last, *rank_and_world_size()))

    return batches


@dataclass(frozen=True)
class _Samples(Dataset):
    """A stateless torch dataset: its keys start with (epoch, position), so workers need no other state."""

    item: Callable[..., Any]

    def __getitem__(self, key: tuple[int, ...]) -> Any:
        return self.item(*key)


class _Keys:
    """A batch sampler for persistent workers: its batches are replaced between epochs."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        return iter(self.batches)


@dataclass(frozen=True)
class FromDataset:
    """An epoch's batches, whose samples the workers of a DataLoader make; iterate one epoch at a time."""

    loader: DataLoader
    keys: _Keys
    batches: list[list[tuple[int, ...]]]

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
    balance: np.ndarray | None = None,
) -> Callable[[int], FromDataset]:
    """Make batches of samples on demand: epoch -> collated samples, independent of the number of workers.

    item: (epoch, position in range(n)) -> a sample (tensors, arrays, numbers, in tuples or dicts). It must depend on
        its arguments only. If workers are spawned, it must be picklable: a module's function or a partial of one.
    workers: processes that make samples; 0: the calling process makes them.
    balance: as in `in_memory`. A sample that is drawn twice in an epoch is the same twice.
    """
    keys = _Keys()
    generator = torch.Generator().manual_seed(0)  # otherwise the loader draws from torch's global state
    loader: DataLoader = DataLoader(
        _Samples(item),
        batch_sampler=keys,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
        generator=generator,
        pin_memory=torch.cuda.is_available(),
    )

    def batches(epoch: int) -> FromDataset:
        order = _order(seed, epoch, n, shuffle, balance)
        positions = split_batches(order, batch_size, drop_last, *rank_and_world_size())
        return FromDataset(loader, keys, [[(epoch, int(position)) for position in batch] for batch in positions])

    return batches


def _one_thread(worker: int) -> None:
    """Run OpenCV in one thread; a forked worker inherits its thread pool without the threads."""
    import cv2

    cv2.setNumThreads(0)
