"""Labels made without anybody's help: which frames of a recording stand still and look like a reference frame.

Motion is the mean absolute difference to the frame before, smoothed; a frame is stable where it is among the lowest of
its recording, in a run of stable frames that is not short; it is positive where it is also like the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from goldfold.errors import GoldfoldError

Side = Literal["above", "below"]
AT_ONCE = 64
GAP = 1.5  # times the usual time between frames: beyond it, two frames do not follow each other


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found for each frame, all (n,).

    motion: smoothed, in grey levels of [0, 1]; stable: standing still in a run that is long enough; likeness: SSIM to
    the reference, in [-1, 1]; labels: int64, 1 where stable and on the wanted side of the threshold, else 0.
    """

    motion: np.ndarray
    stable: np.ndarray
    likeness: np.ndarray
    labels: np.ndarray


def find(
    frames: np.ndarray,
    sequences: np.ndarray,
    times: np.ndarray,
    reference: np.ndarray,
    *,
    smooth: int = 5,
    motion_percentile: float = 20,
    shortest: int = 3,
    likeness_percentile: float = 30,
    side: Side = "above",
) -> Found:
    """Pseudo-labels of frames uint8 (n, h, w), in any order; `reference` is one such frame, (h, w).

    smooth: frames a moving average of the motion is over. motion_percentile: of a sequence's own motion, at or below
    which a frame is stable. shortest: stable frames in a row. likeness_percentile: of the stable frames' SSIM; side:
    which side of it is positive.

    Raises GoldfoldError where no frame is positive, or every one is.
    """
    motion, stable = np.empty(len(frames)), np.zeros(len(frames), bool)
    for members in _runs(sequences, times):
        motion[members] = smoothed(differences(frames[members]), smooth)
    for members in _by_sequence(sequences, times):
        still = motion[members] <= np.percentile(motion[members], motion_percentile)
        for run in _runs(sequences[members], times[members]):
            stable[members[run]] = long_runs(still[run], shortest)
    likeness = likenesses(frames, reference)
    if not stable.any():
        raise GoldfoldError(
            f"no {shortest} frames in a row stand still enough for pseudo-labels: lower stable_frames or raise "
            "motion_percentile"
        )
    threshold = np.percentile(likeness[stable], likeness_percentile)
    labels = (stable & (likeness >= threshold if side == "above" else likeness <= threshold)).astype(np.int64)
    if labels.all():
        raise GoldfoldError("every frame got the same pseudo-label: lower motion_percentile")
    return Found(motion=motion, stable=stable, likeness=likeness, labels=labels)


def differences(frames: np.ndarray) -> np.ndarray:
    """mean |x_t - x_(t-1)| of consecutive frames uint8 (n, h, w), in [0, 1]; the first frame has the second's."""
    found = np.zeros(len(frames))
    for at in range(1, len(frames)):
        found[at] = np.abs(frames[at].astype(np.int16) - frames[at - 1]).mean() / 255
    found[0] = found[1] if len(frames) > 1 else np.inf  # of a frame alone nobody knows that it stands still
    return found


def smoothed(values: np.ndarray, over: int) -> np.ndarray:
    """The moving average of `over` values around each, at the ends of those that are there."""
    kernel = np.ones(over)
    start = (over - 1) // 2
    window = slice(start, start + len(values))
    return np.convolve(values, kernel)[window] / np.convolve(np.ones(len(values)), kernel)[window]


def long_runs(flags: np.ndarray, shortest: int) -> np.ndarray:
    """Booleans (n,) without the runs of True that are shorter.

    >>> long_runs(np.array([1, 1, 0, 1, 1, 1], bool), 3).astype(int).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    kept = np.zeros(len(flags), bool)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        kept[start:stop] = stop - start >= shortest
    return kept


def likenesses(frames: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """SSIM (Wang et al. 2004; Gaussian window, data range 1) of frames uint8 (n, h, w) to a reference, float64 (n,)."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    wanted = torch.from_numpy(reference.astype(np.float32) / 255)[None, None]
    parts = []
    for start in range(0, len(frames), AT_ONCE):
        some = torch.from_numpy(frames[start : start + AT_ONCE].astype(np.float32) / 255)[:, None]
        parts.append(ssim(some, wanted.expand_as(some), data_range=1.0, reduction="none").reshape(-1))
    return torch.cat(parts).double().numpy()


def _by_sequence(sequences: np.ndarray, times: np.ndarray) -> list[np.ndarray]:
    """Positions of each sequence, in the order of time."""
    known, codes = np.unique(sequences, return_inverse=True)
    return [(own := np.flatnonzero(codes == code))[np.argsort(times[own], kind="stable")] for code in range(len(known))]


def _runs(sequences: np.ndarray, times: np.ndarray) -> list[np.ndarray]:
    """Positions of frames that follow each other, in the order of time, cut where frames between them are missing."""
    found = []
    for members in _by_sequence(sequences, times):
        gaps = np.diff(times[members])
        usual = np.median(gaps) if len(gaps) else 0
        found += np.split(members, np.flatnonzero(gaps > GAP * usual) + 1)
    return found
