"""Peak memory of this process on a CPU or a GPU, and a limit that it may not exceed."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK = "5"  # what resets VmHWM, proc(5)


class Peaks(NamedTuple):
    """Peak bytes over the start, handed out and held by the allocator; start: bytes at the start.

    retries: how often the allocator had to free its cache and ask again, which slows training down without an error.
    """

    allocated: int
    reserved: int
    start: int
    retries: int = 0


class Meter(Protocol):
    """Measures the peak between `begin` and `peaks`."""

    def begin(self, limit: float) -> None:
        """Begin to measure, and let no more than `limit` bytes be allocated over what is in use now."""

    def wait(self) -> None:
        """Wait until the device has done what it was asked for, before a clock is read."""

    def peaks(self) -> Peaks:
        """The peaks since `begin`."""


def meter(device: torch.device) -> Meter:
    """The meter of a device."""
    return AllocatorMeter(device, torch.cuda) if device.type == "cuda" else ResidentMeter()


class ResidentMeter:
    """Resident memory of the process (VmHWM over its start); RLIMIT_DATA is the limit.

    The limit is of private memory, since address space includes libraries that are never read. Systems without /proc
    have the peak since the process began, and no limit.
    """

    def __init__(self) -> None:
        self.start = 0

    def begin(self, limit: float) -> None:
        with suppress(OSError):  # the kernel may forbid it: the peak is then that since the process began
            CLEAR.write_text(PEAK)
        self.start = resident("VmRSS")
        if STATUS.exists():
            import resource

            allowed = int(resident("VmData") + limit)
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (allowed if hard == -1 else min(allowed, hard), hard))

    def wait(self) -> None:
        return None

    def peaks(self) -> Peaks:
        peak = max(0, resident("VmHWM") - self.start)
        return Peaks(peak, peak, self.start)


def resident(field: str) -> int:
    """Bytes of a field of /proc/self/status; elsewhere the peak of resident memory."""
    if STATUS.exists():
        lines = STATUS.read_text(encoding="utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class AllocatorMeter:
    """Memory of torch's caching allocator on a GPU; allocator: `torch.cuda`, or what has its functions."""

    def __init__(self, device: torch.device, allocator: Any) -> None:
        self.device, self.allocator = device, allocator
        self.start = self.retries = 0

    def begin(self, limit: float) -> None:
        cuda = self.allocator
        cuda.synchronize(self.device)
        cuda.empty_cache()
        self.start = cuda.memory_allocated(self.device)
        held, total = cuda.memory_reserved(self.device), cuda.mem_get_info(self.device)[1]
        cuda.set_per_process_memory_fraction(min(1.0, (held + limit) / total), self.device)
        cuda.reset_peak_memory_stats(self.device)
        self.retries = self._retries()

    def wait(self) -> None:
        self.allocator.synchronize(self.device)

    def peaks(self) -> Peaks:
        cuda = self.allocator
        allocated = cuda.max_memory_allocated(self.device) - self.start
        reserved = cuda.max_memory_reserved(self.device) - self.start
        return Peaks(allocated, reserved, self.start, self._retries() - self.retries)

    def _retries(self) -> int:
        return self.allocator.memory_stats(self.device).get("num_alloc_retries", 0)
