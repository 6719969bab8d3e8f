"""Made sounds: WAV files of tones in noise, at any rate and number of channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import wavfile

RATE = 8000


def tone(hertz: float, seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A tone in noise, float64 (samples,), its largest sample about 0.4."""
    noise = np.random.default_rng(seed).normal(0, 0.03, round(seconds * rate))
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(len(noise)) / rate) + noise


def write(path: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    """Write samples (n,) or (n, channels) in [-1, 1] as WAV of 16 bits."""
    wavfile.write(path, rate, np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16))
    return path


def rows(folder: Path, count: int = 24) -> pd.DataFrame:
    """Sounds of 0.3 to 0.6 s whose `kind` is their pitch: 500, 1,000 or 2,000 Hz; columns id, path, kind."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [
        write(folder / f"Ton {n}.wav", tone(500 * 2 ** (n % 3), 0.3 + 0.1 * (n % 4), seed=n)) for n in range(count)
    ]
    return pd.DataFrame({"id": [f"s{n}" for n in range(count)], "path": paths, "kind": [n % 3 for n in range(count)]})
