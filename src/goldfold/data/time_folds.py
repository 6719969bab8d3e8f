"""Folds of whole blocks of time, with a guard between training and validation rows (see `neighbors`).

Sequences are recordings, signals, sensors: one value a row, in any script. Times are finite numbers in any unit, in any
order; the guard and the lengths are in the same unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from goldfold.competition import Fold
from goldfold.data import folds as splits
from goldfold.data import neighbors
from goldfold.errors import GoldfoldError


def blocks(sequences: Sequence, times: Sequence[float], length: float) -> np.ndarray:
    """Cut each sequence into blocks of `length` from its first time: each row's block, (n,) text such as "0016E5 2".

    A remainder shorter than half of `length` at the end of a sequence joins the block before it. If one length divides
    another, no short block crosses the border of a long one.

    Raises:
        GoldfoldError: as `neighbors.timeline`, or a length that is not positive.
    """
    line = neighbors.timeline(sequences, times)
    values = line.times
    if not 0 < length < np.inf:
        raise GoldfoldError(f"blocks need a length above 0, got {length}: give it in the unit of the times")
    numbers = np.empty(len(values), np.int64)
    for members in line.members():
        since = values[members] - values[members].min()
        last = int(since.max() // length)
        if last and since.max() - last * length < length / 2:
            last -= 1
        numbers[members] = np.minimum(since // length, last)
    return np.array([f"{name} {number}" for name, number in zip(list(sequences), numbers, strict=True)])


def folds(
    sequences: Sequence, times: Sequence[float], blocks: Sequence, count: int, guard: float, seed: int
) -> list[Fold]:
    """Validate each block in one of `count` folds, and train on the rows of the others that are beyond the guard.

    The blocks of each sequence are shuffled and dealt out one by one: the folds' numbers of blocks differ by 1 at most,
    over all and in each sequence. A row within the guard of a validation row is in neither part of that fold.

    Raises:
        GoldfoldError: as `beyond`; a row without a block, fewer blocks than folds, or a fold without training rows.
    """
    line = neighbors.timeline(sequences, times)
    owners = pd.Series(list(blocks))
    names = owners.drop_duplicates()
    if owners.isna().any():
        raise GoldfoldError(f"every row needs a block, but {owners.isna().sum()} of {len(owners)} have none: fill them")
    if count < 2 or len(names) < count:
        raise GoldfoldError(
            f"folds by blocks of time need 2 or more folds and a block for each, got {count} folds for {len(names)} "
            "blocks: use fewer folds or shorter blocks"
        )
    dealt = dict(zip(_shuffled(names, line.sequences[names.index], seed), np.arange(len(names)) % count, strict=True))
    numbers = owners.map(dealt).to_numpy(np.int64)
    drawn = []
    for number in range(count):
        validation = np.flatnonzero(numbers == number)
        drawn.append(Fold(_beyond(line, validation, guard), validation))
    return _verified(splits.verified(drawn, len(owners), groups=owners), line, guard)


def beyond(sequences: Sequence, times: Sequence[float], positions: np.ndarray, guard: float) -> np.ndarray:
    """The rows, int64 and ascending, that are neither at `positions` nor within the guard of a row there.

    positions: int64. Rows of another sequence are always beyond; times that differ by exactly `guard` are within.

    Raises:
        GoldfoldError: as `neighbors.timeline`, or a negative guard.
    """
    return _beyond(neighbors.timeline(sequences, times), positions, guard)


def _beyond(line: neighbors.Timeline, positions: np.ndarray, guard: float) -> np.ndarray:
    return np.flatnonzero(~line.windows(guard, others=positions).any())


def verified(folds: list[Fold], sequences: Sequence, times: Sequence[float], guard: float) -> list[Fold]:
    """Return `folds` unchanged after checking that no training row is within the guard of a validation row.

    Raises:
        GoldfoldError: names the first fold that fails, and its two rows.
    """
    return _verified(folds, neighbors.timeline(sequences, times), guard)


def _verified(folds: list[Fold], line: neighbors.Timeline, guard: float) -> list[Fold]:
    for number, (train, validation) in enumerate(folds):
        near = line.windows(guard, train, validation)
        for place in np.flatnonzero(near.any())[:1]:
            other, apart = line.nearest(train[place], near.of(place))
            raise GoldfoldError(
                f"fold {number} trains on row {train[place]}, {apart:g} away from its validation row {other}, and the "
                f"guard is {guard:g}: leave it out of training"
            )
    return folds


def _shuffled(names: pd.Series, codes: np.ndarray, seed: int) -> list:
    """The blocks, those of a sequence behind each other; `codes`: each block's sequence."""
    draw = np.random.default_rng(seed)
    order = []
    for code in draw.permutation(np.unique(codes)):
        order += draw.permutation(names.to_numpy(object)[codes == code]).tolist()
    return order
