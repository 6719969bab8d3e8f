"""Fits trained as one stacked model against the same fits one by one: weights, history, checkpoints and kills."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold import metrics, schedules
from goldfold.batches import in_memory, side_by_side
from goldfold.competition import Competition, Fold, MeanOverRows, Plan, Recipe, Runtime, Stage, Tables
from goldfold.engine import checkpoints, stacked
from goldfold.engine.crossval import cross_validate
from goldfold.engine.fits import CHECKPOINTS, Experiment, Fit, Protocol, fit_folder
from goldfold.engine.loop import Loop
from goldfold.engine.training import Progress
from goldfold.errors import GoldfoldError
from goldfold.params import Params
from goldfold.recipes.frozen_backbone import Head
from goldfold.trust.report import fits, record

COLUMNS = [f"x{number}" for number in range(6)]
CPU = torch.device("cpu")


class Net(Params):
    hidden: int = 8
    terms: int = 2
    dropout: float = 0.0
    batch_size: int = 16
    learning_rate: float = 0.01
    optimizer: str = "AdamW"
    norm: bool = False
    plain_losses: bool = False


def terms_of_rows(terms: int, model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    scores = model(batch[0])
    found = {
        "cross_entropy": F.cross_entropy(scores, batch[1], reduction="none"),
        "size": 0.1 * scores.square().mean(1),
        "constant": torch.ones(len(scores)),
    }
    return dict(list(found.items())[:terms])


def tensor(rows: pd.DataFrame) -> Tensor:
    return torch.tensor(rows[COLUMNS].to_numpy(), dtype=torch.float32)


def optimizer(params: Net, model: nn.Module) -> torch.optim.Optimizer:
    """Weights and vectors in groups of their own, by their number of axes, which a stack must not change."""
    grouped = {axes: [each for each in model.parameters() if each.ndim == axes] for axes in (2, 1)}
    groups = [
        {"params": grouped[2], "weight_decay": 0.3},
        {"params": grouped[1], "lr": params.learning_rate / 2, "weight_decay": 0.0},
    ]
    return getattr(torch.optim, params.optimizer)(groups, lr=params.learning_rate)


def build(params: Net, rows: pd.DataFrame, runtime: Runtime) -> Plan:
    inputs, labels = tensor(rows), torch.tensor(rows["label"].to_numpy())
    model = Head(inputs, params.hidden, 3, params.dropout)
    if params.norm:
        model = nn.Sequential(nn.BatchNorm1d(6), model)
    of_rows = partial(terms_of_rows, params.terms)
    mean = MeanOverRows(of_rows)
    stage = Stage(
        name="head",
        epochs=3,
        batches=in_memory((inputs, labels), params.batch_size, runtime.seed),
        losses=(lambda model, batch: mean(model, batch)) if params.plain_losses else mean,
        optimizer=partial(optimizer, params),
        schedule=partial(schedules.cosine, warmup=0.2),
    )
    drawn = lambda _: float(torch.rand(()))  # noqa: E731  what is drawn after training must be drawn alike, too

    def predict(model: nn.Module, offset: float, rows: pd.DataFrame) -> np.ndarray:
        return model(tensor(rows)).softmax(-1).float().numpy() * (1 - 1e-3 * offset)

    return Plan(model=model, stages=[stage], finish=drawn, predict=predict)


def experiment(
    folder: Path, n: int = 94, protocol: Protocol | None = None, loop: Loop | None = None, **params
) -> Experiment:
    """Folds of which some have one training row more than the others: 94 rows in 4 folds train on 70 or 71."""
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(n, 6))
    label = (inputs[:, :3] + 0.5 * draw.normal(size=(n, 3))).argmax(1)
    rows = pd.DataFrame(inputs, columns=COLUMNS).assign(id=range(n), label=label)
    parts = np.array_split(draw.permutation(n), 4)
    folds = [Fold(np.setdiff1d(np.arange(n), part), np.sort(part)) for part in parts]
    metric = metrics.accuracy(target="label", classes=(0, 1, 2))
    empty = dict.fromkeys(("prepare", "load", "split", "submission"))
    return Experiment(
        competition=Competition(slug="x", metric=metric, targets=("label",), recipes={}, **empty),
        recipe=Recipe(params=Net, build=build),
        params=Net(**params),
        loop=loop or Loop(),
        protocol=protocol or Protocol(),
        tables=Tables(train=rows, test=rows.drop(columns="label")[:20], sample_submission=rows),
        folds=folds,
        runtime=Runtime(seed=0, device=CPU, cache=folder),
    )


def both(folder: Path, **given) -> tuple[list[Fit], list[Fit]]:
    """The fits stacked, and one by one; each leaves its files in a folder of that name."""
    loop = given.pop("loop", Loop())
    ways = {"stacked": loop, "single": loop.model_copy(update={"stack": "never"})}
    found = [list(cross_validate(experiment(folder, loop=own, **given), folder / way)) for way, own in ways.items()]
    return found[0], found[1]


def close(found: object, expected: object) -> None:
    """Equal structures whose numbers agree within rounding."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            close(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    else:
        assert found == expected


