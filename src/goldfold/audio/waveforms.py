"""Waveforms of one channel at one sample rate, 16 bits: resampled without aliases, whole or a part at a time.

Recordings of up to ten minutes are decoded once in a run and kept in its temporary file (`images.resized_images`), for
all folds and epochs. Of longer ones only the parts that are asked for are decoded, so that memory stays bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from goldfold.audio import files
from goldfold.images import resized_images
from goldfold.images.reading import THREADS

KEPT_SECONDS = 600  # longer recordings are not kept
BLOCK = 2**20  # samples that are decoded at a time, 2 minutes of 8 kHz
TOLD = 64  # files between two reports of progress
TAPS = 10  # half the length of SciPy's filter, in samples of the slower rate


class Recordings:
    """Recordings of rows. lengths: int64 (n,), samples of each at `rate`."""

    def __init__(self, paths: Sequence[str | Path], rate: int) -> None:
        self.paths, self.rate = tuple(paths), rate
        with ThreadPoolExecutor(THREADS) as pool:
            lengths = list(pool.map(lambda path: resampled_length(files.header(path), rate), self.paths))
        self.lengths = np.array(lengths, np.int64)

    def read(self, row: int, start: int, count: int) -> np.ndarray:
        """Samples of a row's recording, int16 (count,), or fewer at its end."""
        path, length = self.paths[row], int(self.lengths[row])
        stop = min(start + count, length)
        kept = resized_images.kept() if length <= KEPT_SECONDS * self.rate else None
        key = _key(path, self.rate) if kept else None
        if kept is None or key is None:
            return resampled(path, self.rate, start, stop)
        part = np.empty(stop - start, np.int16)
        if not kept.read(key, part, offset=start * part.itemsize):
            whole = resampled(path, self.rate, 0, length)
            kept.write(key, whole)
            part = whole[start:stop]
        return part

    def decode(self, progress: Callable[[str, int, int], None]) -> None:
        """Decode what is not kept yet, so that processes that load data find it; nothing where nothing is kept."""
        if resized_images.kept() is None:
            return
        short = np.flatnonzero(self.lengths <= KEPT_SECONDS * self.rate).tolist()
        with ThreadPoolExecutor(THREADS) as pool:
            for done, _ in enumerate(pool.map(lambda row: self.read(row, 0, 1), short), 1):
                if done % TOLD == 0 or done == len(short):
                    progress("decoding audio", done, len(short))


def _key(path: str | Path, rate: int) -> resized_images.Key | None:
    return resized_images.file_key(path, "waveform", rate)


def ratio(own: int, rate: int) -> tuple[int, int]:
    """Factors (up, down) without a common divisor by which samples at `own` Hz become samples at `rate` Hz.

    >>> ratio(44100, 16000)
    (160, 441)
    """
    common = math.gcd(own, rate)
    return rate // common, own // common


def resampled_length(header: files.Header, rate: int) -> int:
    """Number of samples of a file at `rate` Hz, rounded up."""
    up, down = ratio(header.rate, rate)
    return -(-header.frames * up // down)


def resampled(path: str | Path, rate: int, start: int, stop: int) -> np.ndarray:
    """Samples [start, stop) of a file at `rate` Hz, int16: the mean of its channels, resampled.

    Equal to `scipy.signal.resample_poly` of the whole file, whose low-pass filter removes what would alias, whatever
    part is asked for.

    Raises:
        GoldfoldError: `unreadable_audio`, also where samples are missing that the header announces.
    """
    found = files.header(path)
    parts = [_block(path, found, rate, first, min(first + BLOCK, stop)) for first in range(start, stop, BLOCK)]
    return np.concatenate(parts) if parts else np.empty(0, np.int16)


def _block(path: str | Path, header: files.Header, rate: int, start: int, stop: int) -> np.ndarray:
    """Samples [start, stop) at `rate` Hz, from the frames of the file that the filter reaches."""
    from scipy.signal import resample_poly

    up, down = ratio(header.rate, rate)
    reach = 0 if up == down else TAPS * max(up, down)
    first = max(0, (start * down - reach) // up) // down * down  # its sample coincides with one at `rate`
    last = min(header.frames, -(-(stop * down + reach) // up) + 1)
    samples = files.read(path, first, last - first)
    if len(samples) < last - first:
        raise files.unreadable(path, f"it ends after {first + len(samples):,} of {header.frames:,} samples")
    mono = samples.mean(1)
    if up != down:
        mono = resample_poly(mono, up, down)
    skipped = first * up // down
    return quantized(mono[start - skipped : stop - skipped])


def quantized(samples: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as int16, rounded; those beyond full scale are cut off."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
