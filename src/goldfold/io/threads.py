"""Threads of OpenMP: they wait without using the CPU, and are no more than the CPUs that a container may use."""

from __future__ import annotations

import os

CHOICE = "OMP_NUM_THREADS"  # environment variable with which users choose the number of threads
POLICY = "OMP_WAIT_POLICY"


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait for each other; call it before torch is imported.

    By default they spin: beside two busy processes on 2 cores a run took 24 s of CPU time instead of 13 s
    (`benchmarks/threads.py`). The environment variable OMP_WAIT_POLICY decides if it is set.
    """
    os.environ.setdefault(POLICY, "PASSIVE")


def limit_to_quota() -> int:
    """Return the number of threads that torch computes with; it is lowered to the CPUs that this process may use.

    torch counts the cores of the machine; in a container with a quota its threads would wait for each other most of the
    time. The environment variable OMP_NUM_THREADS decides if it is set.
    """
    import torch
    from joblib import cpu_count  # within affinity and the quota of a container

    if not os.environ.get(CHOICE):
        torch.set_num_threads(min(torch.get_num_threads(), cpu_count()))
    return torch.get_num_threads()
