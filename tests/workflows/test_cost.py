"""The forecast of what a run costs, printed after its first epoch, and what is refused as too slow."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from error_codes import raises_code
from torch import nn

from goldfold.competition import Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import build_plan
from goldfold.experiment.setup import rebuild
from goldfold.io.progress import EpochProgress, Observer
from goldfold.nn.optimizers import AdamW
from goldfold.project import Project
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions
from goldfold.workflows import cost


class Lines(Observer):
    """Keeps the lines that it receives."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ended: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)
        self.ended.append(text)

    def fit_ended(self, text: str = "") -> None:
        self.ended.append(text)


@pytest.mark.parametrize("debug", [False, True])
def test_the_first_epoch_tells_time_and_disk_space_of_all_fits(
    toy: Path, monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    told = Lines()
    monkeypatch.setattr(cost, "WORTH_TELLING", 0)
    run = Project(observer=told).train("blobs", "perceptron", epochs=4, seeds=[0, 1], debug=debug)
    (line,) = [line for line in told.lines if line.startswith("about")]
    assert "checkpoints for 6 fits: one epoch of 4 took" in line
    assert told.ended.index(line) < next(place for place, text in enumerate(told.ended) if "auroc" in text)
    monkeypatch.setattr(cost, "WORTH_TELLING", 60)
    Project(observer=told).train("blobs", "perceptron", epochs=4, seeds=[2])
    assert len([line for line in told.lines if line.startswith("about")]) == 1
    assert run.scores is not None


def test_the_forecast_is_seconds_and_checkpoints_times_epochs_and_fits(toy: Path) -> None:
    run = Project(quiet=True).train("blobs", "perceptron", epochs=2, seeds=[0, 1])
    fit = run.folder / "fold0-seed0"
    first = EpochProgress("head", 1, 20, 1 / 20, 0.5, {"seconds": 6.0})
    experiment = rebuild(Project().workspace, run.folder, torch.device("cpu")).experiment
    (fit / "checkpoints" / "head_epoch_001.safetensors").write_bytes(bytes(2**22))
    (fit / "checkpoints" / "head_epoch_001.training.pt").write_bytes(bytes(2**23))
    for path in (fit / "checkpoints").glob("head_epoch_002*"):
        path.unlink()
    assert cost.further_bytes(experiment, fit, first) == pytest.approx((3 * 6 - 1) * 2**22 + 2**23, rel=0.01)
    expected = f"about 12 min 0 s of training, {3 * 6 * 4} MiB of checkpoints for 6 fits"
    assert cost.forecast(experiment, fit, first) == f"{expected}: one epoch of 20 took 6.0 s, without validation"
    again = cost.forecast(experiment, fit, first, known=3.05 * 6 * 2**22)
    assert again == "about 12 min 0 s of training for 6 fits: one epoch of 20 took 6.0 s, without validation"
    assert cost.forecast(experiment, fit, first, known=2**22).startswith(expected)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum", "average"])
def test_what_is_planned_is_what_is_written(toy: Path, optimizer: str) -> None:
    """Weights and training states of a model whose files' headers are small beside them."""
    makes = {"sgd": partial(torch.optim.SGD, lr=0.1), "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9)}
    make = makes.get(optimizer, AdamW)
    stage = Stage(
        name="fit",
        epochs=1,
        batches=lambda epoch: [torch.ones(2, 300)],
        losses=lambda model, batch: {"mean": model(batch).mean()},
        optimizer=lambda model: make(model.parameters()),
    )
    model = nn.Sequential(nn.Linear(300, 400), nn.BatchNorm1d(400), nn.Linear(400, 10))
    plan = Plan(model=model, stages=[stage], predict=lambda *_: None)
    ema = 0.9 if optimizer == "average" else None
    train(plan, loop=LoopOptions(ema=ema), device=torch.device("cpu"), folder=toy / "fit")
    sizes = [sum(path.stat().st_size for path in (toy / "fit").glob(f"*.{end}")) for end in ("safetensors", "pt")]
    assert cost.weight_bytes(model) == pytest.approx(sizes[0], rel=0.02)
    assert cost.state_bytes(plan, ema is not None) == pytest.approx(sizes[1], rel=0.05, abs=20_000)


def test_disk_space_is_told_before_training_and_refused_where_it_cannot_suffice(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Lines()
    project = Project(observer=told)
    run = project.train("blobs", "perceptron", epochs=2, folds=[0, 1], debug=True)
    (line,) = [line for line in told.lines if line.startswith("up to")]
    assert "for 2 of 2 epochs in 2 fits, and training states of" in line
    experiment = rebuild(project.workspace, run.folder, torch.device("cpu")).experiment
    silent, small = Lines(), replace(experiment, protocol=experiment.protocol.model_copy(update={"debug": False}))
    for plan in (Plan(predict=lambda *_: None), build_plan(small, 0, 0)[0]):  # nothing is written, or little
        cost.Costs(silent, small, run.folder).planned(plan)
    assert silent.lines == []
    monkeypatch.setattr(cost.shutil, "disk_usage", lambda folder: SimpleNamespace(free=500))
    with raises_code("disk_too_small", "perceptron-r2.*leave out DEBUG"):
        project.train("blobs", "perceptron", epochs=7)
    assert not list(Path("runs/blobs/perceptron-r2").glob("fold*/checkpoints/*"))


def test_after_the_first_fit_the_rest_is_its_size_for_each_other_fit_and_what_they_add_up_to(tmp_path: Path) -> None:
    fits = [(fold, 0) for fold in range(5)]
    (tmp_path / "fold0-seed0" / "checkpoints").mkdir(parents=True)
    for name, size in {"validation.npy": 1000, "test.npy": 500, "checkpoints/a.safetensors": 10_000}.items():
        (tmp_path / "fold0-seed0" / name).write_bytes(bytes(size))
    (tmp_path / "fold1-seed0").mkdir()
    (tmp_path / "fold1-seed0" / "part").write_bytes(bytes(2000))  # another worker has begun it
    needed = cost.rest_bytes(tmp_path, tmp_path / "fold0-seed0", fits)
    assert needed == 4 * 11_500 - 2000 + 5 * 1000 + 500
    cost.refuse_small_disk(tmp_path, needed, needed)
    with raises_code("disk_too_small", "checkpoints and predictions", "free disk space"):
        cost.refuse_small_disk(tmp_path, needed, needed - 1)


def test_a_resumed_fit_tells_nothing_since_its_first_epoch_is_over(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "WORTH_TELLING", 0)
    run = Project(quiet=True).train("blobs", "perceptron", epochs=2)
    experiment = rebuild(Project().workspace, run.folder, torch.device("cpu")).experiment
    told = Lines()
    watch = cost.Costs(told, experiment, run.folder).telling(lambda fold, seed, progress: None)
    row = {"seconds": 6.0}
    watch(0, 0, EpochProgress("head", 16, 20, 0.8, 0.5, row))
    watch(0, 0, EpochProgress("second", 1, 10, 0.6, 0.5, row))
    assert told.lines == []
    watch(1, 0, EpochProgress("head", 1, 20, 1 / 30, 0.5, row))
    assert len(told.lines) == 1
    assert "one epoch of 30" in told.lines[0]


def test_float16_on_a_cpu_is_refused(toy: Path) -> None:
    with pytest.raises(GoldfoldError, match="precision is float16, which CPUs compute") as refused:
        Project(quiet=True).train("blobs", "perceptron", precision="float16", device="cpu")
    assert refused.value.code == "float16_on_cpu"
    assert not list(Path("runs").glob("*/*"))
