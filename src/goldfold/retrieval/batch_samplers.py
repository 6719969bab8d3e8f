"""Which images a batch holds where losses compare the images of a batch: of few classes, of categories, apart in time.

Every function returns an epoch's batches, int64 arrays of positions, equal for equal (seed, epoch).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from goldfold.data import neighbors
from goldfold.errors import GoldfoldError
from goldfold.io import seeding
from goldfold.nn import batches


def at_random(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """All n positions in batches of equal size; a smaller rest is left out."""
    return batches.shares(batches.order(seed, epoch, n), batch_size, drop_last=n > batch_size)


def m_per_class(labels: np.ndarray, m: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """m images of each class in a batch, or all a class has where it has fewer; as many batches as n images fill.

    labels: (n,). Classes come in rounds, each as often as every other, and images within a class likewise; none is
    twice in a batch. The last class of a batch may give fewer than m, so that all batches have `batch_size` images.

    Raises GoldfoldError where all classes together cannot fill a batch, or one alone does.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    capacity = int(np.minimum(counts, m).sum())
    if capacity < batch_size or batch_size <= m:
        raise GoldfoldError(
            f"a batch is made of at least two classes with up to {m} images of each, which fills {capacity} of "
            f"{batch_size} places with {len(counts)} classes: change m_per_class or metric_batch_size"
        )
    draw = np.random.default_rng(seeding.derive(seed, "m per class", epoch))
    images = [_Rounds(np.flatnonzero(codes == code), draw) for code in range(len(counts))]
    classes = _Rounds(np.arange(len(counts)), draw)
    return [_of_classes(classes, images, m, batch_size) for _ in range(max(1, len(labels) // batch_size))]


class _Rounds:
    """Members in an order drawn anew for every round."""

    def __init__(self, members: np.ndarray, draw: np.random.Generator) -> None:
        self.members, self.draw = members, draw
        self.coming: list[int] = []

    def take(self, without: Sequence[int] = ()) -> int:
        """The next member that is not among `without`; those passed over come first the next time."""
        chosen = next((one for one in self.coming if one not in without), None)
        if chosen is None:
            self.coming += self.draw.permutation(self.members).tolist()
            chosen = next(one for one in self.coming if one not in without)
        self.coming.remove(chosen)
        return chosen


def _of_classes(classes: _Rounds, images: list[_Rounds], m: int, batch_size: int) -> np.ndarray:
    batch: list[int] = []
    shown: list[int] = []
    while len(batch) < batch_size:
        shown.append(classes.take(shown))
        own, given = images[shown[-1]], len(batch)
        for _ in range(min(m, len(own.members), batch_size - given)):
            batch.append(own.take(batch[given:]))
    return np.array(batch)


def two_categories(
    labels: np.ndarray, categories: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Half a batch of each of two categories, spread over all their classes (Cakir et al. 2019, section 4.3).

    labels, categories: (n,). Classes of a category take turns, so that all are there where the half has room for two
    images of each; with less room, each class that is there has two. Of a category with fewer images than half a batch
    all are there. As many batches as n images fill; categories come in rounds.

    Raises GoldfoldError where there is one category alone.
    """
    known, codes = np.unique(categories, return_inverse=True)
    if len(known) < 2:
        raise GoldfoldError(f"sampler two_category needs two categories and there is {len(known)}: choose m_per_class")
    draw = np.random.default_rng(seeding.derive(seed, "two categories", epoch))
    members = [np.flatnonzero(codes == code) for code in range(len(known))]
    rounds, half = _Rounds(np.arange(len(known)), draw), batch_size // 2
    epochs_batches = []
    for _ in range(max(1, len(labels) // batch_size)):
        first = rounds.take()
        pair = (first, rounds.take([first]))
        epochs_batches.append(np.concatenate([_spread(members[one], labels, half, draw) for one in pair]))
    return epochs_batches


def _spread(members: np.ndarray, labels: np.ndarray, size: int, draw: np.random.Generator) -> np.ndarray:
    """`size` of a category's members, in turns over its classes, two at a time where one each would fill it."""
    members = draw.permutation(members)
    own, first = labels[members], draw.permutation(np.unique(labels[members]))
    turn = np.empty(len(members), np.int64)  # how many of its class come before it
    for label in first:
        turn[own == label] = np.arange((own == label).sum())
    place = np.argsort(first)[np.searchsorted(np.sort(first), own)]
    at_a_time = 1 if 2 * len(first) <= size else 2
    return members[np.lexsort((turn, place, turn // at_a_time))[:size]]


def apart(
    sequences: np.ndarray, times: np.ndarray, within: float, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Batches in which no two frames of one sequence are `within` of each other, for losses that push them apart.

    sequences, times: (n,). Frames take the first batch with room for them; batches that are not full are left out,
    unless none is.
    """
    near = neighbors.timeline(sequences, times).windows(within)
    made: list[list[int]] = []
    unfilled = 0
    for frame in batches.order(seed, epoch, len(times)):
        free = (k for k in range(unfilled, len(made)) if len(made[k]) < batch_size and not near.any_of(frame, made[k]))
        k = next(free, len(made))
        made.append([int(frame)]) if k == len(made) else made[k].append(int(frame))
        while unfilled < len(made) and len(made[unfilled]) == batch_size:
            unfilled += 1
    full = [np.array(batch) for batch in made if len(batch) == batch_size]
    return full or [np.array(max(made, key=len))]
