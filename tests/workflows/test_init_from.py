"""`init_from` in the toy project: fits start from the same fold of another run, whose content is in the identity."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from error_codes import raises_code
from matplotlib.figure import Figure
from safetensors.torch import load_file, save_file
from torch import nn

from goldfold.experiment.config import read_config
from goldfold.experiment.fits.initial_weights import INITIAL, describe
from goldfold.experiment.setup import prepare_experiment
from goldfold.experiment.teachers.predictions import Asking, nested
from goldfold.experiment.teachers.runs import Teacher
from goldfold.nn.pretrained.weight_files import load_into
from goldfold.project import Project

RUNS = Path("runs/blobs")
CHECKPOINT = "fold1-seed0/checkpoints/head_epoch_00{}.safetensors"


@pytest.fixture
def project(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The toy project with a finished run `perceptron-r1` of two epochs; empty pictures save time."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: None)
    own = Project(quiet=True)
    own.train("blobs", "perceptron", epochs=2)
    return own


def test_a_fit_goes_on_from_the_same_fold_of_the_other_run(project: Project, capsys) -> None:
    quiet = project.train("blobs", "perceptron", init_from="perceptron-r1", epochs=1, learning_rate=1e-12)
    for name, value in load_file(quiet.folder / CHECKPOINT.format(1)).items():
        before = load_file(RUNS / "perceptron-r1" / CHECKPOINT.format(2))[name]
        if "running" not in name and "num_batches" not in name:
            assert value.allclose(before, atol=1e-6), name
    told = json.loads((quiet.folder / "fold1-seed0/initial_weights.json").read_text())
    assert told == {"run": "blobs/perceptron-r1", "checkpoint": "head_epoch_002", "left_out": []}
    assert "initial_weights.json (the checkpoint it started from)" in quiet.record


def _oof(run: Path) -> bytes:
    return (run / "oof.npy").read_bytes()


def test_the_other_run_is_in_the_identity_by_its_content(project: Project) -> None:
    first = project.train("blobs", "perceptron", init_from="perceptron-r1", epochs=1, folds=[0])
    shutil.copytree(RUNS / "perceptron-r1", RUNS / "copied-r7")
    same = project.train("blobs", "perceptron", init_from="copied-r7", epochs=1, folds=[0])
    project.train("blobs", "perceptron", epochs=2, learning_rate=0.02, folds=[0])
    other = project.train("blobs", "perceptron", init_from="perceptron-r3", epochs=1, folds=[0])
    known = [json.loads((run.folder / "reproduce.json").read_text())["identity"] for run in (first, same, other)]
    assert known[0] == known[1] != known[2]
    shutil.rmtree(RUNS / "perceptron-r1")
    assert (RUNS / "perceptron-r2").exists()
    picked = project.run("perceptron-r2").pick(1)  # its own weights are there, so the first run may be gone
    assert _oof(picked.folder) == _oof(first.folder)
    with raises_code("refit_starts_from_folds", "perceptron-r1"):
        project.run("perceptron-r2").refit()


def test_runs_that_may_have_seen_scored_rows_are_refused(project: Project) -> None:
    with raises_code("init_from_other_folds", "of 120 rows", "perceptron-r1"):
        project.train("blobs", "perceptron", init_from="perceptron-r1", seed=1)
    project.train("blobs", "perceptron", epochs=1, folds=[0])
    with raises_code("init_from_lacks_fit", "fold 1"):
        project.train("blobs", "perceptron", init_from="perceptron-r2")
    with raises_code("init_from_latest"):
        project.train("blobs", "perceptron", init_from="latest")
    with raises_code("unknown_run", "perceptron-r9"):
        project.train("blobs", "perceptron", init_from="perceptron-r9")
    with raises_code("init_from_without_stages"):
        project.train("blobs", "estimator", init_from="perceptron-r1")
    with raises_code("weights_do_not_fit"):
        project.train("blobs", "bank", init_from="perceptron-r1")


def test_a_run_that_started_from_another_is_no_nested_teacher(project: Project) -> None:
    workspace = project.workspace
    recipes = workspace.competition("blobs").recipes
    config = read_config(workspace.config_path("blobs", "perceptron"), ["init_from=perceptron-r1"], recipes)
    experiment = prepare_experiment(workspace, "blobs", config, torch.device("cpu")).experiment
    teacher = Teacher(RUNS / "perceptron-r2", config.resolved(), "", {})
    with raises_code("nested_teacher", "blobs/perceptron-r2", "'perceptron-r1' (init_from)"):
        nested(Asking(teacher, experiment, Path("cache")), experiment, [0])


def test_what_the_other_run_saw_of_scored_folds_is_told_of_the_run_that_starts_from_it(project: Project) -> None:
    best = project.train("blobs", "perceptron", select="best", epochs=3, folds=[0])
    run = project.train("blobs", "perceptron", init_from=best.name, epochs=1, folds=[0])
    leak = next(each for each in run.findings if each.code == "pseudo_label_leak")
    assert (leak.level, leak.where) == ("warning", "init_from")
    assert best.name in leak.message
    assert "selected_on_scored_fold" in leak.message


def _with_extra_rows() -> None:
    """Let the competition have ten more training rows that no fold scores."""
    code = Path("competitions/blobs/__init__.py")
    text = code.read_text(encoding="utf-8")
    before = "sample_submission=sample)"
    assert text.count(before) == 1
    extra = "extra=train.head(10).assign(id=[f'e{at}' for at in range(10)], a=-train['a'].head(10))"
    code.write_text(text.replace(before, f"sample_submission=sample, {extra})"), encoding="utf-8")


def test_extra_rows_are_in_no_fold_that_scores_so_that_fits_may_start_with_and_without_them(project: Project) -> None:
    _with_extra_rows()
    first = Project(quiet=True).train("blobs", "perceptron", epochs=2, folds=[0], extra=True)
    assert json.loads((first.folder / "training_rows.json").read_text())["extra"] == 10
    for extra in (True, False):
        run = Project(quiet=True).train(
            "blobs", "perceptron", init_from=first.name, epochs=1, folds=[0], extra=extra, learning_rate=0.001
        )
        assert json.loads((run.folder / "fold0-seed0" / INITIAL).read_text())["run"] == first.name


def test_a_last_layer_of_another_width_starts_anew_and_that_is_told(tmp_path: Path) -> None:
    first, second = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, width)) for width in (5, 3))
    save_file(first.state_dict(), tmp_path / "five.safetensors")
    start = second[2].weight.clone()
    assert load_into(second, tmp_path / "five.safetensors", ("2",)) == ("2",)
    assert second[0].weight.equal(first[0].weight)
    assert second[2].weight.equal(start)
    (tmp_path / "fold0-seed0").mkdir()
    told = {"run": "digits/first-r1", "checkpoint": "fit_epoch_002", "left_out": ["2"]}
    (tmp_path / "fold0-seed0" / INITIAL).write_text(json.dumps(told))
    assert "digits/first-r1 for the same fold; 2 does not fit there and starts anew" in describe(tmp_path)
