"""`capacity` in a small project: trials as jobs, the report, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from goldfold import Project
from goldfold.errors import GoldfoldError
from goldfold.experiment.config import read_config
from goldfold.experiment.setup import prepare_experiment
from goldfold.io.files import read_json
from goldfold.training.capacity.search import Bounds, Search
from goldfold.training.capacity.trials import Trial, from_facts
from goldfold.workflows.capacity.jobs import Job, carry_out, in_child, with_values
from goldfold.workflows.capacity.probe import try_prediction
from goldfold.workflows.capacity.probed import Limits, Probed, batch_parameters

CPU = torch.device("cpu")


@pytest.fixture
def project(toy: Path) -> Project:
    found = Project(toy, quiet=True)
    found.prepare("blobs")
    return found


def job(project: Project, **known) -> Job:
    recipes = project.workspace.competition("blobs").recipes
    config = read_config(project.workspace.config_path("blobs", "perceptron"), [], recipes)
    values = with_values(config, recipes, batch_size=known["batch"]).resolved()
    told = {"name": "blobs", "values": values, "fold": 0, "device": "cpu", "limit": 2.0**40, "seconds": 30.0}
    return Job(**{**told, "timed": ("head",), **known})


def test_a_job_is_carried_out_and_comes_back(project: Project, tmp_path: Path) -> None:
    carry_out(job(project, batch=10), tmp_path / "trial.json")
    trial = from_facts(read_json(tmp_path / "trial.json"))
    assert (trial.batch, trial.status, trial.code) == (10, "fits", "")
    assert trial.rate > 0
    assert trial.start > 0


def test_a_last_batch_of_one_row_is_tried_where_a_fold_has_one(project: Project, tmp_path: Path) -> None:
    recipes = project.workspace.competition("blobs").recipes
    config = read_config(project.workspace.config_path("blobs", "perceptron"), [], recipes)
    found = prepare_experiment(project.workspace, "blobs", config, CPU)
    rows = len(found.experiment.folds[0].train)
    assert Probed(found=found, parameter="batch_size", device=CPU, limits=Limits()).own == 16
    carry_out(job(project, batch=rows - 1), tmp_path / "trial.json")
    trial = from_facts(read_json(tmp_path / "trial.json"))
    assert trial.status == "single_row"


def test_predictions_are_timed_and_measured(project: Project, tmp_path: Path) -> None:
    carry_out(job(project, batch=30, predicts=True), tmp_path / "trial.json")
    trial = from_facts(read_json(tmp_path / "trial.json"))
    assert (trial.batch, trial.status) == (30, "fits")
    assert trial.rate > 0


def test_predictions_that_would_take_too_long_are_not_tried(project: Project) -> None:
    recipes = project.workspace.competition("blobs").recipes
    config = read_config(project.workspace.config_path("blobs", "perceptron"), [], recipes)
    found = prepare_experiment(project.workspace, "blobs", config, CPU)
    probed = Probed(found=found, parameter="batch_size", device=CPU, limits=Limits(seconds=10.0))
    slow = Trial(batch=4, status="fits", rates=(2.0,))
    search = Search(lambda batch: slow, Bounds(cap=40, limit=1e9), None, [slow])
    assert try_prediction(probed, search, 11).status == "too_slow"


@pytest.mark.parametrize("config", ["estimator", "bank"])
def test_a_recipe_without_a_batch_size_is_refused(project: Project, config: str) -> None:
    with pytest.raises(GoldfoldError) as caught:
        project.capacity("blobs", config)
    assert caught.value.code == "nothing_to_probe"
    assert config in str(caught.value)


def test_a_stage_that_is_left_out_has_no_batch_size(project: Project) -> None:
    recipes = project.workspace.competition("blobs").recipes
    config = read_config(project.workspace.config_path("blobs", "perceptron"), [], recipes)
    assert batch_parameters(config) == ["batch_size"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"memory": "1MiB"}, "no_memory_for_trials"),
        ({"memory": "4"}, "invalid_memory"),
        ({"margin": 0.5}, "invalid_margin"),
        ({"cap": 0}, "invalid_cap"),
        ({"seconds": 0.0}, "invalid_seconds"),
    ],
)
def test_impossible_limits_are_refused(project: Project, given: dict, code: str) -> None:
    with pytest.raises(GoldfoldError) as caught:
        project.capacity("blobs", "perceptron", **given)
    assert caught.value.code == code


@pytest.mark.slow
def test_a_child_without_memory_is_a_failed_trial(project: Project) -> None:
    trial = in_child(job(project, batch=10, limit=1.0), project.workspace.root)
    assert (trial.batch, trial.status) == (10, "out_of_memory")


@pytest.mark.slow
def test_the_command_writes_table_report_and_picture(goldfold: Callable[..., CompletedProcess], toy: Path) -> None:
    printed = goldfold("capacity", "--comp", "blobs", "--config", "perceptron", "--cap", "16", "--quiet").stdout
    folder = toy / "runs" / "blobs" / "capacity" / "perceptron"
    told = json.loads((folder / "capacity_report.json").read_text())
    (entry,) = told["entries"]
    assert told["device"] == "cpu"
    assert told["total_memory"] > 2**30
    assert told["packages"]["torch"]
    assert (entry["parameter"], entry["config_batch"], entry["largest_batch"], entry["cap"]) == (
        "batch_size",
        16,
        16,
        16,
    )
    trials = [from_facts(each) for each in entry["trials"]]
    assert {entry["best_batch"], entry["largest_batch"]} <= {trial.batch for trial in trials if trial.fits}
    assert all(isinstance(trial, Trial) and trial.start > 0 for trial in trials)
    assert entry["predicted"][-1]["per_sample"] > 0
    assert (folder / "capacity.png").read_bytes().startswith(b"\x89PNG")
    assert "16 (cap)" in printed
