"""The learning-rate range test: train a stage while its rate rises exponentially, and record the loss of each step.

Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3; with the exponential rise and the stop
at a diverging loss of fastai (Howard and Gugger 2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from goldfold.competition import Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.nn.batches import rank_and_world_size
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

DECAY = 0.9  # of the moving average of the loss that decides whether training diverges
DIVERGED = 3.0  # it does once that average exceeds its lowest value by so many times its size
LEAST = 0.1  # the size is at least this share of the first loss, so that noise around 0 is no divergence
NOT_FINITE = ("loss_not_finite", "weights_not_finite", "gradient_overflow")


class DivergedError(Exception):
    """The loss has become much larger than it was, or is no finite number."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Rates of the sweep, of the parameter group that is looked at; and the number of optimizer steps."""

    lowest: float = 1e-6
    highest: float = 10.0
    steps: int = 100

    def checked(self) -> Sweep:
        """This sweep, if it is possible."""
        if not 0 < self.lowest < self.highest < math.inf:
            raise GoldfoldError(
                "invalid_sweep",
                f"rates go from {self.lowest:g} to {self.highest:g}, and must rise from a number above 0: change them",
            )
        if self.steps < 20:
            raise GoldfoldError("invalid_sweep", f"a sweep of {self.steps} steps is too short to see: take 20 or more")
        return self

    def rate(self, step: int) -> float:
        """The rate of a 0-based step."""
        return self.lowest * (self.highest / self.lowest) ** (step / (self.steps - 1))


@dataclass(frozen=True)
class Curve:
    """Rate and loss of each optimizer step, and whether training diverged before the end."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    diverged: bool


@dataclass
class Recorded:
    """A stage's batches as one epoch of the sweep's steps; the loss of each is written down.

    own: losses of the batches of the step that is made. losses: of the steps made, means over their batches.
    """

    stage: Stage
    steps: int
    accumulate: int
    own: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def of_epoch(self, epoch: int) -> Recorded:
        """These steps, whatever the epoch."""
        return self

    def __len__(self) -> int:
        return self.steps * self.accumulate if len(self.stage.batches(0)) else 0

    def __iter__(self) -> Iterator[Any]:
        endless = chain.from_iterable(self.stage.batches(epoch) for epoch in count())
        for _ in range(self.steps):
            self.own.clear()
            yield from islice(endless, self.accumulate)
            self.losses.append(sum(self.own) / len(self.own))  # reached after the optimizer's step
            if diverges(self.losses):
                raise DivergedError

    def watched(self, model: nn.Module, batch: Any) -> Mapping[str, Tensor]:
        """The losses of the stage, whose sum is written down."""
        terms = self.stage.losses(model, batch)
        value = sum(float(term.detach()) for term in terms.values())
        if not math.isfinite(value):
            raise DivergedError
        self.own.append(value)
        return terms


def first_stage(plan: Plan, config: str) -> Stage:
    """The first stage of a plan that trains.

    Raises:
        GoldfoldError: `nothing_to_sweep`, there is none.
    """
    for stage in plan.stages:
        if stage.epochs:
            return stage
    raise GoldfoldError(
        "nothing_to_sweep",
        f"config '{config}' trains nothing by epochs with these values, so it has no learning rate to find: choose a "
        "config with a training stage",
    )


def range_test(plan: Plan, stage: Stage, loop: LoopOptions, device: torch.device, sweep: Sweep, own: float) -> Curve:
    """Train a stage of a plan over a sweep of its rate, which leaves the plan's model trained.

    All parameter groups rise together and keep their ratios. The stage's own schedule is left out; accumulation,
    clipping and precision are those of the config.

    own: the configured rate that the rates of the sweep take the place of.

    Raises:
        GoldfoldError: `range_test_in_one_process`; `no_finite_loss`, at the lowest rate already; others that training
            raises.
    """
    if rank_and_world_size()[1] > 1:
        raise GoldfoldError("range_test_in_one_process", "a range test runs in one process: start it without torchrun")
    recorded = Recorded(stage, sweep.steps, loop.accumulate)
    swept = replace(
        stage,
        epochs=1,
        batches=recorded.of_epoch,
        losses=recorded.watched,
        schedule=partial(_rising, sweep, own),
        schedule_per="step",
        untrained_loss=None,
        row_losses=None,
    )
    plain = {"select": "last", "patience": None, "average": (), "average_by": "uniform"}
    once = loop.model_copy(update={**plain, "ema": None, "ema_statistics": "copied"})
    diverged = False
    try:
        train(replace(plan, stages=[swept], monitor=None), loop=once, device=device)
    except DivergedError:
        diverged = True
    except GoldfoldError as error:
        if error.code not in NOT_FINITE:
            raise
        diverged = True
    if len(recorded.losses) < 3:
        raise GoldfoldError(
            "no_finite_loss",
            f"the loss of stage '{stage.name}' diverges at a learning rate of {sweep.lowest:g} already: check the "
            "inputs and the loss, or lower LOWEST",
        )
    made = range(len(recorded.losses))
    return Curve(tuple(sweep.rate(step) for step in made), tuple(recorded.losses), diverged)


def _rising(sweep: Sweep, own: float, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: sweep.rate(step) / own)


def diverges(losses: list[float]) -> bool:
    """Whether the moving average of the losses, corrected for its start, has risen far above its lowest value.

    >>> diverges([1.0] * 10 + [1.5] * 10), diverges([1.0] * 10 + [9.0] * 10)
    (False, True)
    """
    average, lowest = 0.0, math.inf
    for number, loss in enumerate(losses, 1):
        average = DECAY * average + (1 - DECAY) * loss
        now = average / (1 - DECAY**number)
        lowest = min(lowest, now)
    return now - lowest > DIVERGED * max(abs(lowest), LEAST * abs(losses[0]))
