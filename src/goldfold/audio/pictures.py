"""Pictures of recordings: log-mel spectrograms, for people and for the search of near-duplicates."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from goldfold.audio import waveforms
from goldfold.audio.files import header
from goldfold.audio.log_mel import LogMel

RATE, FFT, HOP, BANDS = 16000, 1024, 160, 64
SECONDS = 30  # of a recording, from its start, that are drawn
SIZE = 128, 192  # height and width in pixels
RANGE = 80.0  # dB from black to the brightest value


def gray(path: str | Path) -> np.ndarray:
    """The spectrogram of the first 30 s, uint8 (64, frames): 255 is the loudest, 0 is 80 dB below it, low notes below.

    Raises:
        GoldfoldError: `unreadable_audio`, `package_missing`.
    """
    stop = min(waveforms.resampled_length(header(path), RATE), SECONDS * RATE)
    wave = waveforms.resampled(path, RATE, 0, stop).astype(np.float32) / 32768
    log_mel = LogMel(RATE, fft=FFT, hop=HOP, bands=BANDS, low=20.0, high=RATE / 2, dynamic_range=RANGE)
    decibels = log_mel(torch.from_numpy(wave)[None])[0].numpy()
    levels = (decibels - decibels.max() + RANGE) * (255 / RANGE) if np.ptp(decibels) > 0 else np.zeros_like(decibels)
    return np.ascontiguousarray(levels[::-1].astype(np.uint8))


def colored(path: str | Path) -> np.ndarray:
    """The spectrogram of the first 30 s in the colors of magma, uint8 (128, 192, 3) RGB; raises as `gray`."""
    levels = cv2.resize(gray(path), SIZE[::-1], interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB)
