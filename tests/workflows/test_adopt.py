"""`batch_size: auto`: what is adopted keeps the samples per step, is in the run's identity, and survives a resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from goldfold import Project
from goldfold.errors import GoldfoldError
from goldfold.experiment.config import Config, read_config
from goldfold.experiment.setup import prepare_experiment
from goldfold.io.files import read_json, write_json
from goldfold.training.capacity.adoption import AdoptionParams, adopted, batches_of
from goldfold.training.capacity.curves import Line
from goldfold.training.capacity.search import Bounds, Search
from goldfold.training.capacity.trials import Trial
from goldfold.workflows.capacity import adopt
from goldfold.workflows.capacity.probed import Limits, Probed

CPU = torch.device("cpu")


@pytest.fixture
def project(toy: Path) -> Project:
    (toy / "configs" / "blobs" / "sized.yaml").write_text("recipe: perceptron\nbatch_size: auto\nepochs: 2\n")
    found = Project(toy, quiet=True)
    found.prepare("blobs")
    return found


def read(project: Project, *overrides: str) -> Config:
    recipes = project.workspace.competition("blobs").recipes
    return read_config(project.workspace.config_path("blobs", "sized"), overrides, recipes)


def found_before(project: Project, largest: int, *overrides: str) -> dict:
    """Put what a probe finds into the cache, for a machine where batches above `largest` do not fit."""
    config = read(project, *overrides)
    asked_for = AdoptionParams.model_validate(config.capacity)
    own = Config(**{**vars(config), "automatic": ()})
    found = prepare_experiment(project.workspace, "blobs", own, CPU)
    probed = Probed(found=found, parameter="batch_size", device=CPU, limits=Limits())
    search, effective = searched(largest), asked_for.effective
    effective = effective if isinstance(effective, int) else 16
    batch = adopt.largest_divisor(search, effective)
    asked = adopt._asked(found, asked_for)
    record = {"asked": asked, **adopt._record(probed, search, batch, effective, 16, asked_for)}
    write_json(project.workspace.cache / "capacity" / f"{adopt._key(asked, CPU)}.json", record)
    return record


def searched(largest: int, traced: bool = True, least: int = 1) -> Search:
    def attempt(batch: int) -> Trial:
        fits = batch <= largest
        return (
            Trial(batch=batch, status="fits", allocated=100 * batch)
            if fits
            else Trial(batch=batch, status="out_of_memory")
        )

    limit = 100 * largest + 50.0
    return Search(attempt, Bounds(cap=80, limit=limit, least=least), Line(0, 60) if traced else None)


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize(
    ("effective", "largest", "batch"), [(16, 100, 16), (16, 16, 16), (16, 15, 8), (16, 3, 2), (12, 5, 4), (13, 5, 1)]
)
def test_the_batch_divides_the_samples_per_step(effective: int, largest: int, batch: int, traced: bool) -> None:
    search = searched(largest, traced)
    assert adopt.largest_divisor(search, effective) == batch
    assert batch in search.fitting
    assert batch * adopted(batch, effective, effective, "none").accumulate == effective


def test_divisors_that_are_predicted_not_to_fit_are_not_tried() -> None:
    search = searched(3)
    adopt.largest_divisor(search, 64)
    assert [trial.batch for trial in search.trials] == [4, 2]


def test_nothing_fits_below_the_least_batch() -> None:
    assert adopt.largest_divisor(searched(1, least=2), 16) == 0


@pytest.mark.parametrize(("rule", "factor"), [("none", 1.0), ("linear", 4.0), ("sqrt", 2.0)])
def test_the_rate_follows_the_samples_per_step_and_not_the_batch(rule: str, factor: float) -> None:
    assert adopted(32, 64, 16, rule).factor == factor
    assert adopted(8, 64, 16, rule).factor == factor
    assert adopted(8, 16, 16, rule).factor == 1.0
    assert batches_of(6, least=4) == [6]


def test_a_run_has_the_number_in_its_config_and_identity(project: Project) -> None:
    found_before(project, largest=10)
    run = project.train("blobs", "sized", folds=[0])
    values = read_json(run.folder / "config.json")
    assert (values["batch_size"], values["accumulate"], values["learning_rate"]) == (8, 2, 0.01)
    record = read_json(run.folder / "capacity.json")
    assert record["effective"] == record["default_effective"] == 16
    assert [trial["batch"] for trial in record["trials"]] == [16, 8]
    assert "16 failed" in record["why"]
    assert "The batch size was `auto`: 8 x accumulate 2, 16 samples per optimizer step" in run.record
    history = read_json(run.folder / "fold0-seed0" / "history.json")
    assert history[0]["steps"] == 5  # 80 rows in steps of 16


def test_more_samples_per_step_change_the_rate_by_the_rule(project: Project) -> None:
    block = {"effective": 64, "learning_rate": "sqrt"}
    found_before(project, 32, f"capacity={json.dumps(block)}")
    run = project.train("blobs", "sized", folds=[0], capacity=block)
    values = read_json(run.folder / "config.json")
    assert (values["batch_size"], values["accumulate"], values["learning_rate"]) == (32, 2, 0.02)


def test_a_resumed_run_keeps_its_batch(project: Project) -> None:
    found_before(project, largest=10)
    run = project.train("blobs", "sized", folds=[0])
    (run.folder / "record.md").unlink()  # as if it had been killed before it was done
    found_before(project, largest=100)  # now the cache says 16
    again = project.train("blobs", "sized", folds=[0])
    assert again.name == run.name
    assert read_json(again.folder / "config.json")["batch_size"] == 8
    assert adopt.adopt(project.workspace, "blobs", read(project), CPU).record["values"]["batch_size"] == 16


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        (["recipe=estimator"], "unknown_key"),
        (["batch_size=large"], "invalid_value"),
        (["learning_rate=auto"], "invalid_value"),
        (["capacity=8"], "invalid_value"),
        (['capacity={"effective":0}'], "invalid_value"),
        (['capacity={"effectiv":8}'], "invalid_value"),
        (['capacity={"learning_rate":"linear"}'], "parameter_without_effect"),
    ],
)
def test_what_cannot_be_automatic_is_refused(project: Project, overrides: list[str], code: str) -> None:
    with pytest.raises(GoldfoldError) as caught:
        project.train("blobs", "sized", overrides=overrides)
    assert caught.value.code == code


def test_verbs_that_do_not_probe_ask_for_a_number(project: Project) -> None:
    with pytest.raises(GoldfoldError) as caught:
        project.tune("blobs", "sized", trials=1, search={"dropout": {"low": 0.0, "high": 0.5}})
    assert caught.value.code == "batch_not_probed"
    assert "SET=batch_size=16" in str(caught.value)
    assert project.audit("blobs", "sized").checks


@pytest.mark.slow
def test_a_batch_is_probed_before_training(project: Project) -> None:
    run = project.train("blobs", "sized", folds=[0])
    record = read_json(run.folder / "capacity.json")
    assert record["values"] == {"batch_size": 16, "accumulate": 1}
    assert [trial["status"] for trial in record["trials"]] == ["fits"]
