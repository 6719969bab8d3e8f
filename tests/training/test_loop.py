"""The loop against one written by hand, its interruption at every epoch, and what it says when training goes wrong."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from goldfold.competition import Competition, Fold, Metric, Plan, Recipe, Runtime, Stage, Tables
from goldfold.errors import GoldfoldError
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.fits import Experiment, Protocol
from goldfold.nn.batches import in_memory, rank_and_world_size
from goldfold.optional_parts import Monitored, UntrainedLoss
from goldfold.params import Params
from goldfold.training import checkpoints
from goldfold.training.epoch_selection import select_epoch
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions, batch_rows

CPU = torch.device("cpu")
DRAW = torch.Generator().manual_seed(0)
POINTS, LABELS = torch.randn(22, 6, generator=DRAW), torch.randint(0, 3, (22,), generator=DRAW)


def network(dropout: float = 0.3) -> nn.Module:
    layers = (nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))
    return nn.Sequential(*layers)


def shuffled(size: int, rows: int = 22) -> Callable[[int], list]:
    """22 rows in batches of 4 make 6 batches, the last of 2 rows."""

    def batches(epoch: int) -> list:
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(epoch))
        return [(POINTS[part], LABELS[part]) for part in order.split(size)]

    return batches


def two_terms(model: nn.Module, batch: tuple) -> dict:
    scores = model(batch[0])
    return {"cross_entropy": F.cross_entropy(scores, batch[1]), "size": 0.1 * scores.square().mean()}


def a_stage(name: str = "only", epochs: int = 3, size: int = 4, **parts) -> Stage:
    common = {
        "batches": shuffled(size),
        "losses": two_terms,
        "optimizer": lambda m: torch.optim.AdamW(m.parameters(), 0.01),
    }
    return Stage(name=name, epochs=epochs, **{**common, **parts})


def one_cycle(optimizer, epochs, steps):
    return OneCycleLR(optimizer, max_lr=0.01, total_steps=epochs * steps)


def a_plan(*stages: Stage, model: nn.Module | None = None) -> Plan:
    """Seeded like a fit: random states first, then the weights drawn from them."""
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    return Plan(model=model or network(), stages=stages, predict=lambda *_: None)


def fit(plan: Plan, folder: Path | None = None, **given) -> tuple[list, dict]:
    arguments = {
        key: given.pop(key) for key in ("keep_every", "validate", "observe", "higher_is_better") if key in given
    }
    if value_of := arguments.get("validate"):
        arguments["validate"] = lambda model, last: {"metric": value_of(model)}
    return train(plan, loop=LoopOptions(**given), device=CPU, folder=folder, **arguments)


def by_hand(plan: Plan, accumulate=1, clip=None, ema=None, precision=None) -> nn.Module:
    """The loop a user would write; with `ema` the averaged weights in the end."""
    model = plan.model
    for stage in plan.stages:
        optimizer, average = stage.optimizer(model), None
        steps = -(-len(stage.batches(0)) // accumulate)
        schedule = stage.schedule(optimizer, stage.epochs, steps) if stage.schedule else None
        for epoch in range(stage.epochs):
            batches = stage.batches(epoch)
            for start in range(0, len(batches), accumulate):
                window = batches[start : start + accumulate]
                for batch in window:
                    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                        terms = stage.losses(model, batch)
                    loss = sum(terms.values())
                    (loss * len(batch[0]) / sum(len(each[0]) for each in window)).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                model.zero_grad()
                new = [parameter.detach().clone() for parameter in model.parameters()]
                average = (
                    [ema * a + (1 - ema) * p for a, p in zip(average, new, strict=True)] if average and ema else new
                )
                if schedule and stage.schedule_per == "step":
                    schedule.step()
            if schedule and stage.schedule_per == "epoch":
                schedule.step()
        with torch.no_grad():
            for parameter, kept in zip(model.parameters(), average, strict=True):
                parameter.copy_(kept)
    return model


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


PER_EPOCH = {"schedule": lambda o, epochs, _: CosineAnnealingLR(o, epochs), "schedule_per": "epoch"}


@pytest.mark.parametrize(
    ("parts", "settings"),
    [
        ({}, {}),
        ({}, {"accumulate": 4}),
        ({}, {"clip": 0.05}),
        ({"schedule": one_cycle}, {}),
        ({"schedule": one_cycle}, {"accumulate": 4, "clip": 0.05}),
        (PER_EPOCH, {}),
        ({}, {"precision": "bfloat16"}),
    ],
    ids=["plain", "accumulate", "clip", "per_step", "all", "per_epoch", "bfloat16"],
)
def test_training_is_the_loop_written_by_hand(parts, settings):
    def make():
        return a_plan(a_stage(**parts))

    expected, plan = by_hand(make(), **settings), make()
    before = {name: value.clone() for name, value in plan.model.state_dict().items()}
    fit(plan, **settings)
    assert_same(plan.model, expected)
    assert all(not torch.equal(before[name], value) for name, value in plan.model.named_parameters())


def test_a_look_at_the_metric_and_an_observer_disturb_nothing():
    """Evaluation mode, drawn numbers and gradient norms leave no trace in dropout, batch statistics or weights."""

    def validate(model):
        model.eval()
        torch.rand(3), np.random.rand(3), random.random()
        with torch.no_grad():
            return float(model(POINTS).mean())

    def noisy(model, batch):
        return two_terms(model, (batch[0] + np.random.normal() + random.random(), batch[1]))

    expected, plan = by_hand(a_plan(a_stage(losses=noisy))), a_plan(a_stage(losses=noisy))
    fit(plan, validate=validate, observe=lambda _: None)
    assert_same(plan.model, expected)


def in_order(size: int) -> list:
    return list(zip(POINTS[:20].split(size), LABELS[:20].split(size), strict=True))


def test_accumulation_equals_the_big_batch():
    """Without batch statistics and dropout, 4 batches of 5 rows are one of 20, and so are 8, 8 and 4 rows."""
    plain = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    start = {name: value.clone() for name, value in plain.state_dict().items()}

    def sgd(model):
        return torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)

    def trained(size, accumulate):
        plain.load_state_dict(start)
        stage = a_stage(batches=lambda epoch: in_order(size), optimizer=sgd)
        history, _ = fit(a_plan(stage, model=plain), accumulate=accumulate)
        return history, [parameter.detach().clone() for parameter in plain.parameters()]

    (big, expected), (small, found), (_, ragged) = trained(20, 1), trained(5, 4), trained(8, 3)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ragged, expected, rtol=1e-5, atol=1e-6)
    assert [row["steps"] for row in small] == [row["steps"] for row in big] == [1, 1, 1]
    assert [row["samples"] for row in small] == [20, 20, 20]


def test_a_ragged_last_window_weighs_samples_equally():
    plan = a_plan(a_stage(epochs=1))
    history, _ = fit(plan, accumulate=4)
    assert (history[0]["steps"], history[0]["samples"]) == (2, 22)
    assert_same(plan.model, by_hand(a_plan(a_stage(epochs=1)), accumulate=4))


def test_the_moving_average_is_the_one_computed_by_hand():
    plan = a_plan(a_stage())
    fit(plan, ema=0.8)
    expected = dict(by_hand(a_plan(a_stage()), ema=0.8).named_parameters())
    for name, parameter in plan.model.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-5, atol=1e-7)
    live = a_plan(a_stage())
    fit(live)
    assert not torch.equal(plan.model[0].weight, live.model[0].weight)
    assert torch.equal(plan.model[1].running_mean, live.model[1].running_mean)


def test_the_moving_average_is_what_is_validated_and_saved(tmp_path):
    seen = []
    plan = a_plan(a_stage(epochs=2))
    fit(plan, tmp_path, ema=0.9, validate=lambda model: seen.append(model[0].weight.detach().clone()) or 0.0)
    assert torch.equal(seen[-1], plan.model[0].weight)
    again = network()
    checkpoints.load_weights(checkpoints.list_checkpoints(tmp_path)[0], again)
    assert torch.equal(again[0].weight, seen[0])


def last_layer(model):
    return torch.optim.AdamW(model[-1].parameters(), 0.1, weight_decay=0.5)


def test_what_the_optimizer_does_not_hold_stays():
    plan = a_plan(a_stage(optimizer=last_layer))
    before = {name: value.detach().clone() for name, value in plan.model.named_parameters()}
    _, facts = fit(plan, clip=1.0)
    changed = {name for name, value in plan.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"4.weight", "4.bias"} == set(facts["only"]["held"])
    assert set(facts["only"]["trainable"]) == set(before)


def test_what_was_frozen_stays_frozen_though_the_optimizer_holds_it():
    def frozen():
        model = network()
        model[0].requires_grad_(False)
        return model

    plan = a_plan(a_stage(), model=frozen())
    before = plan.model[0].weight.clone()
    _, facts = fit(plan)
    assert torch.equal(plan.model[0].weight, before)
    assert facts["only"]["without_gradient"] == []


def two_stages(**parts) -> tuple[Stage, Stage]:
    first = a_stage("body", 3, optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.05, momentum=0.9), **parts)
    return first, a_stage("head", 2, size=8, optimizer=last_layer)


def test_two_stages_follow_each_other():
    expected, plan = by_hand(a_plan(*two_stages())), a_plan(*two_stages())
    history, facts = fit(plan)
    assert_same(plan.model, expected)
    assert [(row["stage"], row["epoch"]) for row in history] == [
        ("body", 1),
        ("body", 2),
        ("body", 3),
        ("head", 1),
        ("head", 2),
    ]
    assert list(facts) == ["body", "head"]
    assert all(parameter.requires_grad == name.startswith("4.") for name, parameter in plan.model.named_parameters())


def test_a_stage_that_optimizes_what_requires_gradients_trains_what_an_earlier_one_froze():
    def all_that_learn(model):
        return torch.optim.SGD([each for each in model.parameters() if each.requires_grad], 0.05)

    def half_frozen():
        plan = a_plan(a_stage("head", optimizer=last_layer), a_stage("body", optimizer=all_that_learn))
        plan.model[0].requires_grad_(False)
        return plan

    expected, plan = by_hand(half_frozen()), half_frozen()
    _, facts = fit(plan)
    learn = {name for name, _ in plan.model.named_parameters() if not name.startswith("0.")}
    assert set(facts["body"]["held"]) == learn > set(facts["head"]["held"])
    assert_same(plan.model, expected)


def test_history_tells_losses_norms_and_rates():
    """With rate 0 the weights stay, so that the losses of an epoch and the first batch's gradients can be computed."""
    still = a_stage(
        epochs=1,
        optimizer=lambda m: torch.optim.SGD(
            [{"params": m[0].parameters()}, {"params": m[4].parameters(), "lr": 0.0}], 0.0
        ),
    )
    plan = a_plan(still, model=network(dropout=0.0))
    row = fit(plan)[0][0]
    sums, norms = {"cross_entropy": 0.0, "size": 0.0}, {}
    for number, batch in enumerate(still.batches(0)):
        terms = two_terms(plan.model, batch)
        for name, term in terms.items():
            sums[name] += term.item() * len(batch[0])
            if number == 0:
                held = [*plan.model[0].parameters(), *plan.model[4].parameters()]
                gradients = torch.autograd.grad(term, held, retain_graph=True)
                norms[name] = sum(gradient.square().sum() for gradient in gradients).sqrt().item()
    assert row["loss"] == pytest.approx({name: value / 22 for name, value in sums.items()}, rel=1e-6)
    assert row["gradient_norm"] == pytest.approx(norms, rel=1e-5)
    assert row["learning_rate"] == {"0": 0.0, "1": 0.0}
    assert (row["samples"], row["steps"]) == (22, 6)


