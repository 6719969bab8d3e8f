"""One trial of a study: its value is a run's, hopeless ones end early at either axis, a resumed one counts the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold import metrics
from goldfold.competition import Competition, Fold, Plan, Recipe, Runtime, Stage, Tables
from goldfold.experiment.cross_validation import combine_fits, cross_validate
from goldfold.experiment.fits import Experiment, Protocol
from goldfold.nn.batches import in_memory
from goldfold.params import Params
from goldfold.training.settings import LoopOptions
from goldfold.tuning import objective
from goldfold.tuning.objective import TrialContext, run_trial
from goldfold.tuning.trials import TrialRecord

ORDER = (2, 0, 3, 1)
COLUMNS = [f"x{number}" for number in range(6)]


class Net(Params):
    learning_rate: float = 0.01


def tensor(rows: pd.DataFrame) -> Tensor:
    return torch.tensor(rows[COLUMNS].to_numpy(), dtype=torch.float32)


def losses(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(model(batch[0]), batch[1])}


def build(params: Net, rows: pd.DataFrame, runtime: Runtime) -> Plan:
    stage = Stage(
        name="net",
        epochs=3,
        batches=in_memory((tensor(rows), torch.tensor(rows["label"].to_numpy())), 16, runtime.seed),
        losses=losses,
        optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=params.learning_rate),
    )
    return Plan(
        model=nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3)),
        stages=[stage],
        predict=lambda model, _, rows: model(tensor(rows)).softmax(-1).numpy(),
    )


def experiment(folder: Path, n: int = 94, **params) -> Experiment:
    """Four folds of points in three classes, which a network of 8 hidden units learns in three epochs."""
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(n, 6))
    label = (inputs[:, :3] + 0.5 * draw.normal(size=(n, 3))).argmax(1)
    rows = pd.DataFrame(inputs, columns=COLUMNS).assign(id=range(n), label=label)
    parts = np.array_split(draw.permutation(n), 4)
    metric = metrics.accuracy(target="label", classes=(0, 1, 2))
    empty = dict.fromkeys(("prepare", "load", "split", "submission"))
    return Experiment(
        competition=Competition(slug="x", metric=metric, targets=("label",), recipes={}, **empty),
        recipe=Recipe(params=Net, build=build),
        params=Net(**params),
        loop=LoopOptions(),
        protocol=Protocol(),
        tables=Tables(train=rows, test=rows.drop(columns="label")[:20], sample_submission=rows),
        folds=[Fold(np.setdiff1d(np.arange(n), part), np.sort(part)) for part in parts],
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=folder),
    )


def tried(given: Experiment, folder: Path, number: int = 0, earlier: tuple = (), **around) -> TrialRecord:
    noted = []
    surroundings = TrialContext(order=ORDER, earlier=lambda: earlier, note=noted.append, **around)
    ended = run_trial(given, folder, TrialRecord(number=number, state="running", params={}), surroundings)
    if ended.state != "failed":
        assert [tuple(record.folds) for record in noted] == [ORDER[: count + 1] for count in range(len(ended.folds))]
    return ended


def good(folder: Path) -> tuple[TrialRecord, ...]:
    """Complete trials, of which some begin as badly as they end."""
    rates = (0.0005, 0.001, 0.002, 0.005, 0.006, 0.007, 0.008)
    return tuple(
        tried(experiment(folder, 400, learning_rate=rate), folder / str(rate), number, prune=False)
        for number, rate in enumerate(rates)
    )


def test_a_trials_value_is_that_of_the_run(tmp_path):
    given = experiment(tmp_path, 96)
    found = tried(given, tmp_path / "trial")
    whole = combine_fits(given, list(cross_validate(given, tmp_path / "run"))).metrics["accuracy"]
    assert found.value == whole["mean"]
    assert {str(fold): score for fold, score in found.folds.items()} == whole["folds"]
    assert tuple(found.folds) == ORDER
    assert (found.state, found.fits) == ("complete", 4.0)
    assert all([share for share, _ in curve] == pytest.approx([1 / 3, 2 / 3, 1]) for curve in found.curves.values())


def test_a_bad_trial_is_ended_within_a_fold_and_goes_on_when_asked(tmp_path):
    earlier = good(tmp_path)
    bad = experiment(tmp_path, 400, learning_rate=0.0007)
    found = tried(bad, tmp_path / "bad", 9, earlier)
    assert found.state == "pruned"
    assert found.value is None
    assert "probability" in found.reason
    assert not found.folds
    assert [share for share, _ in found.curves[ORDER[0]]] == [pytest.approx(1 / 3)]
    assert found.fits == pytest.approx(1 / 3)
    finished = tried(bad, tmp_path / "bad", 9, earlier, prune=False)
    assert finished.state == "complete"
    assert finished.value < max(record.value for record in earlier)


def test_a_good_trial_is_finished(tmp_path):
    earlier = good(tmp_path)
    assert tried(experiment(tmp_path, 400, learning_rate=0.05), tmp_path / "ok", 9, earlier).state == ("complete")


def test_a_trial_that_cannot_be_trained_ends_with_the_sentence(tmp_path):
    found = tried(experiment(tmp_path, learning_rate=1e30), tmp_path / "nan")
    assert found.state == "failed"
    assert "learning rate" in found.reason


def test_what_is_there_is_read_and_counts_alike(tmp_path):
    given = experiment(tmp_path)
    first = tried(given, tmp_path / "trial")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "trial").glob("*/fit.json")}
    again = tried(given, tmp_path / "trial")
    assert replace(again, curves={}) == replace(first, curves={})
    assert again.curves == {fold: [pytest.approx(point) for point in curve] for fold, curve in first.curves.items()}
    assert {path: path.stat().st_mtime_ns for path in times} == times
    objective.remove_weights(tmp_path / "trial")
    assert not list((tmp_path / "trial").glob("*/checkpoints"))
    assert len(list((tmp_path / "trial").glob("*/fit.json"))) == 4
