"""Memory on a CPU: what a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed() -> None:
    """Let glibc's malloc keep what this process frees, up to 2 GiB at the end of its heap; elsewhere nothing happens.

    By default every tensor of more than 32 MiB comes from the system and goes back to it, and its pages are zeroed and
    mapped anew at each step. `benchmarks/memory.py` measures what keeping them saves and how much memory it takes.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