def scripted(scores: list[float]) -> Callable[[nn.Module], float]:
    remaining = iter(scores)
    return lambda model: next(remaining)


@pytest.mark.parametrize("sign", [1, -1])
def test_patience_stops_after_the_best_and_ties_go_to_the_first(sign):
    scores = [sign * score for score in (0.5, 0.7, 0.7, 0.6, 0.9)]
    plan = a_plan(a_stage(epochs=5))
    better = sign == 1
    history, _ = fit(plan, select="best", patience=2, validate=scripted(scores), higher_is_better=better)
    assert [row["metric"] for row in history] == scores[:4]
    assert select_epoch(history, "best", better)["epoch"] == 2
    assert select_epoch(history, "last", better)["epoch"] == 4


def test_the_metric_is_looked_at_every_so_often_and_at_the_end():
    history, _ = fit(a_plan(a_stage(epochs=5)), validate_every=2, validate=scripted([0.1, 0.3, 0.2]))
    assert [row["metric"] for row in history] == [None, 0.1, None, 0.3, 0.2]
    assert select_epoch(history, "best", True)["epoch"] == 4


def test_patience_does_not_run_out_between_two_looks():
    scores = [0.1, 0.2, 0.3, 0.4]
    history, _ = fit(a_plan(a_stage(epochs=12)), select="best", patience=2, validate_every=3, validate=scripted(scores))
    assert len(history) == 12


