"""Memory that is freed and asked for again is not mapped anew."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MAPPED = """
import resource, sys, torch
from goldfold.io import memory
if sys.argv[1] == "kept":
    memory.keep_freed_memory()
net = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 1, 3))
pixels = torch.ones(64, 1, 128, 128)
for step in range(4):
    if step == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    net(pixels).mean().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told to keep memory")
def test_training_steps_map_no_memory_anew_once_it_is_kept():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", MAPPED, how], capture_output=True, check=True).stdout)
        for how in ("by default", "kept")
    }
    assert faults["by default"] > 50_000, "activations of 60 MiB come from the system in pages of 4 KiB"
    assert faults["kept"] < faults["by default"] / 10
