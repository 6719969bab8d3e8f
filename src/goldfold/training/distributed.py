"""Processes of a distributed run: which one writes, and values shared from the first to all."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist


def is_writer() -> bool:
    """Whether this process writes the files: the first one of a distributed run."""
    return not dist.is_initialized() or dist.get_rank() == 0


def from_first(value: Any) -> Any:
    """The value of the first process, on all processes of a distributed run."""
    values = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(values, src=0)
    return values[0]
