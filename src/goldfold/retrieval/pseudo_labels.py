"""Pseudo-labels of frames: positive are frames without motion that resemble a reference frame.

Motion is the mean absolute difference to the previous frame, smoothed. A frame is stable if its motion is among the
lowest of its recording and it is in a run of enough stable frames. It is positive if it also resembles the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from goldfold.errors import GoldfoldError

Side = Literal["above", "below"]
AT_ONCE = 64  # frames whose SSIM is computed together
MAX_GAP = 1.5  # times the median time between frames; frames further apart are not consecutive


@dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """Pseudo-labels and what they are derived from, all (n,).

    motion: float64, smoothed, in gray levels of [0, 1]. stable: bool, in a long enough run without motion.
    similarity: float64, SSIM to the reference, in [-1, 1]. labels: int64, 1 if positive, else 0.
    """

    motion: np.ndarray
    stable: np.ndarray
    similarity: np.ndarray
    labels: np.ndarray


def make_pseudo_labels(
    frames: np.ndarray,
    sequences: np.ndarray,
    times: np.ndarray,
    reference: np.ndarray,
    *,
    smooth: int = 5,
    motion_percentile: float = 20,
    min_stable: int = 3,
    similarity_percentile: float = 30,
    side: Side = "above",
) -> PseudoLabels:
    """Label the frames uint8 (n, h, w), in any order, by their motion and their SSIM to a reference frame (h, w).

    sequences, times: (n,), the recording of each frame and its time.
    smooth: number of frames in the moving average of the motion.
    motion_percentile: percentile of the motion of a sequence, at or below which a frame is stable.
    min_stable: minimum number of consecutive stable frames.
    similarity_percentile: percentile of the SSIM of all stable frames. side: the side of it that is positive.

    Raises GoldfoldError if no frame is stable, or if every frame is positive.
    """
    motion, stable = np.empty(len(frames)), np.zeros(len(frames), bool)
    for members in _runs(sequences, times):
        motion[members] = moving_average(frame_differences(frames[members]), smooth)
    for members in _by_sequence(sequences, times):
        still = motion[members] <= np.percentile(motion[members], motion_percentile)
        for run in _runs(sequences[members], times[members]):
            stable[members[run]] = drop_short_runs(still[run], min_stable)
    similarity = ssim(frames, reference)
    if not stable.any():
        raise GoldfoldError(
            "no_stable_frames",
            f"pseudo-labels need {min_stable} consecutive frames with little motion, and there are none: lower "
            "stable_frames or raise motion_percentile",
        )
    threshold = np.percentile(similarity[stable], similarity_percentile)
    labels = (stable & (similarity >= threshold if side == "above" else similarity <= threshold)).astype(np.int64)
    if labels.all():
        raise GoldfoldError("single_pseudo_label", "every frame has the pseudo-label 1: lower motion_percentile")
    return PseudoLabels(motion=motion, stable=stable, similarity=similarity, labels=labels)


def frame_differences(frames: np.ndarray) -> np.ndarray:
    """Return the mean of |x_t - x_(t-1)| over the pixels of consecutive frames uint8 (n, h, w), float64 (n,) in [0, 1].

    The first frame gets the value of the second one; a single frame gets infinity.
    """
    found = np.zeros(len(frames))
    for t in range(1, len(frames)):
        found[t] = np.abs(frames[t].astype(np.int16) - frames[t - 1]).mean() / 255
    found[0] = found[1] if len(frames) > 1 else np.inf  # the motion of a single frame is unknown
    return found


def moving_average(values: np.ndarray, width: int) -> np.ndarray:
    """Return the moving average of `width` values around each of the values (n,); at the ends, of fewer values."""
    kernel = np.ones(width)
    start = (width - 1) // 2
    window = slice(start, start + len(values))
    return np.convolve(values, kernel)[window] / np.convolve(np.ones(len(values)), kernel)[window]


def drop_short_runs(flags: np.ndarray, min_length: int) -> np.ndarray:
    """Set runs of True with fewer than `min_length` values to False; bool (n,).

    >>> drop_short_runs(np.array([1, 1, 0, 1, 1, 1], bool), 3).astype(int).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    kept = np.zeros(len(flags), bool)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        kept[start:stop] = stop - start >= min_length
    return kept


def ssim(frames: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the SSIM of frames uint8 (n, h, w) to a reference (h, w), float64 (n,) in [-1, 1].

    Wang et al. 2004, with a Gaussian window and data range 1.
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    wanted = torch.from_numpy(reference.astype(np.float32) / 255)[None, None]
    parts = []
    for start in range(0, len(frames), AT_ONCE):
        some = torch.from_numpy(frames[start : start + AT_ONCE].astype(np.float32) / 255)[:, None]
        values = structural_similarity_index_measure(some, wanted.expand_as(some), data_range=1.0, reduction="none")
        assert isinstance(values, torch.Tensor)
        parts.append(values.reshape(-1))
    return torch.cat(parts).double().numpy()


def _by_sequence(sequences: np.ndarray, times: np.ndarray) -> list[np.ndarray]:
    """Positions of the frames of each sequence, in order of time."""
    known, codes = np.unique(sequences, return_inverse=True)
    return [(own := np.flatnonzero(codes == code))[np.argsort(times[own], kind="stable")] for code in range(len(known))]


def _runs(sequences: np.ndarray, times: np.ndarray) -> list[np.ndarray]:
    """Positions of consecutive frames, in order of time; a sequence is cut where frames are missing."""
    found = []
    for members in _by_sequence(sequences, times):
        gaps = np.diff(times[members])
        usual = np.median(gaps) if len(gaps) else 0
        found += np.split(members, np.flatnonzero(gaps > MAX_GAP * usual) + 1)
    return found