def in_stacks(fits: list[Fit]) -> list[int | None]:
    return [fit.facts["head"].get("stacked") for fit in fits]


def without(rows: list[dict], *keys: str) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in keys} for row in rows]


def assert_equal(found: list[Fit], expected: list[Fit]) -> None:
    for mine, its in zip(found, expected, strict=True):
        assert (mine.fold, mine.seed, mine.epoch) == (its.fold, its.seed, its.epoch)
        np.testing.assert_allclose(mine.validation, its.validation, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(mine.test, its.test, rtol=1e-4, atol=1e-5)
        close(without(mine.history, "seconds"), without(its.history, "seconds"))
        facts = {stage: {k: v for k, v in noted.items() if k != "stacked"} for stage, noted in mine.facts.items()}
        close(facts, its.facts)


def saved(folder: Path, way: str, key: tuple[int, int] = (0, 0)) -> list[checkpoints.Checkpoint]:
    return checkpoints.listed(fit_folder(folder / way, *key) / CHECKPOINTS)


def weights_of(checkpoint: checkpoints.Checkpoint, hidden: int = 8) -> dict[str, Tensor]:
    model = Head(torch.zeros(2, 6), hidden, 3, 0.0)
    checkpoints.load_weights(checkpoint, model)
    return model.state_dict()


@pytest.mark.parametrize("terms", [1, 2, 3])
@pytest.mark.parametrize("hidden", [0, 8])
def test_a_stack_is_its_fits_one_by_one(tmp_path, terms, hidden):
    found, expected = both(tmp_path, terms=terms, hidden=hidden, protocol=Protocol(seeds=(0, 1)))
    assert in_stacks(found) == [8] * 8
    assert in_stacks(expected) == [None] * 8
    assert_equal(found, expected)
    assert {row["samples"] for fit in found for row in fit.history} == {70, 71}
    for key in [(fold, seed) for fold in range(4) for seed in (0, 1)]:
        mine, its = (saved(tmp_path, way, key)[-1] for way in ("stacked", "single"))
        for name, value in weights_of(its, hidden).items():
            torch.testing.assert_close(weights_of(mine, hidden)[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop", "NAdam"])
def test_other_optimizers_stack(tmp_path, optimizer):
    found, expected = both(tmp_path, optimizer=optimizer)
    assert in_stacks(found) == [4] * 4
    assert_equal(found, expected)


def test_folds_of_different_length_in_batches_that_hold_them_whole(tmp_path):
    found, expected = both(tmp_path, batch_size=500)
    assert in_stacks(found) == [2, 2, 2, 2]
    assert_equal(found, expected)


def test_fits_with_different_numbers_of_steps_are_not_mixed(tmp_path):
    """At 10 a batch, 70 rows make 7 batches and 71 rows make 8."""
    found, expected = both(tmp_path, batch_size=10)
    assert {row["steps"] for fit in found for row in fit.history} == {7, 8}
    assert in_stacks(found) == [2] * 4
    assert_equal(found, expected)


@pytest.mark.parametrize("select", ["best", "last", "2"])
def test_the_epoch_that_predicts_is_the_same_and_can_be_looked_at(tmp_path, select):
    found, expected = both(tmp_path, loop=Loop(select=select), learning_rate=0.3)
    assert_equal(found, expected)
    for fit, its in zip(found, expected, strict=True):
        rows = [checkpoint.row["epoch"] for checkpoint in saved(tmp_path, "stacked", (fit.fold, 0))]
        best = max(its.history, key=lambda row: (row["metric"], -row["epoch"]))["epoch"]
        assert {fit.epoch, best, 3} == set(rows)


def test_debug_keeps_every_epoch_of_every_fit(tmp_path):
    both(tmp_path, protocol=Protocol(debug=True))
    for fold in range(4):
        mine, its = (saved(tmp_path, way, (fold, 0)) for way in ("stacked", "single"))
        assert [each.row["epoch"] for each in mine] == [1, 2, 3]
        close(without([each.row for each in mine], "seconds"), without([each.row for each in its], "seconds"))
        for one, other in zip(mine, its, strict=True):
            close([*weights_of(one)], [*weights_of(other)])
            for name, value in weights_of(other).items():
                torch.testing.assert_close(weights_of(one)[name], value, rtol=1e-4, atol=1e-5)


def plain(state: object) -> object:
    if isinstance(state, Tensor):
        return state.double().tolist()
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items() if key not in ("seconds", "stacked")}
    return [plain(value) for value in state] if isinstance(state, list | tuple) else state


def test_the_state_of_training_beside_the_weights_is_the_fits_own(tmp_path):
    """Training goes on from it one by one: optimizer, schedule, random states, rates, history, facts."""
    both(tmp_path)
    for fold in range(4):
        folders = [fit_folder(tmp_path / way, fold, 0) / CHECKPOINTS for way in ("stacked", "single")]
        mine, its = (plain(checkpoints.newest_state(folder)[1]) for folder in folders)
        close(mine, its)
        sizes = [(folder / "head_epoch_003.training.pt").stat().st_size for folder in folders]
        assert sizes[0] == pytest.approx(sizes[1], rel=0.05), "a fit must not hold the whole stack"


def test_equal_runs_give_equal_bits(tmp_path):
    runs = [list(cross_validate(experiment(tmp_path), tmp_path / name)) for name in "ab"]
    assert in_stacks(runs[0]) == [4] * 4
    for one, other in zip(*runs, strict=True):
        assert one.test.tobytes() == other.test.tobytes()
        assert without(one.history, "seconds") == without(other.history, "seconds")


def test_the_observer_hears_of_every_epoch_of_every_fit(tmp_path):
    heard: list[tuple[int, int, Progress]] = []
    fits = list(cross_validate(experiment(tmp_path), tmp_path, lambda *told: heard.append(told)))
    assert sorted((fold, told.epoch) for fold, _, told in heard) == [(f, e) for f in range(4) for e in (1, 2, 3)]
    assert [told.done for fold, _, told in heard if fold == 0] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [told.row for fold, _, told in heard if fold == 2] == fits[2].history


@pytest.mark.parametrize(
    ("loop", "params"),
    [
        ({"stack": "never"}, {}),
        ({"clip": 0.1}, {}),
        ({"ema": 0.9}, {}),
        ({"accumulate": 2}, {}),
        ({"select": "best", "patience": 1}, {}),
        ({"precision": "bfloat16"}, {}),
        ({}, {"dropout": 0.2}),
        ({}, {"norm": True}),
        ({}, {"plain_losses": True}),
        ({}, {"optimizer": "Adafactor"}),
        ({}, {"hidden": 40_000}),
    ],
    ids=str,
)
def test_what_cannot_be_stacked_is_trained_one_by_one(tmp_path, loop, params):
    found, expected = both(tmp_path, loop=Loop(**loop), **params)
    assert in_stacks(found) == [None] * 4
    for mine, its in zip(found, expected, strict=True):
        assert mine.test.tobytes() == its.test.tobytes()
        assert mine.facts == its.facts


def over_the_batch(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    scores = model(batch[0])
    return {"centred": (scores - scores.mean(0)).square().sum(1)}


def test_losses_that_look_at_other_rows_are_found_out(tmp_path):
    plan = build(Net(), experiment(tmp_path).tables.train, Runtime(seed=0, device=CPU, cache=tmp_path))
    assert stacked.at_once(plan, Loop(), CPU, 4) == 4
    wrong = replace(plan.stages[0], losses=MeanOverRows(over_the_batch))
    assert stacked.at_once(replace(plan, stages=[wrong]), Loop(), CPU, 4) == 1


def test_a_loss_that_is_not_finite_is_told_as_one_by_one_tells_it(tmp_path):
    found = experiment(tmp_path, learning_rate=1e30)
    with pytest.raises(GoldfoldError) as one_by_one:
        list(cross_validate(replace(found, loop=Loop(stack="never")), tmp_path / "single"))
    with pytest.raises(GoldfoldError) as together:
        list(cross_validate(found, tmp_path / "stacked"))
    assert str(together.value) == str(one_by_one.value)


def test_the_record_says_how_many_fits_trained_as_one(tmp_path):
    list(cross_validate(experiment(tmp_path, batch_size=10, protocol=Protocol(seeds=(0, 1))), tmp_path))
    assert "within rounding as one by one: 8 fits in stacks of 4." in record._stacked(fits.read(tmp_path))
    list(cross_validate(experiment(tmp_path, loop=Loop(stack="never")), tmp_path / "single"))
    assert record._stacked(fits.read(tmp_path / "single")) == ""


def test_batches_side_by_side_hold_each_fits_own_rows():
    tensors = [torch.arange(start, start + n) for start, n in ((0, 9), (100, 10))]
    makers = [in_memory((each,), 4, seed) for seed, each in enumerate(tensors)]
    epochs = [maker(1) for maker in makers]
    found = list(side_by_side(epochs).batches(epochs))
    assert len(found) == 3
    for ((batch,), weights), *parts in zip(found, *epochs, strict=True):
        for own, weight, (part,) in zip(batch.view(2, 4), weights, parts, strict=True):
            assert own[: len(part)].tolist() == part.tolist()
            assert own[len(part) :].tolist() == [int(part[0])] * (4 - len(part))
            assert weight.tolist() == pytest.approx([1 / len(part)] * len(part) + [0] * (4 - len(part)))


# Killed and started again.


class KilledError(BaseException):
    pass


def killing(monkeypatch: pytest.MonkeyPatch, event: str, count: int) -> None:
    """Stop at the `count`-th checkpoint saved, fit saved, or epoch told."""
    module = {"save": checkpoints, "write_array": sys.modules["goldfold.engine.fits"]}[event]
    real, seen = getattr(module, event), []

    def struck(*arguments, **named):
        seen.append(1)
        if len(seen) == count:
            raise KilledError
        return real(*arguments, **named)

    monkeypatch.setattr(module, event, struck)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    ("event", "count"), [("save", 1), ("save", 3), ("save", 6), ("write_array", 2), ("write_array", 5)]
)
def test_a_killed_stack_ends_with_the_same_bits(tmp_path, monkeypatch, debug, event, count):
    found = experiment(tmp_path, protocol=Protocol(debug=debug), loop=Loop(select="best"), learning_rate=0.3)
    expected = list(cross_validate(found, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        killing(patch, event, count)
        with pytest.raises(KilledError):
            list(cross_validate(found, tmp_path / "killed"))
    again = list(cross_validate(found, tmp_path / "killed"))
    for one, other in zip(again, expected, strict=True):
        assert one.test.tobytes() == other.test.tobytes()
        assert one.validation.tobytes() == other.validation.tobytes()
        assert without(one.history, "seconds") == without(other.history, "seconds")
        assert one.epoch == other.epoch
        mine, its = (saved(tmp_path, way, (one.fold, 0)) for way in ("killed", "whole"))
        assert [each.row["epoch"] for each in mine] == [each.row["epoch"] for each in its]
        for left, right in zip(mine, its, strict=True):
            assert all(torch.equal(value, weights_of(right)[name]) for name, value in weights_of(left).items())
