"""The forecast of what a run costs, printed after its first epoch, and what is refused as too slow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from error_codes import raises_code

from goldfold.errors import GoldfoldError
from goldfold.experiment.setup import rebuild
from goldfold.io.progress import EpochProgress, Observer
from goldfold.project import Project
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
    watch = cost.telling(told, experiment, run.folder, lambda fold, seed, progress: None)
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
