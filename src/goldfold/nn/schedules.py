"""Learning-rate schedules for `Stage.schedule`: functions of (optimizer, epochs, steps per epoch)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    Schedule = Callable[[Optimizer, int, int], LRScheduler]

Name = Literal["constant", "cosine", "one_cycle"]


def create(name: Name | Literal["multi_step"], warmup: float = 0.0, **options: Any) -> Schedule | None:
    """Create the schedule `name`, to be stepped after every optimizer step; None for a constant learning rate.

    warmup: share of all steps, in [0, 1), in which the learning rate rises. options: of `one_cycle` or `multi_step`.
    """
    if name == "constant":
        return None
    makers: dict[str, Callable] = {"cosine": cosine, "one_cycle": one_cycle, "multi_step": multi_step}
    return partial(makers[name], warmup=warmup, **options)


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


def multi_step(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    *,
    warmup: float = 0.0,
    decay_epochs: Sequence[int],
    factor: float = 0.1,
) -> LRScheduler:
    """Multiply each group's learning rate by `factor` at the start of the 0-based epochs `decay_epochs`.

    It rises linearly over the first `warmup` x all steps, as in the recipe of re-identification (Luo et al. 2019).
    """
    from torch.optim.lr_scheduler import LambdaLR

    rise = round(warmup * epochs * steps_per_epoch)

    def share(step: int) -> float:
        rising = min(1.0, (step + 1) / rise) if rise else 1.0
        return rising * factor ** sum(step >= epoch * steps_per_epoch for epoch in decay_epochs)

    return LambdaLR(optimizer, share)


def one_cycle(
    optimizer: Optimizer, epochs: int, steps_per_epoch: int, warmup: float = 0.3, cycle_momentum: bool = False
) -> LRScheduler:
    """Run one cycle (Smith and Topin 2018): each group rises to its own rate and falls far below its initial rate.

    The rise takes at least two steps. Momentum, of Adam the first beta, stays constant unless `cycle_momentum`.
    """
    from torch.optim.lr_scheduler import OneCycleLR

    steps = max(3, epochs * steps_per_epoch)
    rise = max(warmup, 2 / steps)  # with a rise of one step OneCycleLR divides by zero
    peaks = [group["lr"] for group in optimizer.param_groups]  # a single maximum would apply to every group
    return OneCycleLR(optimizer, max_lr=peaks, total_steps=steps, pct_start=rise, cycle_momentum=cycle_momentum)
