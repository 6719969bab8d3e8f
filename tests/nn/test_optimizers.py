"""Joined optimizers step as each would alone, and no parameter is held twice."""

from __future__ import annotations

import warnings

import pytest
import torch
from error_codes import raises_code
from torch import nn

from goldfold.competition import Plan, Stage
from goldfold.nn import optimizers, schedules
from goldfold.nn.optimizers import Joined, first_part, refuse_duplicates
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions


def parameters() -> tuple[nn.Parameter, nn.Parameter]:
    torch.manual_seed(0)
    return nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))


def stepped(one: nn.Parameter, other: nn.Parameter, optimizers: list, steps: int) -> None:
    for number in range(steps):
        for each in (one, other):
            each.grad = torch.full((3,), 1.0 + number)
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Adam", {"lr": 0.1, "amsgrad": True}),
        ("AdamW", {"lr": 0.1, "weight_decay": 0.1, "fused": True}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ],
)
def test_optimizers_without_the_compiler_are_those_of_torch(name: str, options: dict):
    """Equal bits of weights and states, also after a checkpoint, with a gradient scaler and a schedule."""
    ended = []
    for package in (torch.optim, optimizers):
        torch.manual_seed(0)
        model = nn.Linear(5, 3)

        def made(package=package, model=model) -> torch.optim.Optimizer:
            return getattr(package, name)([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}], **options)

        optimizer = made()
        schedule, scaler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), torch.amp.GradScaler("cpu")
        for step in range(4):
            if step == 2:
                state, optimizer = optimizer.state_dict(), made()
                optimizer.load_state_dict(state)
            scaler.scale(model(torch.randn(8, 5)).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            schedule.step()
        ended.append(
            (optimizer, [*model.parameters(), *(each for one in optimizer.state.values() for each in one.values())])
        )
    assert isinstance(ended[1][0], getattr(torch.optim, name))
    for one, other in zip(ended[0][1], ended[1][1], strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_joined_optimizers_are_each_alone_and_resume_from_their_state():
    alone = parameters()
    stepped(*alone, [torch.optim.Adam([alone[0]], 0.1), torch.optim.SGD([alone[1]], 0.5, momentum=0.9)], 3)
    both = parameters()
    joined = Joined(torch.optim.Adam([both[0]], 0.1), torch.optim.SGD([both[1]], 0.5, momentum=0.9))
    stepped(*both, [joined], 2)
    state = joined.state_dict()
    again = Joined(torch.optim.Adam([both[0]], 9.0), torch.optim.SGD([both[1]], 9.0))
    again.load_state_dict(state)
    assert [group["lr"] for group in again.param_groups] == [0.1, 0.5]
    for each in both:
        each.grad = torch.full((3,), 3.0)
    again.step()
    assert torch.equal(both[0], alone[0])
    assert torch.equal(both[1], alone[1])
    again.zero_grad()
    assert both[0].grad is both[1].grad is None


def test_a_schedule_changes_the_first_part_alone():
    first, second = parameters()
    joined = Joined(torch.optim.Adam([first], 0.1), torch.optim.SGD([second], 0.5))
    schedule = first_part(schedules.create("cosine"))(joined, 2, 5)
    rates = []
    for _ in range(10):
        stepped(first, second, [joined], 1)
        rates.append([group["lr"] for group in joined.param_groups])
        schedule.step()
    assert [rate for _, rate in rates] == [0.5] * 10
    assert rates[0][0] == 0.1
    assert joined.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_a_parameter_that_is_held_twice_is_refused():
    first, second = parameters()
    refuse_duplicates([{"params": [first]}, {"params": [second]}])
    with raises_code("duplicate_parameter", "one group"):
        refuse_duplicates([{"params": [first, second, first]}])
    with raises_code("duplicate_parameter", "groups 0 and 1"):
        Joined(torch.optim.Adam([first], 0.1), torch.optim.SGD([first], 0.5))


def plan(optimizer, clip: bool = True) -> Plan:
    torch.manual_seed(0)
    model = nn.ModuleList([nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)])
    stage = Stage(
        name="only",
        epochs=1,
        batches=lambda epoch: [torch.ones(4, 2)],
        losses=lambda model, batch: {"sum": 100 * sum(part(batch).sum() for part in model)},
        optimizer=optimizer,
    )
    return Plan(model=model, stages=[stage], predict=lambda *_: None)


def test_the_loop_refuses_an_optimizer_that_would_step_a_parameter_twice():
    def twice(model: nn.Module) -> torch.optim.Optimizer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch only warns
            return torch.optim.SGD([*model.parameters(), model[0].weight], 0.1)

    with raises_code("duplicate_parameter", "(1, 2)"):
        train(plan(twice), loop=LoopOptions(), device=torch.device("cpu"))


def test_clipping_leaves_groups_alone_that_say_so():
    def two(model: nn.Module) -> torch.optim.Optimizer:
        first, second = ({"params": list(part.parameters())} for part in model)
        return torch.optim.SGD([first, {**second, "clip": False}], 1.0)

    made = plan(two)
    before = [part.weight.detach().clone() for part in made.model]
    train(made, loop=LoopOptions(clip=0.5), device=torch.device("cpu"))
    moved = [(old - part.weight).norm().item() for old, part in zip(before, made.model, strict=True)]
    assert moved == pytest.approx([0.5, 400 * 2**0.5], rel=1e-3)
