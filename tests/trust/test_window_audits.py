"""The audit of overlapping windows on both sides of a fold; planted and clean."""

from __future__ import annotations

import made_windows
import numpy as np
import pandas as pd
import pytest

from goldfold.competition import Fold
from goldfold.data.folds import grouped, k_fold
from goldfold.sequences import slicing
from goldfold.trust.audits import overlapping_windows

DRAW = np.random.default_rng(9)


def cut(stride: int, length: int = 20) -> tuple[list[np.ndarray], pd.Series]:
    """Windows of eight recordings of 60 frames, and the recording of each."""
    found, owners = [], []
    for number in range(8):
        recording = made_windows.wave(number, number % 2, 60)["features"]
        for start in slicing.starts(60, length, stride):
            found.append(recording[start : start + length])
            owners.append(f"r{number}")
    return found, pd.Series(owners)


@pytest.mark.parametrize("stride", [1, 10, 13])
def test_windows_without_a_group_are_caught_on_both_sides_of_a_fold(stride: int) -> None:
    windows, owners = cut(stride)
    (finding,) = overlapping_windows(windows, k_fold(owners, 4, 0), owners)
    assert (finding.code, finding.level) == ("overlapping_windows", "error")
    assert "scored windows share frames" in finding.message
    assert not overlapping_windows(windows, grouped(owners, 4, 0), owners)


def test_the_share_is_that_of_the_first_windows_own_frames() -> None:
    windows = [np.arange(60.0).reshape(20, 3), np.arange(30.0, 90.0).reshape(20, 3)]
    folds = [(np.array([0]), np.array([1]))]
    (finding,) = overlapping_windows(windows, [Fold(*fold) for fold in folds], pd.Series(["a", "b"]))
    assert "1 of 1 scored windows" in finding.message
    assert "'b' 41%" in finding.message, "7 of 17 runs of 4 frames"


def test_windows_that_do_not_overlap_stand_still_or_are_short_are_no_finding() -> None:
    windows, owners = cut(20)
    assert not overlapping_windows(windows, k_fold(owners, 4, 0), owners)
    still = [np.zeros((20, 3))] * 8 + [np.ones((2, 3))] * 8 + [np.empty((0, 1))]
    ids = pd.Series(range(17))
    assert not overlapping_windows(still, k_fold(ids, 4, 0), ids)
    rounded = [np.round(DRAW.normal(size=(16, 2)), 1) for _ in range(200)]
    ids = pd.Series(range(200))
    assert not overlapping_windows(rounded, k_fold(ids, 4, 0), ids)
    on_a_grid = [DRAW.integers(0, 2, (16, 2)) / 960 for _ in range(200)]
    assert not overlapping_windows(on_a_grid, k_fold(ids, 4, 0), ids)
