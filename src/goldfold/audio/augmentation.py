"""Random changes of training sounds, drawn from (seed, epoch, sample id): crop, gain, noise, and masks of SpecAugment.

Masks hide bands of frequencies and stretches of time of a spectrogram. Source: Park et al., SpecAugment: A Simple Data
Augmentation Method for Automatic Speech Recognition, 2019; without its time warping, which the authors found to matter
least.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from goldfold.audio.windows import decibels_above
from goldfold.io import seeding

NOISE_SPAN = 30.0  # dB from the loudest to the faintest noise


def draws(seed: int, epoch: int, sample_id: object) -> np.random.Generator:
    """The random numbers of a sample in an epoch."""
    return np.random.default_rng(seeding.derive(seed, "sound", epoch, sample_id))


def changed(wave: np.ndarray, random: np.random.Generator, gain: float, noise: float | None) -> np.ndarray:
    """A wave float32 (n,) with random gain, and noise in half of the calls.

    gain: largest change of the level in dB, louder or quieter. noise: lowest signal-to-noise ratio of white noise in
        dB; the drawn one is up to 30 dB higher. None: no noise.
    """
    level, audible, ratio = random.uniform(-gain, gain), random.random() < 0.5, random.uniform(0, NOISE_SPAN)
    if noise is not None and audible:
        deviation = decibels_above(wave, noise + ratio)
        wave = wave + np.float32(deviation) * random.standard_normal(len(wave), np.float32)
    return wave * np.float32(10 ** (level / 20)) if gain else wave


def masks(random: np.random.Generator, count: int, largest: float, extent: int) -> np.ndarray:
    """Masks along one axis of a spectrogram, int64 (count, 2) of start and stop.

    largest: width that the drawn ones are below, as a share of `extent`, the length of the axis.
    """
    widths = random.integers(0, int(largest * extent) + 1, count)
    first = (random.random(count) * (extent - widths + 1)).astype(np.int64)
    return np.stack([first, first + widths], axis=1).astype(np.int64)


def hide(spectrograms: Tensor, bands: Tensor, frames: Tensor) -> Tensor:
    """Set masked parts of standardized spectrograms (n, bands, frames) to 0, their mean.

    bands, frames: of `masks`, int64 (n, count, 2) each.
    """
    hidden = _inside(bands, spectrograms.shape[1])[:, :, None] | _inside(frames, spectrograms.shape[2])[:, None, :]
    return spectrograms.masked_fill(hidden, 0.0)


def _inside(spans: Tensor, extent: int) -> Tensor:
    """Whether each position of an axis is in one of its sample's spans, bool (n, extent)."""
    places = torch.arange(extent, device=spans.device)
    return ((places >= spans[..., :1]) & (places < spans[..., 1:])).any(1)
