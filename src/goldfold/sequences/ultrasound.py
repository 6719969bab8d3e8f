"""Convert ultrasound echoes to B-mode images: log magnitude relative to the strongest echo of the recording.

The magnitude is that of the samples as they are, complex (IQ, analytic) or real. Real radio-frequency lines are only
rectified, without envelope detection: pass the envelope if you need it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from goldfold.errors import GoldfoldError


def peak(frames: Iterable[np.ndarray]) -> float:
    """Return A_max, the largest magnitude of all frames of a recording, which gives its frames a common scale.

    Raises:
        GoldfoldError: `no_echo`, there are no frames or all magnitudes are 0.
    """
    largest = max((float(_magnitude(frame).max()) for frame in frames), default=0.0)
    if not 0 < largest < np.inf:
        raise GoldfoldError(
            "no_echo", f"the ultrasound recording has no echoes, its largest magnitude is {largest}: record it again"
        )
    return largest


def b_mode(frame: np.ndarray, peak: float, dynamic_range_db: float) -> np.ndarray:
    """Return 20 log10(|A| / A_max), clipped to [-dynamic_range_db, 0] dB and scaled to [0, 255], uint8, same shape.

    frame: real or complex, finite. peak: A_max, above 0. dynamic_range_db: above 0, commonly 60: then -60 dB is black.
    """
    with np.errstate(divide="ignore"):  # magnitude 0 is -inf dB, which is black
        decibels = 20 * np.log10(_magnitude(frame) / peak)
    return np.rint(255 * (np.clip(decibels, -dynamic_range_db, 0) / dynamic_range_db + 1)).astype(np.uint8)


def _magnitude(frame: np.ndarray) -> np.ndarray:
    wide = np.complex128 if np.iscomplexobj(frame) else np.float64  # -32768 as int16 has no absolute value
    return np.abs(frame.astype(wide))
