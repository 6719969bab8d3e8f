"""CPU memory: let malloc keep the memory that a training step frees for the next step."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc's malloc keep up to 2 GiB of freed memory at the end of the heap; does nothing on other systems.

    By default glibc returns every tensor above 32 MiB to the system, so its pages are zeroed and mapped again at each
    step. `benchmarks/memory.py` measures the time saved and the memory used.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
