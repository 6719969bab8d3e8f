"""Windows of one length: where they start in a recording, random crops, and recordings that are shorter."""

from __future__ import annotations

from typing import Literal

import numpy as np

Padding = Literal["repeat", "zeros"]
Loudness = Literal["none", "peak", "rms"]

RMS = 0.1  # of loudness=rms, -20 dB below full scale


def starts(length: int, size: int, stride: int) -> np.ndarray:
    """Where the windows of a recording start, int64 (m,): every `stride` samples, and one that ends with it.

    length: samples of the recording; if it has no more than `size`, it has one window.

    >>> starts(10, 4, 4).tolist(), starts(3, 4, 4).tolist()
    ([0, 4, 6], [0])
    """
    if length <= size:
        return np.zeros(1, np.int64)
    return np.append(np.arange(0, length - size, stride), length - size)


def crop_start(length: int, size: int, place: float) -> int:
    """Where a crop starts whose place among all possible ones is `place` in [0, 1); 0 if there is one only."""
    return int(place * (max(0, length - size) + 1))


def padded(samples: np.ndarray, size: int, padding: Padding, place: float) -> np.ndarray:
    """Samples (n,), n at most `size`, at a length of `size`.

    padding: repeat: the recording begins again where it ends; zeros: silence before and after it. place: in [0, 1),
        where the recording begins: at this share of it, or of the silence.

    >>> padded(np.array([1, 2, 3]), 5, "repeat", 0.0).tolist(), padded(np.array([1, 2, 3]), 5, "zeros", 0.5).tolist()
    ([1, 2, 3, 1, 2], [0, 1, 2, 3, 0])
    """
    missing = size - len(samples)
    if missing <= 0:
        return samples
    if padding == "repeat":
        return np.resize(np.roll(samples, -int(place * len(samples))), size)
    before = int(place * (missing + 1))
    return np.pad(samples, (before, missing - before))


def leveled(samples: np.ndarray, loudness: Loudness) -> np.ndarray:
    """Samples int16 (n,) as float32 in [-1, 1], scaled to one loudness; silence stays silent.

    loudness: none: as recorded; peak: the largest sample is 1; rms: the root of the mean square is 0.1 (-20 dB), so
        that samples may exceed 1.
    """
    wave = samples.astype(np.float32) / 32768
    level = {"none": 1.0, "peak": float(np.abs(wave).max(initial=0)), "rms": _rms(wave) / RMS}[loudness]
    return wave / np.float32(level) if level > 0 else wave


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0


def decibels_above(wave: np.ndarray, decibels: float) -> float:
    """Standard deviation of noise that lies `decibels` below a wave's root mean square."""
    return _rms(wave) * 10 ** (-decibels / 20)
