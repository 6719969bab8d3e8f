"""Blocks of time as folds: rows next to each other in a sequence are nearly copies, and a guard keeps them apart.

Sequences are recordings, signals, sensors: one value a row, in any script. Times are finite numbers in any unit, in any
order; the guard and the lengths are in the same unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from goldfold import splits
from goldfold.competition import Fold
from goldfold.errors import GoldfoldError

ROUNDING = 1e-9  # times made by division, such as 62 / 30, miss a guard of 2 by less


def blocks(sequences: Sequence, times: Sequence[float], length: float) -> np.ndarray:
    """The name of each row's block, (n,) text such as "0016E5 2": the stretches of `length` from its sequence's start.

    A rest shorter than half of `length` at the end of a sequence belongs to the block before it. Lengths that divide
    each other give blocks that lie in each other.

    Raises:
        GoldfoldError: a row without sequence or time, a time that is not finite, a length that is not positive.
    """
    codes, values = _checked(sequences, times)
    if not 0 < length < np.inf:
        raise GoldfoldError(f"blocks need a length above 0, got {length}: give it in the unit of the times")
    numbers = np.empty(len(values), np.int64)
    for members in _members(codes):
        since = values[members] - values[members].min()
        last = int(since.max() // length)
        if last and since.max() - last * length < length / 2:
            last -= 1
        numbers[members] = np.minimum(since // length, last)
    return np.array([f"{name} {number}" for name, number in zip(list(sequences), numbers, strict=True)])


def folds(
    sequences: Sequence, times: Sequence[float], blocks: Sequence, count: int, guard: float, seed: int
) -> list[Fold]:
    """Each block whole in one of `count` folds; a fold trains on the others' rows that lie beyond the guard.

    The blocks of each sequence are shuffled and dealt out one by one, so that folds have equally many blocks (within
    one), and equally many of each sequence (within one). What lies within the guard of a validation row is in neither
    part of that fold.

    Raises:
        GoldfoldError: as `beyond`; a row without a block, fewer blocks than folds, or a fold without training rows.
    """
    codes, values = _checked(sequences, times)
    owners = pd.Series(list(blocks))
    names = owners.drop_duplicates()
    if owners.isna().any():
        raise GoldfoldError(f"every row needs a block, but {owners.isna().sum()} of {len(owners)} have none: fill them")
    if count < 2 or len(names) < count:
        raise GoldfoldError(
            f"folds by blocks of time need 2 or more folds and a block for each, got {count} folds for {len(names)} "
            "blocks: use fewer folds or shorter blocks"
        )
    dealt = dict(zip(_shuffled(names, codes[names.index], seed), np.arange(len(names)) % count, strict=True))
    numbers = owners.map(dealt).to_numpy(np.int64)
    drawn = []
    for number in range(count):
        validation = np.flatnonzero(numbers == number)
        drawn.append(Fold(beyond(codes, values, validation, guard), validation))
    return verified(splits.verified(drawn, len(values), groups=owners), codes, values, guard)


def beyond(sequences: Sequence, times: Sequence[float], positions: np.ndarray, guard: float) -> np.ndarray:
    """The rows, int64 and ascending, that are not at `positions` and no nearly copy of one: not within the guard of it.

    positions: int64. Rows of another sequence are always beyond; times that differ by exactly `guard` are within.

    Raises:
        GoldfoldError: a row without sequence or time, a time that is not finite, a negative guard.
    """
    codes, values = _checked(sequences, times)
    if not 0 <= guard < np.inf:
        raise GoldfoldError(f"a guard must be 0 or more, got {guard}: give it in the unit of the times")
    near = np.zeros(len(values), bool)
    near[positions] = True
    for members in _members(codes):
        asked = np.sort(values[np.intersect1d(members, positions)])
        if len(asked):
            near[members] |= _nearest(asked, values[members]) <= guard + ROUNDING
    return np.flatnonzero(~near)


def verified(folds: list[Fold], sequences: Sequence, times: Sequence[float], guard: float) -> list[Fold]:
    """`folds` as they are, after checking that no training row lies within the guard of a validation row of its fold.

    Raises:
        GoldfoldError: names the first fold that fails, and its two rows.
    """
    codes, values = _checked(sequences, times)
    for number, (train, validation) in enumerate(folds):
        order = validation[np.lexsort((values[validation], codes[validation]))]
        for row in train:
            asked = order[
                np.searchsorted(codes[order], codes[row]) : np.searchsorted(codes[order], codes[row], "right")
            ]
            apart = np.abs(values[asked] - values[row])
            if len(apart) and apart.min() <= guard:
                raise GoldfoldError(
                    f"fold {number} trains on row {row}, {apart.min():g} away from its validation row "
                    f"{asked[apart.argmin()]} where the guard is {guard:g}: leave it out of training"
                )
    return folds


def _checked(sequences: Sequence, times: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Each row's sequence as a number, (n,) int64, and its time as float64, (n,)."""
    owners, values = pd.Series(list(sequences)), pd.to_numeric(pd.Series(list(times)), errors="coerce")
    if len(owners) != len(values) or not len(owners):
        raise GoldfoldError(f"{len(owners)} sequences need as many times, 1 or more, got {len(values)}: give one a row")
    values = values.to_numpy(np.float64)
    if (wrong := owners.isna().to_numpy() | ~np.isfinite(values)).any():
        raise GoldfoldError(
            f"every row needs a sequence and a finite number as its time, but {wrong.sum()} of {len(wrong)} have none, "
            f"first row {wrong.argmax()}: fill or drop them"
        )
    return pd.factorize(owners, sort=False)[0].astype(np.int64), values


def _members(codes: np.ndarray) -> Iterator[np.ndarray]:
    """The positions of each sequence's rows."""
    return (np.flatnonzero(codes == code) for code in np.unique(codes))


def _nearest(asked: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How far each of `values` is from the nearest of `asked`, which ascend."""
    after = np.searchsorted(asked, values).clip(max=len(asked) - 1)
    return np.minimum(np.abs(values - asked[after]), np.abs(values - asked[np.maximum(after - 1, 0)]))


def _shuffled(names: pd.Series, codes: np.ndarray, seed: int) -> list:
    """The blocks, those of a sequence behind each other; `codes`: each block's sequence."""
    draw = np.random.default_rng(seed)
    order = []
    for code in draw.permutation(np.unique(codes)):
        order += draw.permutation(names.to_numpy(object)[codes == code]).tolist()
    return order