def test_chosen_looks_at_the_last_stage_alone():
    history = [{"stage": "a", "epoch": 1, "metric": 0.9}, {"stage": "b", "epoch": 1, "metric": 0.5}]
    assert select_epoch([*history, {"stage": "b", "epoch": 2, "metric": 0.4}], "best", True) is history[1]
    unscored = [{"stage": "b", "epoch": epoch, "metric": None} for epoch in (1, 2)]
    assert select_epoch(unscored, "best", True) is unscored[1]


def watched(losses_by_epoch: list[float], alarm: str = "") -> Callable[[nn.Module], dict[str, Monitored]]:
    losses = iter(losses_by_epoch)
    return lambda model: {
        "held_back_loss": Monitored(next(losses), higher_is_better=False, alarm=alarm),
        "spread": Monitored(0.5),
    }


def test_an_epoch_can_be_chosen_by_what_the_plan_monitors_and_its_weights_are_kept(tmp_path):
    plan = replace(a_plan(a_stage(epochs=5)), monitor=watched([0.5, 0.2, 0.2, 0.4, 0.6], "gray"))
    history, _ = fit(plan, tmp_path, select="held_back_loss", validate=scripted([0.1, 0.2, 0.3, 0.9, 0.4]))
    assert history[1]["monitored"]["held_back_loss"] == {"value": 0.2, "higher_is_better": False, "alarm": "gray"}
    assert select_epoch(history, "held_back_loss", True)["epoch"] == 2
    assert weights_in(tmp_path) == ["only_epoch_002", "only_epoch_004", "only_epoch_005"]


