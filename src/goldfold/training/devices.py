"""The device of a process, and its place among the processes that torchrun starts."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

from goldfold.errors import GoldfoldError
from goldfold.io.threads import limit_to_quota


def choose_device(wanted: str | None = None) -> torch.device:
    """The device asked for, else the best there is; under torchrun this process joins the others.

    torch gets no more threads than this process may use CPUs.

    wanted: cpu, cuda, cuda:1 and so on.

    Raises:
        GoldfoldError: the device cannot be used on this machine.
    """
    limit_to_quota()
    if under_torchrun() and not dist.is_initialized():
        cuda = torch.cuda.is_available() and wanted != "cpu"
        dist.init_process_group("nccl" if cuda else "gloo")
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return _usable(wanted) if wanted else torch.device("cuda" if torch.cuda.is_available() else "cpu")


def under_torchrun() -> bool:
    """Whether several processes train one fit together."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def rank() -> int:
    """0 for the process that writes files, also without torchrun."""
    return dist.get_rank() if dist.is_initialized() else 0


def _usable(wanted: str) -> torch.device:
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise GoldfoldError(
            "device_unusable", f"device '{wanted}' cannot be used here ({why}): try --device cpu, or leave it out"
        ) from error
    return device
