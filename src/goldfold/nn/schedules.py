"""Learning-rate schedules for `Stage.schedule`, each a function of (optimizer, epochs, batches per epoch)."""

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


def named(name: Name, warmup: float = 0.0) -> Schedule | None:
    """The schedule a parameter asks for, to be stepped after every optimizer step; None for a constant rate.

    warmup: the share of all steps, in [0, 1), during which the rate rises.
    """
    if name == "constant":
        return None
    return partial({"cosine": cosine, "one_cycle": one_cycle}[name], warmup=warmup)


def factor(step: int, steps: int, warmup: float) -> float:
    """The rate at a 0-based step as a share of the peak: linear rise over `warmup` x `steps`, then half a cosine to 0.

    >>> [round(factor(step, 6, 1 / 3), 3) for step in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))


def cosine(optimizer: Optimizer, epochs: int, steps_per_epoch: int, warmup: float = 0.0) -> LRScheduler:
    """Warm-up, then cosine annealing to zero (Loshchilov & Hutter 2017), of every group from its own rate."""
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, partial(factor, steps=epochs * steps_per_epoch, warmup=warmup))


def one_cycle(optimizer: Optimizer, epochs: int, steps_per_epoch: int, warmup: float = 0.3) -> LRScheduler:
    """One cycle (Smith & Topin 2018): every group rises to its own rate and falls far below where it began.

    The rise takes two steps at least. Momentum stays as it is.
    """
    from torch.optim.lr_scheduler import OneCycleLR

    steps = max(3, epochs * steps_per_epoch)
    rise = max(warmup, 2 / steps)  # a rise of one step makes OneCycleLR divide by zero
    peaks = [group["lr"] for group in optimizer.param_groups]  # a single maximum would lift every group to it
    return OneCycleLR(optimizer, max_lr=peaks, total_steps=steps, pct_start=rise, cycle_momentum=False)
