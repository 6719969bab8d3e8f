"""B-mode against hand-made values and MATLAB's formula written out; one scale for a whole recording."""

from __future__ import annotations

import made_recordings
import numpy as np
import pytest
from error_codes import raises_code

from goldfold.sequences import ultrasound


def test_tenths_of_the_peak_are_steps_of_twenty_decibels():
    frame = np.array([[1.0, 0.1, 0.01, 0.001, 0.0001, 0.0]])
    assert ultrasound.b_mode(frame, 1.0, 60).tolist() == [[255, 170, 85, 0, 0, 0]]
    assert ultrasound.b_mode(frame, 1.0, 40).tolist() == [[255, 128, 0, 0, 0, 0]]
    assert ultrasound.b_mode(-3e5 * frame, 3e5, 60).tolist() == [[255, 170, 85, 0, 0, 0]]  # radio frequency has a sign


def test_complex_samples_count_by_their_magnitude_and_the_recording_has_one_scale():
    frames = made_recordings.echoes(1, frames=9)
    largest = ultrasound.peak(frames)
    assert largest == pytest.approx(np.hypot(frames.real, frames.imag).max())
    image = np.clip(20 * np.log10(np.hypot(frames.real, frames.imag) / largest), -60, 0) / 60 + 1
    for number, frame in enumerate(frames):
        shown = ultrasound.b_mode(frame, largest, 60)
        assert shown.dtype == np.uint8
        assert np.abs(shown - 255 * image[number]).max() <= 0.5 + 1e-3
    assert sum((ultrasound.b_mode(frame, largest, 60) == 255).any() for frame in frames) == 1


def test_whole_numbers_lose_no_sign():
    frame = np.array([[-32768, 32767, 3277]], np.int16)
    assert ultrasound.peak([frame]) == 32768
    assert ultrasound.b_mode(frame, 32768, 60).tolist() == [[255, 255, 170]]


@pytest.mark.parametrize("frames", [[], [np.zeros((2, 2))]])
def test_silence_is_refused(frames):
    with raises_code("no_echo", r"largest magnitude is 0\.0"):
        ultrasound.peak(frames)