def test_patience_follows_what_an_epoch_is_chosen_by():
    plan = replace(a_plan(a_stage(epochs=5)), monitor=watched([0.2, 0.3, 0.4, 0.1, 0.1]))
    history, _ = fit(plan, select="held_back_loss", patience=2, validate=scripted([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert len(history) == 3


@pytest.mark.parametrize("select", ["held_back_los", "spread"])
def test_a_measure_nobody_monitors_is_refused_after_the_first_epoch(select):
    plan = replace(a_plan(a_stage(epochs=5)), monitor=watched([0.2, 0.3]))
    with pytest.raises(GoldfoldError) as error:
        fit(plan, select=select, validate=scripted([0.1]))
    assert error.value.code == "unknown_select"
    assert f"'{select}'" in str(error.value)
    assert "held_back_loss" in str(error.value)


def test_what_is_monitored_disturbs_nothing_and_runs_without_gradients_in_evaluation_mode():
    def monitor(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.rand(3), np.random.rand(3), random.random()
        return {"drawn": Monitored(1.0)}

    expected, plan = by_hand(a_plan(a_stage())), replace(a_plan(a_stage()), monitor=monitor)
    fit(plan, validate=lambda model: 0.0)
    assert_same(plan.model, expected)


class StoppedError(Exception):
    pass


def stop_after(epochs: int) -> Callable:
    seen = []

    def observe(progress):
        if progress.row:
            seen.append(progress.row)
            if len(seen) == epochs:
                raise StoppedError

    return observe


def noisy_terms(model: nn.Module, batch: tuple) -> dict:
    noise = np.random.normal() + random.random()
    return two_terms(model, (batch[0] + noise * torch.randn_like(batch[0]), batch[1]))


HARD = {"accumulate": 4, "ema": 0.7, "clip": 1.0}


def hard_plan() -> Plan:
    return a_plan(*two_stages(schedule=one_cycle, losses=noisy_terms))


def mean_score(model: nn.Module) -> float:
    model.eval()
    with torch.no_grad():
        return float(model(POINTS).mean())


def hard_fit(folder: Path | None, **given):
    plan = hard_plan()
    history, facts = fit(plan, folder, validate=mean_score, **HARD, **given)
    for row in history:
        row.pop("seconds")
    return plan.model, json.loads(json.dumps(history)), json.loads(json.dumps(facts))


@pytest.fixture(scope="module")
def uninterrupted():
    return hard_fit(None)


def assert_equal_fits(found, expected):
    assert_same(found[0], expected[0])
    assert found[1:] == expected[1:]


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_an_interrupted_fit_ends_with_the_same_bits(epochs, uninterrupted, tmp_path):
    """Dropout, one cycle, averaging, accumulation, noise from all three generators, and two stages."""
    with pytest.raises(StoppedError):
        hard_fit(tmp_path, observe=stop_after(epochs))
    told = []
    found = hard_fit(tmp_path, observe=told.append)
    assert_equal_fits(found, uninterrupted)
    assert sum(progress.row is not None for progress in told) == 5 - epochs


def test_interrupted_in_every_epoch(uninterrupted, tmp_path):
    for _ in range(5):
        with pytest.raises(StoppedError):
            hard_fit(tmp_path, observe=stop_after(1))
    assert_equal_fits(hard_fit(tmp_path), uninterrupted)


def test_a_finished_fit_is_over_with_the_same_bits_and_without_an_optimizer(uninterrupted, tmp_path):
    assert_equal_fits(hard_fit(tmp_path, keep_every=True), uninterrupted)
    states, expected = sorted(tmp_path.glob("*.training.pt")), torch.rand(3)
    weights, before = weights_in(tmp_path), sum(path.stat().st_size for path in states)
    for _ in range(2):
        checkpoints.finish(tmp_path)
        assert list(tmp_path.glob("*.training.pt")) == [tmp_path / "head_epoch_002.training.pt"]
        found = hard_fit(tmp_path, keep_every=True, observe=lambda progress: pytest.fail("it was trained again"))
        assert_equal_fits(found, uninterrupted)
        assert torch.equal(torch.rand(3), expected), "what finishes a plan may draw random numbers"
    assert states[-1].stat().st_size < before / 2
    assert weights_in(tmp_path) == weights


def test_a_finished_fit_is_over_for_a_rule_that_would_train_on(tmp_path):
    """As for an epoch that is named after patience ended a fit: no optimizer is left to go on with."""
    stage, scores = a_stage(epochs=6), scripted([0.5, 0.1, 0.1])
    history, _ = fit(a_plan(stage), tmp_path, select="best", patience=2, validate=scores)
    checkpoints.finish(tmp_path)
    assert fit(a_plan(stage), tmp_path, select="3", validate=scores)[0] == history
    assert len(history) == 3


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", [".safetensors", ".training.pt"])
def test_a_damaged_newest_checkpoint_costs_one_epoch(suffix, uninterrupted, tmp_path):
    with pytest.raises(StoppedError):
        hard_fit(tmp_path, observe=stop_after(4))
    cut(tmp_path / f"head_epoch_001{suffix}")
    told = []
    assert_equal_fits(hard_fit(tmp_path, observe=told.append), uninterrupted)
    assert [(p.stage, p.epoch) for p in told if p.row] == [("head", 1), ("head", 2)]


def test_damage_to_all_states_starts_over(uninterrupted, tmp_path):
    with pytest.raises(StoppedError):
        hard_fit(tmp_path, observe=stop_after(4))
    states = list(tmp_path.glob("*.training.pt"))
    assert len(states) == 2
    for path in states:
        cut(path)
    with pytest.raises(StoppedError):
        hard_fit(tmp_path, observe=stop_after(2))
    told = []
    assert_equal_fits(hard_fit(tmp_path, observe=told.append), uninterrupted)
    assert sum(p.row is not None for p in told) == 3, "what was trained after starting over was not kept"


def test_an_altered_state_is_not_trusted(uninterrupted, tmp_path):
    with pytest.raises(StoppedError):
        hard_fit(tmp_path, observe=stop_after(2))
    path = tmp_path / "body_epoch_002.training.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert_equal_fits(hard_fit(tmp_path), uninterrupted)


def test_a_schedule_made_of_numpy_numbers_resumes(tmp_path):
    def numpy_cosine(optimizer, epochs, steps):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: np.cos(step / (epochs * steps)))

    def make():
        return a_plan(a_stage(schedule=numpy_cosine))

    expected, plan = make(), make()
    fit(expected)
    with pytest.raises(StoppedError):
        fit(make(), tmp_path, observe=stop_after(1))
    fit(plan, tmp_path)
    assert_same(plan.model, expected.model)


def weights_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def test_debug_keeps_every_epoch_and_else_best_last_and_a_spare(tmp_path):
    scores = [0.1, 0.9, 0.2, 0.3, 0.4, 0.5]
    for keep in (True, False):
        fit(a_plan(a_stage(epochs=6)), tmp_path / str(keep), keep_every=keep, validate=scripted(scores))
    assert weights_in(tmp_path / "True") == [f"only_epoch_00{epoch}" for epoch in range(1, 7)]
    assert weights_in(tmp_path / "False") == ["only_epoch_002", "only_epoch_005", "only_epoch_006"]
    assert sorted(path.name for path in (tmp_path / "False").glob("*.pt")) == [
        "only_epoch_005.training.pt",
        "only_epoch_006.training.pt",
    ]


def broken_at(epoch: int, batch: int, term: str, value: float = float("nan")) -> Stage:
    """A stage whose `term` becomes `value` at one batch (both 1-based)."""
    chosen_batch = shuffled(4)(epoch - 1)[batch - 1][0]

    def losses(model, given):
        terms = two_terms(model, given)
        if torch.equal(given[0], chosen_batch):
            terms[term] = terms[term] * value
        return terms

    return a_stage(losses=losses)


@pytest.mark.parametrize(("term", "value"), [("size", float("nan")), ("cross_entropy", float("inf"))])
def test_a_loss_that_is_not_finite_stops_and_names_its_place(term, value, tmp_path):
    plan, weights = a_plan(broken_at(2, 3, term, value)), []

    def observe(progress):
        if progress.row:
            weights.append(plan.model[0].weight.detach().clone())

    with pytest.raises(GoldfoldError) as error:
        fit(plan, tmp_path, observe=observe)
    assert error.value.code == "loss_not_finite"
    assert f"loss term '{term}' is {value} at batch 3 of epoch 2 of stage 'only'" in str(error.value)
    (saved,) = checkpoints.list_checkpoints(tmp_path)
    good = network()
    checkpoints.load_weights(saved, good)
    assert torch.equal(good[0].weight, weights[0])
    assert good[0].weight.isfinite().all()


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The square root has a finite value and an infinite slope at 0: the loss looks well until the next epoch."""

    def losses(model, batch):
        return {"root": (model(batch[0]) * 0).abs().sqrt().sum()}

    with pytest.raises(GoldfoldError) as error:
        fit(a_plan(a_stage(losses=losses, batches=shuffled(22))), tmp_path)
    assert error.value.code == "weights_not_finite"
    assert "epoch 1 of stage 'only'" in str(error.value)
    assert checkpoints.list_checkpoints(tmp_path) == []


@pytest.mark.parametrize("where", ["losses", "optimizer"])
def test_out_of_memory_suggests_half_the_batch(where):
    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    class Greedy(torch.optim.SGD):
        step = exhausted

    parts = {"losses": exhausted} if where == "losses" else {"optimizer": lambda m: Greedy(m.parameters(), 0.1)}
    with pytest.raises(GoldfoldError) as error:
        fit(a_plan(a_stage(**parts)))
    assert error.value.code == "out_of_memory"
    assert "batch of 4" in str(error.value)
    assert "batch_size=2" in str(error.value)


def test_memory_refused_by_the_cpu_says_so_too():
    with pytest.raises(GoldfoldError) as error:
        fit(a_plan(a_stage(losses=lambda *_: torch.empty(2**62, dtype=torch.uint8))))
    assert error.value.code == "out_of_memory"
    assert "batch of 4" in str(error.value)
    assert "batch_size=2" in str(error.value)


def test_other_errors_of_a_loss_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        fit(a_plan(a_stage(losses=lambda model, batch: {"x": model(batch[0][:, :2]).sum()})))
    assert not isinstance(caught.value, GoldfoldError)


@pytest.mark.parametrize("batches", [lambda epoch: [], shuffled(4, rows=0)])
def test_a_stage_without_batches_is_refused(batches):
    with pytest.raises(GoldfoldError) as error:
        fit(a_plan(a_stage(batches=lambda epoch: batches(epoch) and [])))
    assert error.value.code == "stage_without_batches"
    assert "stage 'only'" in str(error.value)


def test_two_stages_of_one_name_are_refused():
    with pytest.raises(GoldfoldError) as error:
        fit(a_plan(a_stage("same"), a_stage("same")))
    assert error.value.code == "stage_names_not_unique"
    assert "same, same" in str(error.value)


def test_a_loss_that_changes_its_terms_is_refused():
    def losses(model, batch):
        terms = two_terms(model, batch)
        return dict(reversed(terms.items())) if len(batch[0]) == 2 else terms

    with pytest.raises(GoldfoldError) as error:
        fit(a_plan(a_stage(losses=losses)))
    assert error.value.code == "loss_terms_changed"
    assert "cross_entropy, size" in str(error.value)


def test_batch_rows_is_the_first_tensors_length():
    x = torch.zeros(4, 2)
    assert batch_rows(x) == batch_rows((x, 1)) == batch_rows({"pair": [x, x]}) == 4
    assert batch_rows({"sizes": np.arange(3), "x": x}) == 4


def experiment(folder: Path, plan: Plan, **loop) -> Experiment:
    """Two folds of four rows, any prediction scored 1."""
    metric = Metric(name="x", score=lambda *_: 1.0, higher_is_better=True, bounds=(0, 1), chance=lambda _: 0.0)
    parts = dict.fromkeys(("prepare", "load", "split", "submission"))
    rows = pd.DataFrame({"id": range(4)})
    return Experiment(
        competition=Competition(slug="x", metric=metric, targets=(), recipes={}, **parts),
        recipe=Recipe(params=Params, build=lambda *_: plan),
        params=Params(),
        loop=LoopOptions(**loop),
        protocol=Protocol(),
        tables=Tables(train=rows, test=rows, sample_submission=rows),
        folds=[Fold(np.array([0, 1]), np.array([2, 3])), Fold(np.array([2, 3]), np.array([0, 1]))],
        runtime=Runtime(seed=0, device=CPU, cache=folder),
    )


def test_an_estimator_is_fitted_once_a_fold(tmp_path):
    fitted = []
    plan = Plan(finish=lambda _: fitted.append(1), predict=lambda model, finished, rows: np.zeros(len(rows)))
    assert len(list(cross_validate(experiment(tmp_path, plan), tmp_path))) == len(fitted) == 2


def test_the_observer_of_a_cross_validation_hears_of_every_epoch_of_every_fit(tmp_path):
    told = []
    plan = Plan(model=network(), stages=[a_stage()], predict=lambda model, _, rows: np.zeros(len(rows)))
    fits = list(cross_validate(experiment(tmp_path, plan), tmp_path, lambda *heard: told.append(heard)))
    ends = [(fold, seed, progress) for fold, seed, progress in told if progress.row]
    assert [(fold, seed, progress.epoch) for fold, seed, progress in ends] == [
        (fold, 0, epoch) for fold in (0, 1) for epoch in (1, 2, 3)
    ]
    assert [progress.done for _, _, progress in ends] == pytest.approx([1 / 3, 2 / 3, 1] * 2)
    assert [progress.row for _, _, progress in ends] == [row for fit in fits for row in fit.history]


def test_finish_and_predict_see_one_precision(tmp_path):
    """A feature bank and the features looked up in it are computed alike."""
    seen = []

    def features(model):
        with torch.no_grad():
            seen.append(model(POINTS).dtype)

    def predict(model, finished, rows):
        seen.append(model(POINTS).dtype)
        return np.zeros(len(rows))

    plan = Plan(model=network(), stages=[a_stage(epochs=1)], finish=features, predict=predict)
    list(cross_validate(experiment(tmp_path, plan, precision="bfloat16"), tmp_path))
    assert set(seen) == {torch.bfloat16}


def test_a_plan_whose_stages_have_no_epochs_predicts_untrained(tmp_path):
    plan = Plan(model=network(), stages=[a_stage(epochs=0)], predict=lambda model, _, rows: np.zeros(len(rows)))
    assert [fit.epoch for fit in cross_validate(experiment(tmp_path, plan), tmp_path)] == [None, None]


def test_caches_made_while_predicting_do_not_break_training(tmp_path):
    """Some models keep position tables from their last call; those must not be inference tensors."""

    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.table = nn.Linear(6, 3), None

        def forward(self, x):
            if self.table is None:
                self.table = torch.ones(3) * 2
            return self.layer(x) * self.table

    def predict(model, _, rows):
        model.table = None
        return model(POINTS[: len(rows)]).numpy()

    plan = Plan(model=Caching(), stages=[a_stage()], predict=predict)
    assert len(list(cross_validate(experiment(tmp_path, plan), tmp_path))) == 2


DISK_FULL = """
    import resource, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from test_loop import a_plan, a_stage, fit
    from goldfold.errors import GoldfoldError

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(progress):
        if progress.row and progress.row["epoch"] == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    try:
        fit(a_plan(a_stage(epochs=4)), Path(sys.argv[1]), observe=fill)
    except GoldfoldError as error:
        print(error)
"""


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    """The file system refuses to write beyond 1,000 bytes after the second epoch."""
    command = [sys.executable, "-c", textwrap.dedent(DISK_FULL), str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "could not save" in done.stdout
    assert "only_epoch_003" in done.stdout
    assert "Free disk space" in done.stdout
    assert weights_in(tmp_path) == ["only_epoch_001", "only_epoch_002"]
    assert not list(tmp_path.glob("*.partial"))
    expected, plan = a_plan(a_stage(epochs=4)), a_plan(a_stage(epochs=4))
    fit(expected)
    told = []
    fit(plan, tmp_path, observe=told.append)
    assert [p.epoch for p in told if p.row] == [3, 4]
    assert_same(plan.model, expected.model)


def train_in_my_share(folder: Path) -> None:
    """The same fit in one process or in each of several; leaves weights and metrics in `folder`."""
    plan = a_plan(
        a_stage(batches=in_memory((POINTS[:20], LABELS[:20]), 8, seed=0)),
        model=nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)),
    )
    with torch.no_grad():
        for parameter in plan.model.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    history, _ = fit(plan, folder / "fit", accumulate=2, clip=1.0, validate=mean_score)
    seen = [[row["metric"], row["samples"], *row["loss"].values()] for row in history]
    torch.save([plan.model.state_dict(), seen], folder / f"rank{rank_and_world_size()[0]}.pt")


def train_a_part_no_loss_reaches() -> None:
    model = nn.ModuleDict({"used": nn.Linear(6, 3), "idle": nn.Linear(6, 3)})
    model.forward = lambda points: model["used"](points)
    stage = a_stage(
        batches=in_memory((POINTS[:20], LABELS[:20]), 4, seed=0),
        losses=lambda model, batch: {"cross_entropy": F.cross_entropy(model(batch[0]), batch[1])},
    )
    with pytest.raises(GoldfoldError) as error:
        fit(a_plan(stage, model=model))
    assert error.value.code == "parameters_unused"


def cross_validate_where_the_writer_comes_last(folder: Path) -> None:
    def predict(model, _, rows):
        for _ in range(300 if rank_and_world_size()[0] == 0 else 1):
            torch.linalg.svd(torch.ones(100, 100))
        return np.zeros(len(rows))

    plan = Plan(predict=predict)
    assert [fit.fold for fit in cross_validate(experiment(folder, plan), folder / "run")] == [0, 1]


DISTRIBUTED = """
    import sys
    from pathlib import Path
    import torch.distributed as dist
    sys.path.insert(0, sys.argv[2])
    from test_loop import cross_validate_where_the_writer_comes_last, train_a_part_no_loss_reaches
    from test_loop import train_in_my_share

    dist.init_process_group("gloo")
    train_in_my_share(Path(sys.argv[1]))
    cross_validate_where_the_writer_comes_last(Path(sys.argv[1]))
    train_a_part_no_loss_reaches()
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_like_one(tmp_path):
    """The whole batch in one process, or half of it in each of two: equal weights, and each process reads every fit."""
    script, alone, both = tmp_path / "script.py", tmp_path / "alone", tmp_path / "both"
    script.write_text(textwrap.dedent(DISTRIBUTED))
    alone.mkdir(), both.mkdir()
    train_in_my_share(alone)
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--local-addr", "127.0.0.1"]
    command = [sys.executable, "-m", *launcher, "--rdzv-endpoint", "127.0.0.1:0", str(script), str(both)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*command, str(Path(__file__).parent)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    expected, rows = torch.load(alone / "rank0.pt")
    for rank in (0, 1):
        found, seen = torch.load(both / f"rank{rank}.pt")
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
        for row, wanted in zip(seen, rows, strict=True):
            assert row == pytest.approx(wanted, abs=1e-6)


def test_averaging_is_torchs_own():
    """The hand-computed average above, against AveragedModel fed by hand."""
    plan = a_plan(a_stage(epochs=1))
    average = AveragedModel(plan.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    optimizer = plan.stages[0].optimizer(plan.model)
    for batch in plan.stages[0].batches(0):
        sum(two_terms(plan.model, batch).values()).backward()
        optimizer.step(), optimizer.zero_grad()
        average.update_parameters(plan.model)
    again = a_plan(a_stage(epochs=1))
    fit(again, ema=0.5)
    assert_same(again.model, average.module)


def test_what_a_stage_calls_unlearned_is_asked_once_and_disturbs_nothing(tmp_path):
    """The question draws random numbers, and puts the model's batch statistics and weights out."""
    asked = []

    def untrained_loss(model: nn.Module) -> dict[str, UntrainedLoss]:
        asked.append(model.training)
        model(POINTS + torch.rand(())).sum()
        nn.init.zeros_(model[0].weight)
        return {"cross_entropy": UntrainedLoss(1.1, 0.01)}

    plain = a_plan(a_stage(epochs=2))
    history, facts = fit(plain)
    told = a_plan(a_stage(epochs=2, untrained_loss=untrained_loss))
    other, noted = fit(told, tmp_path)
    assert [row["loss"] for row in other] == [row["loss"] for row in history]
    assert all(
        torch.equal(one, two) for one, two in zip(plain.model.parameters(), told.model.parameters(), strict=True)
    )
    assert noted["only"].pop("untrained_loss") == {"cross_entropy": [1.1, 0.01]}
    assert noted == facts
    longer = a_plan(a_stage(epochs=3, untrained_loss=untrained_loss))
    assert fit(longer, tmp_path)[1]["only"]["untrained_loss"] == {"cross_entropy": [1.1, 0.01]}
    assert asked == [True]  # the second training went on where the first ended
