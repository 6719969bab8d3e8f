"""The learning-rate range test, against steps by hand on a quadratic bowl, and what curves of known shape suggest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from error_codes import raises_code
from torch import nn

from goldfold.competition import Plan, Stage
from goldfold.training.learning_rates.range_test import Curve, Sweep, diverges, first_stage, range_test
from goldfold.training.learning_rates.suggestion import Suggestion, over_seeds, read
from goldfold.training.settings import LoopOptions

CPU = torch.device("cpu")
STEEP, FLAT = 4.0, 1.0  # curvatures: gradient descent along the steep axis diverges beyond a rate of 2 / 4
SWEEP = Sweep(lowest=1e-3, highest=10, steps=60)


class Bowl(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steep, self.flat = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([1.0]))


def bowl(model: nn.Module, batch: torch.Tensor) -> dict:
    return {"bowl": 0.5 * (STEEP * model.steep**2 + FLAT * model.flat**2).sum() * batch.mean()}


def a_plan(losses=bowl, rate: float = 0.02, batches=lambda epoch: [torch.ones(2, 1)] * 3) -> Plan:
    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        groups = [{"params": [model.steep], "lr": rate}, {"params": [model.flat], "lr": 3 * rate}]
        return torch.optim.SGD(groups)

    idle = Stage(name="none", epochs=0, batches=batches, losses=losses, optimizer=optimizer)
    stage = Stage(name="fit", epochs=2, batches=batches, losses=losses, optimizer=optimizer)
    return Plan(model=Bowl(), stages=[idle, stage], predict=lambda *_: None)


def test_rates_rise_exponentially_groups_keep_their_ratio_and_losses_are_those_by_hand():
    plan = a_plan()
    curve = range_test(plan, first_stage(plan, "bowl"), LoopOptions(ema=0.9, average=3), CPU, SWEEP, 0.02)
    steep, flat, losses = 1.0, 1.0, []
    for rate in curve.rates:
        losses.append(0.5 * (STEEP * steep**2 + FLAT * flat**2))
        steep, flat = steep * (1 - rate * STEEP), flat * (1 - 3 * rate * FLAT)
    assert curve.losses == pytest.approx(losses, rel=1e-4, abs=1e-30)
    assert np.diff(np.log(curve.rates)) == pytest.approx(np.log(10 / 1e-3) / 59)
    assert curve.rates[0] == 1e-3


def test_a_sweep_ends_where_the_loss_diverges_or_is_no_number():
    def offset(model: nn.Module, batch: torch.Tensor) -> dict:
        return {"bowl": bowl(model, batch)["bowl"] + 1}

    plan = a_plan(offset)
    curve = range_test(plan, first_stage(plan, "bowl"), LoopOptions(), CPU, SWEEP, 0.02)
    assert curve.diverged
    assert 2 / STEEP < curve.rates[-1] < 10

    def broken(model: nn.Module, batch: torch.Tensor) -> dict:
        return {"bowl": bowl(model, batch)["bowl"] * (math.nan if model.steep < 0.5 else 1)}

    plan = a_plan(broken)
    curve = range_test(plan, first_stage(plan, "bowl"), LoopOptions(), CPU, SWEEP, 0.02)
    assert curve.diverged
    assert np.isfinite(curve.losses).all()
    plan = a_plan(lambda model, batch: {"bowl": bowl(model, batch)["bowl"] * math.nan})
    with raises_code("no_finite_loss", "of stage 'fit' diverges at a learning rate of 0.001 already"):
        range_test(plan, first_stage(plan, "bowl"), LoopOptions(), CPU, SWEEP, 0.02)


def test_accumulated_batches_are_one_step():
    weights = [torch.full((2, 1), value) for value in (0.5, 1.5)]
    plan = a_plan(batches=lambda epoch: weights)
    whole = a_plan(batches=lambda epoch: [torch.cat(weights)])
    curves = [
        range_test(each, first_stage(each, "bowl"), LoopOptions(accumulate=steps), CPU, SWEEP, 0.02)
        for each, steps in ((plan, 2), (whole, 1))
    ]
    assert curves[0].losses == pytest.approx(curves[1].losses)


def test_noise_around_zero_is_no_divergence():
    random = np.random.default_rng(0)
    assert not diverges([1.0, *np.abs(random.normal(0, 0.01, 200)).tolist()])


def a_curve(noise: float, seed: int = 0, depth: float = 1.0) -> Curve:
    """A loss that falls like a logistic function, fastest at 1e-3, and rises from 1e-1 on."""
    rates = np.logspace(-6, 0, 120)
    logs = np.log10(rates)
    losses = 2 - depth / (1 + np.exp(-4 * (logs + 3))) + 4 * np.maximum(0, logs + 1) ** 2
    return Curve(tuple(rates), tuple(losses + np.random.default_rng(seed).normal(0, noise, 120)), False)


def test_the_steepest_fall_and_a_tenth_of_the_minimum_are_found():
    for noise, factor, of_minimum in ((0.0, 1.1, 2.1), (0.03, 2.0, 4.0)):
        found = read(a_curve(noise))
        assert 1e-3 / factor < found.steepest < 1e-3 * factor
        assert 1e-2 / of_minimum < found.tenth < 1e-2 * of_minimum
        assert found.noise == pytest.approx(noise, abs=0.01)


def test_a_loss_that_does_not_fall_suggests_nothing():
    flat = [read(a_curve(0.1, seed, depth=0.0)) for seed in range(5)]
    assert sum(each.steepest is not None for each in flat) <= 1
    rates = (over_seeds([getattr(r, w) for r in flat]) for w in ("steepest", "tenth"))
    found = Suggestion("learning_rate", 0.1, 5, *rates, falls=False)
    assert "No suggestion for learning_rate: the loss does not fall clearly" in str(found)


def test_noise_of_few_steps_is_not_taken_for_a_fall():
    rates = np.logspace(-6, 1, 24)  # farther apart than the smoothing reaches
    random = np.random.default_rng(0)
    found = [read(Curve(tuple(rates), tuple(random.normal(2.3, 0.1, 24)), False)) for _ in range(20)]
    assert sum(each.falls for each in found) <= 3
    assert all(each.steepest is each.tenth is None for each in found)
    assert np.mean([each.noise for each in found]) == pytest.approx(0.1, rel=0.2)


def test_a_fall_that_is_clear_but_even_does_not_say_where_it_is_steepest():
    rates = np.logspace(-6, 0, 120)
    losses = 2.4 - 0.05 * np.log10(rates / 1e-6) + 4 * np.maximum(0, np.log10(rates) + 1) ** 2
    found = read(Curve(tuple(rates), tuple(losses + np.random.default_rng(0).normal(0, 0.05, 120)), False))
    assert (found.falls, found.steepest) == (True, None)
    assert 3e-3 < found.tenth < 3e-2
    located = Suggestion("learning_rate", 0.1, 3, None, over_seeds([found.tenth] * 3))
    assert f"Try learning_rate around {found.tenth:.2g}: a tenth of where the loss is lowest is" in str(located)
    assert "0.1, above it. The noise of its steps leaves open where the loss falls fastest: sweep over" in str(located)
    open_ = Suggestion("learning_rate", 0.1, 3, None, None, falls=True)
    assert str(open_).startswith("No suggestion for learning_rate: the loss falls, but the noise of its steps leaves")


def test_one_seed_is_said_to_show_no_spread():
    one = Suggestion("learning_rate", 0.1, 1, over_seeds([1e-3]), over_seeds([2e-3]))
    assert str(one).endswith("above that range. One seed shows no spread: sweep with several (SEEDS=3).")
    assert "(0.001 to" not in str(one)


def test_the_suggestion_says_where_the_config_lies_and_the_range_of_the_seeds():
    steepest, tenth = over_seeds([1e-3, 4e-3, None]), over_seeds([1e-2, 1e-2, 1e-2])
    assert (steepest.mean, steepest.lowest, steepest.highest) == pytest.approx((2e-3, 1e-3, 4e-3))
    for present, place in ((1e-4, "below"), (5e-3, "within"), (1.0, "above")):
        told = str(Suggestion("learning_rate", present, 3, steepest, tenth))
        assert told.startswith("Try learning_rate from 0.002 to 0.01: ")
        assert f"the config has {present:.2g}, {place} that range" in told
    assert over_seeds([1e-3, None]) is None


def test_sweeps_that_cannot_be_made_are_refused():
    with raises_code("invalid_sweep", "from 1 to 0.1, and must rise"):
        Sweep(lowest=1, highest=0.1).checked()
    with raises_code("invalid_sweep", "19 steps is too short"):
        Sweep(steps=19).checked()
    with raises_code("nothing_to_sweep", "'estimator' trains nothing by epochs"):
        first_stage(Plan(predict=lambda *_: None), "estimator")
