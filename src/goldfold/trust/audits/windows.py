"""Audit of windows that were cut from one recording and lie on both sides of a fold, found by the frames they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.io.seeding import derive
from goldfold.trust.audits.findings import Finding, FindingKind, name_of

if TYPE_CHECKING:
    from pandas import Series

    from goldfold.competition import Fold

RUN = 4  # frames in succession that are compared: single frames may be equal by chance
OVERLAP = 0.2  # share of a window's runs, from which it counts as overlapping

OVERLAPPING_WINDOWS = FindingKind(
    code="overlapping_windows",
    topic="Leakage",
    levels=("error",),
    found="windows on both sides of a fold that share frames of one recording",
    seen="At least a fifth of a scored window, in runs of four frames that are not all alike, is also in training "
    "windows. Frames are compared by content, so that no column has to name the recording.",
    misleads="A window with a stride shorter than its length repeats frames of the window before, so that a model that "
    "remembers those scores too high.",
    cure="Declare the recording as `group` in `COMPETITION` and split with `goldfold.data.folds.grouped`, or cut "
    "windows that do not overlap.",
    example="60 of 200 scored windows share frames with training windows, the first id 'r1_000010' all but ...: ...",
)


def overlapping_windows(windows: Sequence[np.ndarray], folds: Sequence[Fold], ids: Series) -> list[Finding]:
    """Report scored windows that share frames with training windows.

    windows: features (T, F) of each train row, without invalid frames; equal numbers of features.
    """
    owners = np.repeat(np.arange(len(windows)), [max(0, len(window) - RUN + 1) for window in windows])
    codes = [run_codes(window) for window in windows]
    known = np.concatenate([known for _, known in codes])
    owners, runs = owners[known], np.unique(np.concatenate([each for each, _ in codes])[known], return_inverse=True)[1]
    total = np.bincount(owners, minlength=len(windows))
    scored = overlapping = 0
    first: tuple[int, float] | None = None
    for fold in folds:
        trained = np.zeros(len(windows), bool)
        trained[fold.train] = True
        of_training = np.zeros(int(runs.max(initial=-1)) + 1, bool)
        of_training[runs[trained[owners]]] = True
        shared = np.bincount(owners[of_training[runs]], minlength=len(windows)) / np.maximum(total, 1)
        found = fold.validation[shared[fold.validation] >= OVERLAP]
        scored, overlapping = scored + len(fold.validation), overlapping + len(found)
        if len(found) and first is None:
            first = int(found[0]), float(shared[found[0]])
    if first is None:
        return []
    message = (
        f"{overlapping:,} of {scored:,} scored windows share frames with training windows, the first id "
        f"{name_of(ids, first[0])!r} {first[1]:.0%} of its own: a model that remembers them scores too high. Declare "
        "the recording as `group` and split with goldfold.data.folds.grouped, or cut windows that do not overlap"
    )
    return [OVERLAPPING_WINDOWS(message, "folds")]


def run_codes(window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A code of each run of frames, uint64 (T - 3,), and whether its frames differ, since stillness says nothing."""
    count = max(0, len(window) - RUN + 1)
    bits = np.ascontiguousarray(window, np.float64).view(np.uint64)
    draw = np.random.default_rng(derive(0, "runs of frames"))
    by_feature, by_place = (draw.integers(0, 2**64, size, np.uint64) | np.uint64(1) for size in (bits.shape[1], RUN))
    mixed = bits ^ (bits >> np.uint64(29))  # floats of few digits end in zeros, which products keep
    frames = (mixed * by_feature).sum(1, dtype=np.uint64)
    frames ^= frames >> np.uint64(32)
    parts = [frames[place : place + count] for place in range(RUN)]
    differ = np.logical_or.reduce([part != parts[0] for part in parts[1:]]) if count else np.zeros(0, bool)
    return sum(
        (part * factor for part, factor in zip(parts, by_place, strict=True)), np.zeros(count, np.uint64)
    ), differ


def sample_of(rows: int, most: int) -> np.ndarray:
    """Positions of the windows that are compared, ascending: all, or a random sample of `most`."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(derive(0, "windows")).choice(rows, most, replace=False))
