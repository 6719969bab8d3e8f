"""Averages of epochs against torch's own: weights, BatchNorm statistics, greedy soups, and resumed fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from error_codes import raises_code
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from goldfold.competition import Plan, Stage
from goldfold.optional_parts import Monitored
from goldfold.training import checkpoints
from goldfold.training.averaging import Averaging, average, estimate_batch_norm
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

CPU = torch.device("cpu")
RATE = 0.3
X = torch.randn(48, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
Y = (X.sum(1) > 4).float()
BATCHES = list(zip(X.split(12), Y.split(12), strict=True))


def losses(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"bce": F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])}


def plan(monitor: Callable | None = None) -> Plan:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
    stage = Stage(
        name="fit",
        epochs=6,
        batches=lambda epoch: BATCHES,
        losses=losses,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), RATE),
    )
    return Plan(model=model, stages=[stage], predict=lambda *_: None, monitor=monitor)


def validate(model: nn.Module, last: bool = False) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        return {"loss": float(losses(model, (X[::2], Y[::2]))["bce"])}


def fitted(folder: Path, monitor: Callable | None = None, **loop) -> Averaging:
    """A trained fit with all its epochs."""
    given, options = plan(monitor), LoopOptions(**loop)
    train(given, loop=options, device=CPU, folder=folder, keep_every=True, validate=validate, higher_is_better=False)
    return Averaging(given, options, folder, validate, higher_is_better=False)


def weights(folder: Path, epoch: int) -> dict[str, Tensor]:
    known = {each.row["epoch"]: each for each in checkpoints.list_checkpoints(folder)}
    return checkpoints.read_weights(known[epoch])


def torchs_average(folder: Path, epochs: list[int]) -> nn.Module:
    """The average that torch computes from the saved epochs, with statistics by its `update_bn`."""
    model = plan().model
    averaged = AveragedModel(model)
    for epoch in epochs:
        model.load_state_dict(weights(folder, epoch))
        averaged.update_parameters(model)
    update_bn(BATCHES, averaged)
    return averaged.module


def same(one: nn.Module, other: nn.Module) -> None:
    for (name, value), wanted in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(value, wanted, msg=name)


def test_an_average_of_epochs_is_torchs(tmp_path):
    given = fitted(tmp_path, average=(2, 4, 6))
    wanted = torchs_average(tmp_path, [2, 4, 6])
    assert average(given, 6) == 6
    same(given.plan.model, wanted)
    loaded = plan().model
    checkpoints.load_weights(checkpoints.list_checkpoints(tmp_path)[-1], loaded)
    same(loaded, wanted)


def test_the_last_epochs_are_those_before_the_end(tmp_path):
    given = fitted(tmp_path, average=3)
    wanted = torchs_average(tmp_path, [4, 5, 6])
    average(given, 6)
    same(given.plan.model, wanted)


def test_averaging_again_averages_nothing_twice(tmp_path):
    given = fitted(tmp_path, average=(5, 6))
    average(given, 6)
    first = {name: value.clone() for name, value in given.plan.model.state_dict().items()}
    average(given, 6)
    assert all(torch.equal(value, first[name]) for name, value in given.plan.model.state_dict().items())
    with raises_code("epoch_averaged", "[5, 6]"):
        average(Averaging(given.plan, LoopOptions(average=(4, 6)), tmp_path, validate, False), 6)


def test_a_greedy_soup_keeps_what_does_not_harm(tmp_path):
    """By a value that is best for the average of epochs 2 and 5, and for one of them among the single ones."""
    fitted(tmp_path / "first")
    ideal = (weights(tmp_path / "first", 2)["0.weight"] + weights(tmp_path / "first", 5)["0.weight"]) / 2

    def monitor(model: nn.Module) -> dict[str, Monitored]:
        return {"distance": Monitored(float((model[0].weight - ideal).norm()), higher_is_better=False)}

    given = fitted(tmp_path / "second", monitor, average=(2, 5, 6), average_by="distance")
    wanted = torchs_average(tmp_path / "second", [2, 5])
    assert average(given, 6) == 6
    newest = checkpoints.list_checkpoints(tmp_path / "second")[-1]
    assert newest.row["averaged"] == {"of": {"epochs": [2, 5, 6], "by": "distance"}, "used": [2, 5]}
    same(given.plan.model, wanted)


def test_an_epoch_that_was_not_kept_is_told(tmp_path):
    given = fitted(tmp_path, average=(2, 3))
    for file in tmp_path.glob("fit_epoch_002*"):
        file.unlink()
    with raises_code("epoch_not_kept", "epoch 2", "1, 3, 4, 5, 6"):
        average(given, 6)
    with raises_code("unknown_epoch", "epoch 9"):
        fitted(tmp_path / "late", average=(2, 9))


def test_epochs_to_average_are_kept(tmp_path):
    train(plan(), loop=LoopOptions(average=(1, 3)), device=CPU, folder=tmp_path, validate=validate)
    assert {1, 3, 6} <= {each.row["epoch"] for each in checkpoints.list_checkpoints(tmp_path)}


REFUSED = (
    {"average": 1},
    {"average": (3,)},
    {"average": (3, 3)},
    {"average": (0, 2)},
    {"average": 3, "select": "best"},
    {"average_by": "best"},
    {"ema_statistics": "estimated"},
)


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_averages_that_mean_nothing_are_refused(values):
    with pytest.raises(ValidationError):
        LoopOptions(**values)


def test_an_ema_with_estimated_statistics_is_torchs(tmp_path):
    """The weights of torch's EMA over the steps, and the statistics of its `update_bn` after the last epoch."""
    own = plan()
    train(own, loop=LoopOptions(ema=0.8, ema_statistics="estimated"), device=CPU)
    model = plan().model
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    for _ in range(6):
        for batch in BATCHES:
            optimizer.zero_grad()
            losses(model, batch)["bce"].backward()
            optimizer.step()
            averaged.update_parameters(model)
    copied = averaged.module[1].running_mean.clone()
    update_bn(BATCHES, averaged)
    same(own.model, averaged.module)
    assert not torch.allclose(copied, averaged.module[1].running_mean, atol=1e-3)


def test_statistics_are_estimated_without_a_trace(tmp_path):
    own = plan()
    before = torch.get_rng_state(), [value.clone() for value in own.model.parameters()]
    own.model.eval()
    estimate_batch_norm(own.model, own.stages[0], "float32")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(torch.equal(*pair) for pair in zip(own.model.parameters(), before[1], strict=True))
    assert not own.model.training
    assert own.model[1].momentum == 0.1
    assert all(value.grad is None for value in own.model.parameters())
