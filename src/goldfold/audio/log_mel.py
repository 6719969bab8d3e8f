"""Log-mel spectrograms on any device: power in bands of the mel scale, in decibels.

The same numbers as librosa's `power_to_db(melspectrogram(...))` with its defaults: Hann window, frames centered on
multiples of the hop and padded with zeros, Slaney's mel scale (Auditory Toolbox, 1998) and filters of equal area.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError

FLOOR = 1e-10  # of the power, -100 dB
LINEAR = 200 / 3  # Hz per mel below KNEE
KNEE = 1000.0  # Hz, from where the scale is logarithmic
STEP = np.log(6.4) / 27  # of the logarithm of the frequency, per mel


def hz_to_mel(hertz: np.ndarray) -> np.ndarray:
    """Frequencies in Hz on Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    return np.where(hertz < KNEE, hertz / LINEAR, KNEE / LINEAR + np.log(np.maximum(hertz, KNEE) / KNEE) / STEP)


def mel_to_hz(mels: np.ndarray) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    above = np.maximum(mels - KNEE / LINEAR, 0)
    return np.where(mels < KNEE / LINEAR, mels * LINEAR, KNEE * np.exp(above * STEP))


@lru_cache(maxsize=8)
def filters(rate: int, fft: int, bands: int, low: float, high: float) -> np.ndarray:
    """Triangular filters of equal area, float32 (bands, fft // 2 + 1), between the frequencies low and high in Hz.

    Raises:
        GoldfoldError: `mel_band_empty`, a band lies between two frequencies of the transform.
    """
    first, last = hz_to_mel(np.array([low, high])).tolist()
    edges = mel_to_hz(np.linspace(first, last, bands + 2))
    frequencies = np.fft.rfftfreq(fft, 1 / rate)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    found = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    empty = np.flatnonzero(found.max(1) == 0)
    if len(empty):
        raise GoldfoldError(
            "mel_band_empty",
            f"{len(empty)} of mels={bands} bands between {low:g} and {high:g} Hz contain no frequency of n_fft={fft}: "
            f"lower mels or raise n_fft",
        )
    return found.astype(np.float32)


class LogMel(nn.Module):
    """Waves float (n, samples) -> log-mel spectrograms float32 (n, bands, 1 + samples // hop), in dB.

    dynamic_range: dB below the loudest value of a spectrogram at which it is cut off.
    """

    window: Tensor
    bank: Tensor

    def __init__(
        self, rate: int, *, fft: int, hop: int, bands: int, low: float, high: float, dynamic_range: float = 80.0
    ) -> None:
        super().__init__()
        self.fft, self.hop, self.dynamic_range = fft, hop, dynamic_range
        self.register_buffer("window", torch.hann_window(fft), persistent=False)
        self.register_buffer("bank", torch.from_numpy(filters(rate, fft, bands, low, high)), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        """Compute in float32 under autocast, too: powers span ten orders of magnitude."""
        with torch.autocast(waves.device.type, enabled=False):
            spectrum = torch.stft(
                waves.float(),
                self.fft,
                self.hop,
                window=self.window,
                center=True,
                pad_mode="constant",
                return_complex=True,
            )
            power = self.bank @ (spectrum.real.square() + spectrum.imag.square())
            decibels = 10 * power.clamp(min=FLOOR).log10()
            loudest = decibels.amax((1, 2), keepdim=True)
            return torch.maximum(decibels, loudest - self.dynamic_range)
