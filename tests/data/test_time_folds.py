"""Blocks of time follow the clock; folds keep them whole and their neighbors apart, however it is counted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.competition import Fold
from goldfold.data import fold_tables, time_folds

DRAW = np.random.default_rng(3)
SEQUENCES = np.repeat(["录像", "b", "c"], [150, 90, 61])
TIMES = np.concatenate([np.arange(150.0), 500 + np.arange(90) / 2, -7 + np.arange(61)])
SHUFFLED = DRAW.permutation(len(TIMES))
SEQUENCES, TIMES = SEQUENCES[SHUFFLED], TIMES[SHUFFLED]
BLOCKS = time_folds.blocks(SEQUENCES, TIMES, 15.0)


def too_near(fold: Fold, guard: float) -> int:
    """Training rows within the guard of a validation row, counted pair by pair."""
    same = SEQUENCES[fold.train][:, None] == SEQUENCES[fold.validation]
    near = np.abs(TIMES[fold.train][:, None] - TIMES[fold.validation]) <= guard
    return int((same & near).any(axis=1).sum())


def test_blocks_are_stretches_of_their_own_sequence():
    names = time_folds.blocks(["a"] * 5 + ["b"], [100, 109.9, 110, 125, 129, 0], 10)
    assert names.tolist() == ["a 0", "a 0", "a 1", "a 2", "a 2", "b 0"]


def test_a_short_rest_joins_the_block_before_and_a_long_one_stands_alone():
    assert Counter(time_folds.blocks(["a"] * 25, range(25), 10)) == {"a 0": 10, "a 1": 15}
    assert Counter(time_folds.blocks(["a"] * 26, range(26), 10)) == {"a 0": 10, "a 1": 10, "a 2": 6}
    assert set(time_folds.blocks(["a"] * 3, range(3), 10)) == {"a 0"}


def test_lengths_that_divide_each_other_lie_in_each_other():
    fine = time_folds.blocks(SEQUENCES, TIMES, 5.0)
    assert pd.DataFrame({"fine": fine, "block": BLOCKS}).groupby("fine")["block"].nunique().eq(1).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("guard", [0, 1.0, 2.5])
def test_folds_keep_blocks_whole_and_neighbors_apart(seed, guard):
    folds = time_folds.folds(SEQUENCES, TIMES, BLOCKS, 4, guard, seed)
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in folds])), np.arange(len(TIMES)))
    for fold in folds:
        assert not set(BLOCKS[fold.train]) & set(BLOCKS[fold.validation])
        assert too_near(fold, guard) == 0
        rest = np.setdiff1d(np.arange(len(TIMES)), np.concatenate([fold.train, fold.validation]))
        assert too_near(Fold(rest, fold.validation), guard) == len(rest)  # nothing is left out without need
    same = time_folds.folds(SEQUENCES, TIMES, BLOCKS, 4, guard, seed)
    assert all(
        np.array_equal(a, b) for one, two in zip(folds, same, strict=True) for a, b in zip(one, two, strict=True)
    )
    assert fold_tables.folds_from_table(fold_tables.folds_to_table(range(len(TIMES)), folds), range(len(TIMES)))[
        0
    ].train.tolist() == (folds[0].train.tolist())


@pytest.mark.parametrize("seed", range(6))
def test_folds_share_out_the_blocks_of_each_sequence(seed):
    folds = time_folds.folds(SEQUENCES, TIMES, BLOCKS, 4, 1.0, seed)
    for sequence in np.unique(SEQUENCES):
        counts = [len(set(BLOCKS[fold.validation][SEQUENCES[fold.validation] == sequence])) for fold in folds]
        assert max(counts) - min(counts) <= 1


def test_which_blocks_go_together_is_drawn_anew_for_each_seed():
    one = SEQUENCES == "录像"
    drawn = [time_folds.folds(SEQUENCES[one], TIMES[one], BLOCKS[one], 4, 1.0, seed) for seed in range(3)]
    together = [frozenset(frozenset(BLOCKS[one][fold.validation]) for fold in folds) for folds in drawn]
    assert len(set(together)) == 3


def test_the_guard_holds_at_its_edge_whatever_the_rounding():
    frames = np.arange(30)
    times = frames / 10
    assert times[4] - times[1] > 0.3  # by rounding alone
    near = np.flatnonzero(np.abs(frames - 1) <= 3)
    assert np.array_equal(time_folds.outside_guard(["a"] * 30, times, np.array([1]), 0.3), np.setdiff1d(frames, near))


def test_another_sequence_is_always_beyond():
    assert time_folds.outside_guard(["a", "b", "a"], [0, 0, 9], np.array([0]), 5).tolist() == [1, 2]


def test_folds_that_break_the_guard_are_refused():
    order = np.argsort(TIMES + 1000 * pd.factorize(SEQUENCES)[0])
    broken = [Fold(order[5:], order[:5])]
    with raises_code("train_row_in_guard", r"fold 0 .* row \d+, 1 away .* row \d+", "guard is 2"):
        time_folds.verified(broken, SEQUENCES, TIMES, 2.0)


@pytest.mark.parametrize(
    ("call", "code", "fact"),
    [
        (lambda: time_folds.blocks(["a", None], [0, 1], 5), "sequence_or_time_missing", "1 of 2 .* first row 1"),
        (lambda: time_folds.blocks(["a", "a"], [0, "noon"], 5), "times_not_numeric", "mixed"),
        (lambda: time_folds.blocks(["a", "a"], [0], 5), "lengths_differ", "2 sequences and 1 times"),
        (lambda: time_folds.blocks(["a"], [0], 0), "block_length_invalid", "got 0"),
        (lambda: time_folds.outside_guard(["a"], [0], np.array([0]), -1), "guard_negative", "got -1"),
        (
            lambda: time_folds.folds(["a"] * 9, range(9), ["x"] * 9, 2, 1, 0),
            "too_few_for_folds",
            "2 folds for 1 blocks",
        ),
        (
            lambda: time_folds.folds(["a"] * 4, range(4), [0, 0, 1, 1], 2, 9, 0),
            "fold_part_empty",
            "fold 0 has no training row",
        ),
        (lambda: time_folds.folds(["a"] * 4, range(4), [0, None, 1, 1], 2, 0, 0), "values_missing", "1 of 4"),
    ],
)
def test_impossible_time_folds_raise(call, code, fact):
    with raises_code(code, fact):
        call()
