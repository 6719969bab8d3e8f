"""Speech of eSpeak NG, through the shared library that the package espeakng-loader brings."""

from __future__ import annotations

import ctypes
from types import TracebackType

import numpy as np

from goldfold.errors import GoldfoldError

RATE = 22050  # Hz, of all its voices
SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS of speak_lib.h
DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT
SPEED = 1  # espeakRATE, words per minute
UTF8 = 1  # espeakCHARS_UTF8


class Speaker:
    """One synthesizer; the library has one state in a process."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise GoldfoldError(
                "package_missing",
                'spoken_digits needs the extra `speech`, which is not installed: pip install "goldfold[speech]"',
            ) from error
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.parts: list[np.ndarray] = []
        data = str(espeakng_loader.get_data_path()).encode()
        if self.library.espeak_Initialize(SYNCHRONOUS, 0, data, DONT_EXIT) != RATE:
            raise GoldfoldError(
                "espeak_failed", f"eSpeak NG does not start with the voices in {data.decode()}: reinstall it"
            )
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.heard = kind(self._hear)  # kept, since the library calls it later
        self.library.espeak_SetSynthCallback(self.heard)

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.library.espeak_Terminate()

    def _hear(self, samples: ctypes.Array, count: int, events: int | None) -> int:
        if count > 0:
            self.parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, speed: int) -> np.ndarray:
        """Speech int16 (n,) at 22,050 Hz. voice: accent+variant, such as en-us+f2. speed: words per minute."""
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise GoldfoldError("espeak_failed", f"eSpeak NG has no voice '{voice}': reinstall espeakng-loader")
        self.library.espeak_SetParameter(SPEED, speed, 0)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # of breath, otherwise the time
        self.parts.clear()
        written = text.encode()
        size = ctypes.c_size_t(len(written) + 1)
        self.library.espeak_Synth(written, size, 0, 1, 0, UTF8, None, None)
        self.library.espeak_Synchronize()
        return np.concatenate(self.parts)
