"""Audio files: what their header says, and any part of their samples.

soundfile (libsndfile) decodes WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and AU; it is the extra `audio`. WAV needs
no extra: without soundfile, SciPy reads it to the same numbers.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from goldfold.errors import GoldfoldError

UNKNOWN_LENGTH = 0x7FFFFF00  # of a stream, whose writer could not go back: it announces this much or more
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"})


class Header(NamedTuple):
    """What an audio file says of itself. rate: samples per second. frames: samples per channel."""

    rate: int
    channels: int
    frames: int

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.frames / self.rate


def is_sound(path: str | Path) -> bool:
    """Whether a file is one of sound, by its suffix.

    >>> is_sound("bird.FLAC"), is_sound("bird.png")
    (True, False)
    """
    return Path(path).suffix.lower() in SUFFIXES


def header(path: str | Path) -> Header:
    """Read the header of an audio file.

    Raises:
        GoldfoldError: `unreadable_audio`, the file is missing, damaged, of another format, or has no samples;
            `package_missing`, its format needs soundfile.
    """
    with _refusing(path):
        if _decoded_by_soundfile(path):
            import soundfile

            with soundfile.SoundFile(path) as file:
                found = Header(file.samplerate, file.channels, file.frames)
        else:
            rate, samples = _wav(path)
            found = Header(rate, 1 if samples.ndim == 1 else samples.shape[1], len(samples))
        announced, size = _announced(path), Path(path).stat().st_size
    if found.frames < 1 or found.rate < 1:
        raise unreadable(path, "it has no samples")
    if announced > size:
        raise unreadable(path, f"it ends after {size:,} of {announced:,} bytes")
    return found


def _announced(path: str | Path) -> int:
    """The length in bytes that a WAV file says it has, 0 if it does not; both libraries read cut files to their end."""
    with open(path, "rb") as file:
        head = file.read(8)
    length = int.from_bytes(head[4:], "little") if head[:4] == b"RIFF" else 0
    return 8 + length if 0 < length < UNKNOWN_LENGTH else 0


def read(path: str | Path, start: int = 0, count: int = -1) -> np.ndarray:
    """Samples of all channels from frame `start`, float32 (frames, channels); full scale is [-1, 1].

    count: number of frames, -1: all to the end. Fewer are returned where the file ends before.

    Raises:
        GoldfoldError: as `header`.
    """
    with _refusing(path):
        if _decoded_by_soundfile(path):
            import soundfile

            with soundfile.SoundFile(path) as file:
                file.seek(min(start, file.frames))
                return file.read(count, dtype="float32", always_2d=True)
        _, samples = _wav(path)
        part = samples[start:] if count < 0 else samples[start : start + count]
        return _full_scale(np.asarray(part)).reshape(len(part), -1)


def unreadable(path: str | Path, why: str) -> GoldfoldError:
    """The error for a file whose sound cannot be used."""
    return GoldfoldError(
        "unreadable_audio", f"audio file '{path}' cannot be read ({why}): replace it, or drop its row in load()"
    )


@contextmanager
def _refusing(path: str | Path) -> Iterator[None]:
    """Turn what the libraries raise into `unreadable_audio`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, EOFError, struct.error) as error:  # the last by SciPy, of cut headers
        if isinstance(error, GoldfoldError):
            raise
        reason = " ".join(str(error).replace(f"Error opening {str(path)!r}: ", "").split())
        raise unreadable(path, reason.rstrip(".") or type(error).__name__) from error


def _decoded_by_soundfile(path: str | Path) -> bool:
    """Whether soundfile decodes a file; False: it is WAV, and soundfile is not installed."""
    if find_spec("soundfile") is not None:
        return True
    if Path(path).suffix.lower() == ".wav":
        return False
    raise GoldfoldError(
        "package_missing",
        f"'{path}' needs the extra `audio`, which is not installed: pip install \"goldfold[audio]\", or convert the "
        "files to WAV in prepare()",
    )


def _wav(path: str | Path) -> tuple[int, np.ndarray]:
    """Sample rate and samples, (frames,) or (frames, channels), of a WAV file in its own type."""
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of other programs, such as tags
        try:
            return wavfile.read(path, mmap=True)
        except ValueError:  # samples of 24 bits, and empty files, cannot be mapped
            return wavfile.read(path)


def _full_scale(samples: np.ndarray) -> np.ndarray:
    """Samples of any type of WAV as float32, as libsndfile scales them."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return (samples / 2.0 ** (8 * samples.dtype.itemsize - 1)).astype(np.float32)
    return samples.astype(np.float32)
