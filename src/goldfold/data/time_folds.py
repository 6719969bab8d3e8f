"""Folds of whole blocks of time, with a guard between training and validation rows (see `goldfold.data.neighbors`).

In all functions `sequences` names the recording, signal or sensor of each row, with values of any hashable kind.
`times` are finite numbers in any unit and any order; guard and block length have the same unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from goldfold.competition import Fold
from goldfold.data import neighbors
from goldfold.data.fold_checks import verified as verified_folds
from goldfold.errors import GoldfoldError


def blocks(sequences: Sequence, times: Sequence[float], length: float) -> np.ndarray:
    """Cut each sequence into blocks of `length`, starting at its first time.

    Returns the name of each row's block, (n,) text such as "0016E5 2". A remainder shorter than half of `length` at the
    end of a sequence joins the block before it. If one length divides another, no short block crosses the border of a
    long one.

    Raises:
        GoldfoldError: as `neighbors.timeline`; `block_length_invalid`, the length is not positive and finite.
    """
    line = neighbors.timeline(sequences, times)
    values = line.times
    if not 0 < length < np.inf:
        raise GoldfoldError(
            "block_length_invalid", f"the length of blocks must be above 0, got {length}: use the unit of the times"
        )
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
    """Draw `count` folds of whole blocks; rows within the guard of a validation row are left out of training.

    blocks: (n,) the block of each row, such as from `blocks`.
    The blocks of each sequence are shuffled and assigned to the folds in turn, so the numbers of blocks per fold differ
    by at most 1, overall and within each sequence. A row within the guard of a validation row is in neither part of
    that fold.

    Raises:
        GoldfoldError: as `outside_guard`; `values_missing`, a row has no block; `too_few_for_folds`, there are fewer
            blocks than folds; `fold_part_empty`, a fold has no training rows.
    """
    line = neighbors.timeline(sequences, times)
    owners = pd.Series(list(blocks))
    names = owners.drop_duplicates()
    if owners.isna().any():
        missing = owners.isna().sum()
        raise GoldfoldError(
            "values_missing", f"every row needs a block, but {missing} of {len(owners)} have none: fill them"
        )
    if count < 2 or len(names) < count:
        raise GoldfoldError(
            "too_few_for_folds",
            f"time folds need at least 2 folds and a block for each, got {count} folds for {len(names)} blocks: "
            "use fewer folds or shorter blocks",
        )
    dealt = dict(zip(_shuffled(names, line.sequences[names.index], seed), np.arange(len(names)) % count, strict=True))
    numbers = owners.map(dealt).to_numpy(np.int64)
    drawn = []
    for number in range(count):
        validation = np.flatnonzero(numbers == number)
        drawn.append(Fold(_outside_guard(line, validation, guard), validation))
    return _verified(verified_folds(drawn, len(owners), groups=owners), line, guard)


def outside_guard(sequences: Sequence, times: Sequence[float], positions: np.ndarray, guard: float) -> np.ndarray:
    """Return the rows that are neither at `positions` nor within the guard of a row there, int64, ascending.

    positions: int64. Rows of another sequence are always outside; times that differ by exactly `guard` are inside.

    Raises:
        GoldfoldError: as `neighbors.timeline`; `guard_negative`.
    """
    return _outside_guard(neighbors.timeline(sequences, times), positions, guard)


def _outside_guard(line: neighbors.Timeline, positions: np.ndarray, guard: float) -> np.ndarray:
    return np.flatnonzero(~line.windows(guard, others=positions).any())


def verified(folds: list[Fold], sequences: Sequence, times: Sequence[float], guard: float) -> list[Fold]:
    """Return `folds` unchanged after checking that no training row is within the guard of a validation row.

    Raises:
        GoldfoldError: `train_row_in_guard`, with the first fold that fails and its two rows.
    """
    return _verified(folds, neighbors.timeline(sequences, times), guard)


def _verified(folds: list[Fold], line: neighbors.Timeline, guard: float) -> list[Fold]:
    for number, (train, validation) in enumerate(folds):
        near = line.windows(guard, train, validation)
        for place in np.flatnonzero(near.any())[:1]:
            other, apart = line.nearest(train[place], near.of(place))
            raise GoldfoldError(
                "train_row_in_guard",
                f"fold {number} trains on row {train[place]}, {apart:g} away from its validation row {other}, but the "
                f"guard is {guard:g}: leave that row out of training",
            )
    return folds


def _shuffled(names: pd.Series, codes: np.ndarray, seed: int) -> list:
    """Shuffle the sequences and the blocks within each; `codes`: (blocks,) the sequence of each block."""
    draw = np.random.default_rng(seed)
    order = []
    for code in draw.permutation(np.unique(codes)):
        order += draw.permutation(names.to_numpy(object)[codes == code]).tolist()
    return order
