"""Ultrasound as pictures: B-mode, the logarithm of an echo's magnitude relative to the strongest of its recording.

The magnitude is taken of samples as they are, complex (IQ, analytic) or real: radio-frequency lines are rectified, no
envelope is looked for; give the envelope where it is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from goldfold.errors import GoldfoldError


def peak(frames: Iterable[np.ndarray]) -> float:
    """A_max, the largest magnitude of all frames of a recording, so that its frames keep one scale.

    Raises:
        GoldfoldError: there is no frame, or none with a magnitude above 0.
    """
    largest = max((float(_magnitude(frame).max()) for frame in frames), default=0.0)
    if not 0 < largest < np.inf:
        raise GoldfoldError(f"a recording of ultrasound needs echoes, its largest magnitude is {largest}: record again")
    return largest


def b_mode(frame: np.ndarray, peak: float, dynamic_range_db: float) -> np.ndarray:
    """20 log10(|A| / A_max) clipped to [-dynamic_range_db, 0] dB and scaled to [0, 255], uint8 of the frame's shape.

    frame: real or complex, finite. peak: A_max, above 0. dynamic_range_db: above 0, commonly 60: -60 dB is black.
    """
    with np.errstate(divide="ignore"):  # no echo at all is -inf dB, which is black
        decibels = 20 * np.log10(_magnitude(frame) / peak)
    return np.rint(255 * (np.clip(decibels, -dynamic_range_db, 0) / dynamic_range_db + 1)).astype(np.uint8)


def _magnitude(frame: np.ndarray) -> np.ndarray:
    wide = np.complex128 if np.iscomplexobj(frame) else np.float64  # of -32768 as int16 there is no absolute value
    return np.abs(frame.astype(wide))
