"""What is recorded of parameter groups, against torch's own schedulers, gradients and clipping."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from goldfold.competition import Plan, Stage
from goldfold.report.run.parameter_groups import rate_lines, section
from goldfold.training import parameter_groups
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

RATES = {"visual": 1e-4, "text": 1e-5, "prompt": 5e-6}
POINTS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))


def network() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"visual": nn.Linear(4, 3), "text": nn.Linear(3, 2), "prompt": nn.Linear(2, 1)})


def losses(model: nn.ModuleDict, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"size": (model["prompt"](model["text"](model["visual"](batch))) - 3).square().mean()}


def groups(model: nn.ModuleDict) -> list[dict]:
    return [{"name": name, "params": list(model[name].parameters()), "lr": rate} for name, rate in RATES.items()]


def trained(schedule: Callable | None, epochs: int, per: str = "step", **options) -> tuple[nn.ModuleDict, list, dict]:
    """Three steps an epoch with SGD."""
    stage = Stage(
        name="fit",
        epochs=epochs,
        batches=lambda epoch: list(POINTS.split(4)),
        losses=losses,
        optimizer=lambda model: torch.optim.SGD(groups(model)),
        schedule=schedule,
        schedule_per=per,
    )
    model = network()
    plan = Plan(model=model, stages=[stage], predict=lambda *_: None)
    return model, *train(plan, loop=LoopOptions(**options), device=torch.device("cpu"))


def of_torch(make: Callable, steps: int) -> np.ndarray:
    """The rates (steps, groups) at each step of a scheduler alone."""
    optimizer = torch.optim.SGD(groups(network()))
    scheduler, found = make(optimizer, steps // 3, 3), []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return np.array(found)


@pytest.mark.parametrize(
    ("schedule", "minima"),
    [
        (lambda optimizer, *_: OneCycleLR(optimizer, max_lr=list(RATES.values()), total_steps=30), 0),
        (lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=30), 0),
        (lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=5), 3),
    ],
    ids=["one cycle", "cosine", "swings"],
)
def test_rates_of_each_group_are_those_of_the_scheduler(schedule: Callable, minima: int) -> None:
    _, history, facts = trained(schedule, 10)
    expected, rates = of_torch(schedule, 30), facts["fit"]["rates"]
    assert rates["names"] == list(RATES)
    np.testing.assert_allclose(rates["trace"], expected)
    np.testing.assert_allclose(rates["peak"], expected.max(0))
    assert rates["final"] == pytest.approx(expected[-1])
    assert rates["minima"] == [minima] * 3
    assert history[-1]["learning_rate"] == pytest.approx(dict(zip(RATES, expected[-1], strict=True)))
    lines = rate_lines(history, rates)
    assert list(lines["text"]) == pytest.approx([step / 3 for step in range(1, 31)])
    assert list(lines["text"].values()) == pytest.approx(expected[:, 1])


def test_many_steps_are_thinned_and_keep_their_places() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": 1.0}])
    rates = parameter_groups.LearningRates.of(optimizer)
    for step in range(3000):
        optimizer.param_groups[0]["lr"] = float(step)
        rates.record(optimizer)
    assert len(rates.trace) <= parameter_groups.TRACED
    assert rates.trace == [[float(step)] for step in range(0, 3000, rates.stride)]
    assert (rates.recorded, rates.final, rates.peak) == (3000, [2999.0], [2999.0])


def test_groups_without_names_or_with_equal_ones_are_numbered() -> None:
    keys: list[dict] = [{}, {"name": "head"}, {"name": "head"}]
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], **key} for key in keys], 0.1)
    assert parameter_groups.names(optimizer) == ["0", "head 1", "head 2"]


@pytest.mark.parametrize("options", [{}, {"clip": 0.5}, {"accumulate": 3}], ids=["plain", "clipped", "accumulated"])
def test_gradient_norms_and_weights_of_each_group(options: dict) -> None:
    """The mean over the steps of an epoch, before clipping, against gradients and clipping of torch, step by step."""
    model, history, _ = trained(None, 1, **options)
    twin, found = network(), []
    optimizer = torch.optim.SGD(groups(twin))
    for batch in [POINTS] if "accumulate" in options else POINTS.split(4):
        optimizer.zero_grad()
        losses(twin, batch)["size"].backward()
        found.append([torch.cat([each.grad.flatten() for each in part.parameters()]).norm() for part in twin.values()])
        nn.utils.clip_grad_norm_(twin.parameters(), options.get("clip", np.inf))
        optimizer.step()
    (row,) = history
    assert row["group_gradient_norm"] == pytest.approx(
        dict(zip(RATES, np.mean(found, axis=0).tolist(), strict=True)), rel=1e-5
    )
    if "accumulate" not in options:  # a term's norm is that of the first batch, which is no step there
        assert row["gradient_norm"]["size"] == pytest.approx(float(np.linalg.norm(found[0])), rel=1e-5)
    assert row["group_weights"] == {"visual": 15, "text": 8, "prompt": 3}
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own, other)


def test_at_most_sixteen_steps_of_an_epoch_are_measured() -> None:
    optimizer = torch.optim.SGD(groups(network()))
    for steps in (1, 5, 16, 17, 1000):
        norms = parameter_groups.GradientNorms(optimizer, steps)
        due = [step for step in range(steps) if norms.due(step)]
        assert due[0] == 0
        assert min(steps, 8) <= len(due) <= parameter_groups.MEASURED


def test_the_record_lists_each_group_by_name() -> None:
    _, history, facts = trained(lambda optimizer, *_: OneCycleLR(optimizer, max_lr=1e-4, total_steps=30), 10)
    text = section([{"facts": facts, "history": history}] * 2)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| fit")]
    assert [line[:5] for line in lines] == [
        ["fit", "visual", "15", "0.0001", "0.0001"],
        ["fit", "text", "8", "1e-05", "0.0001"],
        ["fit", "prompt", "3", "5e-06", "0.0001"],
    ]
    final = f"{facts['fit']['rates']['final'][0]:.3g}"
    assert {tuple(line[5:8]) for line in lines} == {(final, f"{float(final) / 1e-4:.3g}", "0")}
    assert lines[0][8] == f"{history[0]['group_gradient_norm']['visual']:.3g}"


def test_runs_of_older_versions_have_rates_without_names() -> None:
    history = [{"epoch": epoch, "learning_rate": [1.0 / epoch, 0.5]} for epoch in (1, 2)]
    assert rate_lines(history, {}) == {"0": {1: 1.0, 2: 0.5}, "1": {1: 0.5, 2: 0.5}}
    older = {"facts": {"fit": {"rates": {"configured": [1.0], "peak": [1.0], "final": [1.0], "minima": [0]}}}}
    assert section([{**older, "history": history}]) == ""
