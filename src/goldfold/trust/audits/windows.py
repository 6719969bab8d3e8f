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
    seen="At least a fifth of a scored window's runs of four frames is also in training windows. Frames are compared "
    "by content, so that no column has to name the recording. Runs of equal frames, and of values that are in more "
    "windows than overlap explains, do not count.",
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
    owners, runs = _runs(windows)
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


def _runs(windows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The window and a code from 0 of each run of frames that can tell recordings apart, int64 both.

    A frame of one recording is in at most T of its windows of T frames, if they are cut with a stride of 1. A frame in
    more of them is a common value, such as stillness on a grid of pixels, and a run with such a frame says nothing.
    """
    lengths = np.array([len(window) for window in windows])
    owners = np.repeat(np.arange(len(windows)), lengths)
    frames = np.unique(np.concatenate([_frame_codes(window) for window in windows]), return_inverse=True)[1]
    pairs = np.unique(np.stack([frames, owners]), axis=1)
    rare = (np.bincount(pairs[0]) <= lengths.max(initial=0))[frames]
    starts = np.flatnonzero(owners[: 1 - RUN] == owners[RUN - 1 :]) if len(owners) >= RUN else np.empty(0, np.int64)
    each = np.stack([frames[starts + place] for place in range(RUN)])
    told = (each != each[0]).any(0) & np.all([rare[starts + place] for place in range(RUN)], axis=0)
    runs = np.unique(each[:, told], axis=1, return_inverse=True)[1].ravel()
    return owners[starts[told]], runs


def _frame_codes(window: np.ndarray) -> np.ndarray:
    """A hash of each frame's bits, uint64 (T,)."""
    bits = np.ascontiguousarray(window, np.float64).view(np.uint64)
    factors = np.random.default_rng(derive(0, "frames")).integers(0, 2**64, bits.shape[1], np.uint64) | np.uint64(1)
    mixed = bits ^ (bits >> np.uint64(29))  # floats of few digits end in zeros, which products keep
    codes = (mixed * factors).sum(1, dtype=np.uint64)
    return codes ^ (codes >> np.uint64(32))


def sample_of(rows: int, most: int) -> np.ndarray:
    """Positions of the windows that are compared, ascending: all, or a random sample of `most`."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(derive(0, "windows")).choice(rows, most, replace=False))
