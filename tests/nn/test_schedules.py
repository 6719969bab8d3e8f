"""Learning-rate schedules against torch, warmup, and very short training."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from goldfold.nn import schedules


def optimizer(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], momentum=0.9
    )


def rates_of(schedule, steps: int, *rates: float) -> list[list[float]]:
    made = optimizer(*rates)
    stepped = schedule(made)
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in made.param_groups])
        made.step()
        stepped.step()
    return seen


def test_cosine_without_warmup_equals_torchs_annealing():
    ours = rates_of(lambda made: schedules.cosine(made, 4, 5), 20, 1e-2, 1e-3)
    theirs = rates_of(lambda made: CosineAnnealingLR(made, 20), 20, 1e-2, 1e-3)
    assert torch.allclose(torch.tensor(ours), torch.tensor(theirs), atol=1e-9)


def test_warmup_rises_linearly_to_each_groups_rate_and_ends_near_zero():
    seen = rates_of(lambda made: schedules.cosine(made, 5, 10, warmup=0.2), 50, 1e-2, 1e-3)
    first, second = zip(*seen, strict=True)
    assert first[:10] == pytest.approx([1e-3 * (step + 1) for step in range(10)])
    assert max(first) == 1e-2
    assert max(second) == 1e-3
    assert all(a >= b for a, b in pairwise(first[9:]))
    assert first[-1] < 2e-5


def test_one_cycle_equals_torchs_with_a_peak_per_group_and_constant_momentum():
    made = optimizer(1e-2, 1e-3)
    schedules.one_cycle(made, 3, 10, warmup=0.4)
    assert [group["momentum"] for group in made.param_groups] == [0.9, 0.9]
    ours = rates_of(lambda made: schedules.one_cycle(made, 3, 10, warmup=0.4), 30, 1e-2, 1e-3)
    peaks = {"max_lr": [1e-2, 1e-3], "total_steps": 30, "pct_start": 0.4, "cycle_momentum": False}
    assert ours == rates_of(lambda made: OneCycleLR(made, **peaks), 30, 1e-2, 1e-3)
    assert [max(group) for group in zip(*ours, strict=True)] == pytest.approx([1e-2, 1e-3])


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (2, 5), (1, 20)])
def test_short_training_has_finite_rates_that_are_not_all_zero(name, warmup, epochs, steps):
    total = epochs * steps
    seen = rates_of(lambda made: schedules.create(name, warmup)(made, epochs, steps), total, 1e-2)
    assert all(math.isfinite(rate) for (rate,) in seen)
    assert max(rate for (rate,) in seen) > 1e-4


def test_constant_rate_has_no_schedule():
    assert schedules.create("constant") is None
