"""Batch samplers for metric learning: random, m images per class, two categories per batch, apart in time.

Every sampler returns the batches of an epoch, int64 arrays of positions; equal (seed, epoch) give equal batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from goldfold.data import neighbors
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation
from goldfold.io import seeding
from goldfold.nn import batches

BatchSampler = Callable[[int], list[np.ndarray]]  # epoch -> positions of the rows, batch by batch


def own_parts(drawn: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return this process's part of every batch; all processes together see the batches of a single one."""
    rank, world_size = batches.rank_and_world_size()
    return [batch[: len(batch) - len(batch) % world_size][rank::world_size] for batch in drawn]


def sampled(
    dataset: Callable[[int], batches.FromDataset], sampler: BatchSampler
) -> Callable[[int], batches.FromDataset]:
    """Return epoch -> batches of a dataset whose positions a sampler draws.

    dataset: of `batches.from_dataset`, whose samples are called with (epoch, position, its occurrence in the epoch).
    """

    def epoch_batches(epoch: int) -> batches.FromDataset:
        drawn = sampler(epoch)
        before = augmentation.occurrences(np.concatenate(drawn).tolist())  # over the parts of all processes
        counts = np.split(before, np.cumsum([len(batch) for batch in drawn])[:-1])
        keys: list[list[tuple[int, ...]]] = [
            [(epoch, *key) for key in zip(own.tolist(), count.tolist(), strict=True)]
            for own, count in zip(own_parts(drawn), own_parts(counts), strict=True)
        ]
        return replace(dataset(epoch), batches=keys)

    return epoch_batches


def random_batches(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Split all n positions at random into batches of equal size; a smaller last batch is dropped.

    If n < batch_size, there is one batch of all n positions.
    """
    return batches.split_batches(batches.epoch_order(seed, epoch, n), batch_size, drop_last=n > batch_size)


def m_per_class(labels: np.ndarray, m: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Fill batches with m images of each of several classes, or with all images of a class that has fewer than m.

    labels: (n,). There are n // batch_size batches, at least one. Classes take turns, and so do the images of a class;
    no image is twice in a batch. The last class of a batch may give fewer than m images, so that all batches have
    `batch_size` images.

    Raises GoldfoldError if all classes together cannot fill a batch, or if one class alone can.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    capacity = int(np.minimum(counts, m).sum())
    if capacity < batch_size or batch_size <= m:
        raise GoldfoldError(
            "batch_not_fillable",
            f"a batch of {batch_size} needs at least two classes with up to {m} images each, and the {len(counts)} "
            f"classes give at most {capacity} images: change m_per_class or the batch size",
        )
    rng = np.random.default_rng(seeding.derive(seed, "m per class", epoch))
    images = [_Rounds(np.flatnonzero(codes == code), rng) for code in range(len(counts))]
    classes = _Rounds(np.arange(len(counts)), rng)
    return [_batch_of_classes(classes, images, m, batch_size) for _ in range(max(1, len(labels) // batch_size))]


class _Rounds:
    """Members that take turns, in a new random order for every round."""

    def __init__(self, members: np.ndarray, rng: np.random.Generator) -> None:
        self.members, self.rng = members, rng
        self.queue: list[int] = []

    def take(self, without: Sequence[int] = ()) -> int:
        """Return the next member that is not in `without`; members that are skipped come first the next time."""
        chosen = next((one for one in self.queue if one not in without), None)
        if chosen is None:
            self.queue += self.rng.permutation(self.members).tolist()
            chosen = next(one for one in self.queue if one not in without)
        self.queue.remove(chosen)
        return chosen


def _batch_of_classes(classes: _Rounds, images: list[_Rounds], m: int, batch_size: int) -> np.ndarray:
    """One batch with up to m images of each class."""
    batch: list[int] = []
    used: list[int] = []
    while len(batch) < batch_size:
        used.append(classes.take(used))
        own, start = images[used[-1]], len(batch)
        for _ in range(min(m, len(own.members), batch_size - start)):
            batch.append(own.take(batch[start:]))
    return np.array(batch)


def two_categories(
    labels: np.ndarray, categories: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Fill each half of a batch from one of two categories, spread over its classes (Cakir et al. 2019, section 4.3).

    labels, categories: (n,). There are n // batch_size batches, at least one; categories take turns. The classes of a
    category take turns, too: if the half batch has room for two images of every class, all classes are in it; else the
    classes in it have two images each. A category with fewer images than half a batch gives all its images.

    Raises GoldfoldError if there are fewer than two categories.
    """
    known, codes = np.unique(categories, return_inverse=True)
    if len(known) < 2:
        raise GoldfoldError(
            "too_few_categories",
            f"sampler=two_category needs two categories and the training rows have {len(known)}: choose "
            "sampler=m_per_class",
        )
    rng = np.random.default_rng(seeding.derive(seed, "two categories", epoch))
    members = [np.flatnonzero(codes == code) for code in range(len(known))]
    rounds, half = _Rounds(np.arange(len(known)), rng), batch_size // 2
    epoch_batches = []
    for _ in range(max(1, len(labels) // batch_size)):
        first = rounds.take()
        pair = (first, rounds.take([first]))
        epoch_batches.append(np.concatenate([_spread(members[one], labels, half, rng) for one in pair]))
    return epoch_batches


def _spread(members: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` members of a category; its classes take turns, with two at a time if one per class would fill it."""
    members = rng.permutation(members)
    own, first = labels[members], rng.permutation(np.unique(labels[members]))
    turn = np.empty(len(members), np.int64)  # number of earlier members of the same class
    for label in first:
        turn[own == label] = np.arange((own == label).sum())
    place = np.argsort(first)[np.searchsorted(np.sort(first), own)]
    at_a_time = 1 if 2 * len(first) <= size else 2
    return members[np.lexsort((turn, place, turn // at_a_time))[:size]]


def apart_in_time(
    sequences: np.ndarray, times: np.ndarray, within: float, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Fill batches in which frames of one sequence are more than `within` apart: losses shall not separate neighbors.

    sequences, times: (n,); `within` is in the unit of `times`. Each frame goes into the first batch that can take it.
    Batches that are not full are dropped, unless none is full: then the largest one is returned.
    """
    near = neighbors.timeline(sequences, times).windows(within)
    made: list[list[int]] = []
    unfilled = 0
    for frame in batches.epoch_order(seed, epoch, len(times)):
        free = (k for k in range(unfilled, len(made)) if len(made[k]) < batch_size and not near.any_of(frame, made[k]))
        k = next(free, len(made))
        made.append([int(frame)]) if k == len(made) else made[k].append(int(frame))
        while unfilled < len(made) and len(made[unfilled]) == batch_size:
            unfilled += 1
    full = [np.array(batch) for batch in made if len(batch) == batch_size]
    return full or [np.array(max(made, key=len))]
