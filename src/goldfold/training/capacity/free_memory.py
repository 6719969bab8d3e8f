"""Memory that is really free on this machine: of the system, of the control group this process is in, of a GPU."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from goldfold.errors import GoldfoldError

GROUPS = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
KEPT = 0.1  # share of free memory that is left to others
UNITS = {"B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
LIMITS = (  # of a control group, version 2 and 1: what it may take, what it takes, and of that what can be given back
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def free_bytes(device: torch.device) -> int:
    """Bytes that a process could take now, less a tenth: of the GPU, or of the machine and the control group."""
    if device.type == "cuda":
        return int((1 - KEPT) * torch.cuda.mem_get_info(device)[0])
    return int((1 - KEPT) * min([available(MEMINFO), *_free_of_groups(GROUPS)]))


def total_bytes(device: torch.device) -> int:
    """Bytes of memory of the GPU or the machine."""
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else _meminfo(MEMINFO, "MemTotal")


def available(meminfo: Path) -> int:
    """Bytes that the kernel says can be taken without swapping; half of all where it does not say so."""
    return _meminfo(meminfo, "MemAvailable")


def _meminfo(path: Path, field: str) -> int:
    if not path.exists():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    found = re.search(rf"^{field}:\s+(\d+) kB", path.read_text(encoding="utf-8"), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def _free_of_groups(root: Path) -> list[int]:
    """What the control group may still take, in a list; empty without a limit."""
    for most, used, cached in LIMITS:
        limit = root / most
        if limit.exists() and (text := limit.read_text().strip()).isdecimal() and int(text) < 2**60:
            stat = limit.with_name("memory.stat")
            kept = re.search(rf"^{cached} (\d+)$", stat.read_text(), re.MULTILINE) if stat.exists() else None
            return [max(0, int(text) - int((root / used).read_text()) + (int(kept[1]) if kept else 0))]
    return []


def parsed_bytes(text: str) -> int:
    """Parse an amount of memory with its unit.

    >>> parsed_bytes("4 GiB"), parsed_bytes("500MB")
    (4294967296, 500000000)

    Raises:
        GoldfoldError: it is no positive number with a unit.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B|B)\s*", text, re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise GoldfoldError(
            "invalid_memory", f"memory is '{text}' and must be a positive number with a unit: write 4GiB or 500MB"
        )
    return int(float(found[1]) * UNITS[found[2].upper()])
