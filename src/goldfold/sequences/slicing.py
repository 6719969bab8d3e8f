"""Cut recordings into windows with a stride; windows that overlap stay together in one group."""

from __future__ import annotations

import numpy as np

from goldfold.errors import GoldfoldError


def starts(frames: int, length: int, stride: int) -> np.ndarray:
    """First frames of the windows of a recording, int64: every `stride` frames, all of them whole.

    A recording shorter than `length` is one window, so that no recording is lost; frames behind the last whole window
    are in none.

    >>> starts(10, 4, 3).tolist(), starts(3, 4, 3).tolist()
    ([0, 3, 6], [0])

    Raises GoldfoldError `windowing_invalid` if length or stride is below 1, or the recording is empty.
    """
    if min(frames, length, stride) < 1:
        raise GoldfoldError(
            "windowing_invalid",
            f"windows need frames, a length and a stride of at least 1, got {frames}, {length} and {stride}: change "
            "length or stride",
        )
    return np.arange(0, max(frames - length, 0) + 1, stride)
