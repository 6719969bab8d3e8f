"""Learning-rate schedules for `Stage.schedule`: functions of (optimizer, epochs, steps per epoch)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    Schedule = Callable[[Optimizer, int, int], LRScheduler]

Name = Literal["constant", "cosine", "one_cycle"]


def create(name: Name, warmup: float = 0.0) -> Schedule | None:
    """Create the schedule `name`, to be stepped after every optimizer step; None for a constant learning rate.

    warmup: share of all steps, in [0, 1), in which the learning rate rises.
    """
    if name == "constant":
        return None
    return partial({"cosine": cosine, "one_cycle": one_cycle}[name], warmup=warmup)


def cosine_factor(step: int, steps: int, warmup: float) -> float:
    """Return the learning rate at a 0-based step as a share of its peak.

    It rises linearly over `warmup` x `steps` steps, then falls along half a cosine to 0.

    >>> [round(cosine_factor(step, 6, 1 / 3), 3) for step in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))


def cosine(optimizer: Optimizer, epochs: int, steps_per_epoch: int, warmup: float = 0.0) -> LRScheduler:
    """Anneal each parameter group's learning rate to 0 along a cosine, after a warmup (Loshchilov and Hutter 2017)."""
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, partial(cosine_factor, steps=epochs * steps_per_epoch, warmup=warmup))


def one_cycle(optimizer: Optimizer, epochs: int, steps_per_epoch: int, warmup: float = 0.3) -> LRScheduler:
    """Run one cycle (Smith and Topin 2018): each group rises to its own rate and falls far below its initial rate.

    The rise takes at least two steps. Momentum stays constant.
    """
    from torch.optim.lr_scheduler import OneCycleLR

    steps = max(3, epochs * steps_per_epoch)
    rise = max(warmup, 2 / steps)  # with a rise of one step OneCycleLR divides by zero
    peaks = [group["lr"] for group in optimizer.param_groups]  # a single maximum would apply to every group
    return OneCycleLR(optimizer, max_lr=peaks, total_steps=steps, pct_start=rise, cycle_momentum=False)
