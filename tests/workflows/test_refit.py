"""`make refit`: the config trained on all rows, as long as its folds were, and its score on hidden labels."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import Fit
from goldfold.experiment.refits import stage_epochs
from goldfold.project import Project
from goldfold.workflows.delivery.submit import submission_request

FEATURES = ["a", "b", "c", "d"]


def hidden_auroc(predictions: np.ndarray) -> float:
    solution = pd.read_csv("data/blobs/private/solution.csv")
    return roc_auc_score(solution["label"], predictions)


def fit(epoch: int | None, **stages: int) -> Fit:
    history = [{"stage": stage, "epoch": number + 1} for stage, last in stages.items() for number in range(last)]
    return Fit(0, 0, {}, {}, epoch, history, {}, np.empty(0), np.empty(0))


def test_a_refit_of_an_estimator_is_the_estimator_of_all_rows(toy: Path) -> None:
    run = Project(quiet=True).train("blobs", "estimator", seeds=[0, 1])
    found = run.refit()
    train, test = (pd.read_csv(f"data/blobs/public/{name}.csv") for name in ("train", "test"))
    expected = LogisticRegression(C=1.0).fit(train[FEATURES], train["label"]).predict_proba(test[FEATURES])[:, 1]
    written = pd.read_csv(found.submission)
    np.testing.assert_allclose(written["label"], expected, rtol=0, atol=1e-12)
    assert written["id"].tolist() == test["id"].tolist()
    assert (found.rows, found.epochs, found.seeds) == (120, {}, (0, 1))
    assert "its CV is that of the folds" in run.record


def test_a_refit_trains_as_many_epochs_as_the_folds_selected_on_the_schedule_of_the_config(toy: Path) -> None:
    run = Project(quiet=True).train("blobs", "perceptron", select=3, epochs=5)
    found = run.refit()
    assert found.epochs == {"head": 3}
    refitted, fold = (
        json.loads((run.folder / name / "history.json").read_text()) for name in ("refit/epochs3-seed0", "fold0-seed0")
    )
    assert [row["epoch"] for row in refitted] == [1, 2, 3]
    assert [row["samples"] for row in refitted] == [120] * 3
    last = 1 + np.cos(np.pi * (3 * 8 - 1) / (5 * 8))  # cosine over 5 epochs of 8 steps, at the last step of epoch 3
    assert refitted[-1]["learning_rate"] == pytest.approx({"0": 0.01 * last / 2})
    assert len(fold) == 5
    few = run.refit(epochs="same-steps")
    assert few.epochs == {"head": 2}  # 3 epochs of 80 rows are 2 of 120
    assert run.refit(epochs=1).epochs == {"head": 1}


@pytest.mark.slow
def test_a_refit_averages_the_epochs_that_the_folds_average(toy: Path) -> None:
    project = Project(quiet=True)
    plain, averaged = (project.train("blobs", "perceptron", **more) for more in ({}, {"average": 2}))
    for run in (plain, averaged):
        assert run.refit().epochs == {"head": 4}
    third, fourth, mean = (
        load_file(run.folder / f"refit/epochs4-seed0/checkpoints/head_epoch_00{epoch}.safetensors")
        for run, epoch in ((plain, 3), (plain, 4), (averaged, 4))
    )
    for name in ("0.weight", "1.weight", "4.weight", "4.bias"):
        assert not third[name].equal(fourth[name])
        assert mean[name].allclose((third[name] + fourth[name]) / 2), name
    greedy = project.train("blobs", "perceptron", average=2, average_by="best")
    with raises_code("refit_averages_by_scores", "average_by=best"):
        greedy.refit()


def test_a_finished_refit_is_read_and_an_interrupted_one_resumed_to_the_same_predictions(toy: Path) -> None:
    run = Project(quiet=True).train("blobs", "perceptron")
    place = run.folder / "refit" / "epochs4-seed0"
    first = pd.read_csv(run.refit().submission)
    written = (place / "fit.json").stat().st_mtime_ns
    assert pd.read_csv(run.refit().submission).equals(first)
    assert (place / "fit.json").stat().st_mtime_ns == written
    (place / "fit.json").unlink()
    for path in (place / "checkpoints").glob("head_epoch_004*"):
        path.unlink()
    assert pd.read_csv(run.refit().submission).equals(first)
    assert json.loads((place / "fit.json").read_text())["epoch"] == 4


def test_a_refit_with_the_folds_combines_their_predictions_with_its_own(toy: Path) -> None:
    run = Project(quiet=True).train("blobs", "perceptron")
    own = pd.read_csv(run.refit(seeds=[0, 7]).submission)["label"]
    parts = [np.load(path) for path in sorted(run.folder.glob("refit/epochs*/test.npy"))]
    np.testing.assert_allclose(own, np.mean(parts, axis=0), rtol=1e-6)
    assert not np.array_equal(*parts)
    both = pd.read_csv(run.refit(seeds=[0, 7], with_folds=True).submission)["label"]
    parts += [np.load(path) for path in run.folder.glob("fold*/test.npy")]
    assert len(parts) == 5
    np.testing.assert_allclose(both, np.mean(parts, axis=0), rtol=1e-6)


def test_grade_scores_each_fold_the_selected_one_all_together_and_the_refit(
    toy: Path, capsys: pytest.CaptureFixture
) -> None:
    run = Project(quiet=True).train("blobs", "perceptron")
    refitted = run.refit()
    main(["grade", "--run", "perceptron-r1"])
    told = capsys.readouterr().out
    alone = [hidden_auroc(np.load(path)) for path in sorted(run.folder.glob("fold*/test.npy"))]
    validated = [run.fold_scores["auroc"][fold] for fold in range(3)]
    best = int(np.argmax(validated))
    lines = {line.split("|")[1].strip(): line for line in told.splitlines() if line.startswith("|")}
    assert f"{fmean(alone):.4f} ± {stdev(alone):.4f} |     {fmean(validated):.4f}" in lines["one fold"]
    assert f" {alone[best]:.4f} |     {validated[best]:.4f} " in lines["best fold"]
    assert f" {hidden_auroc(pd.read_csv(run.submission_path)['label']):.4f} " in lines["folds combined"]
    assert f" {hidden_auroc(pd.read_csv(refitted.submission)['label']):.4f} " in lines["refit"]
    assert f"best fold: fold {best} seed 0, selected by its validation score" in told
    assert lines["refit"] in run.record
    assert "report the others" in run.record
    run.refit(seeds=[5])
    assert set(json.loads((run.folder / "grade.json").read_text())) == {"score", "fits"}


def test_the_submission_of_a_refit_is_sent_under_its_name_with_the_cv_of_the_folds(toy: Path) -> None:
    project = Project(quiet=True)
    run = project.train("blobs", "estimator")
    with pytest.raises(GoldfoldError, match="make refit RUN=blobs/estimator-r1") as caught:
        submission_request(project.workspace, run.folder, refit=True)
    assert caught.value.code == "no_refit"
    run.refit()
    request = submission_request(project.workspace, run.folder, refit=True)
    assert (request.run, request.path.name) == ("estimator-r1-refit", "estimator-r1-refit.csv")
    assert request.cv == run.metrics["auroc"]["mean"]
    request.path.write_text(request.path.read_text() + "\n")
    with pytest.raises(GoldfoldError, match="was changed"):
        submission_request(project.workspace, run.folder, refit=True)


def test_an_ablation_shows_hidden_scores_of_folds_and_refit(toy: Path) -> None:
    config = Path("configs/blobs/perceptron.yaml")
    config.write_text("recipe: perceptron\nepochs: 2\nablation: {other: {dropout: 0.5}}\n", encoding="utf-8")
    found = Project(quiet=True).ablate("blobs", "perceptron", hidden=True)
    rows = found.table.set_index("variant")
    for variant, folder in found.runs.items():
        refitted = pd.read_csv(Path("submissions/blobs") / f"{folder.name}-refit.csv")["label"]
        assert rows["hidden_refit"][variant] == pytest.approx(hidden_auroc(refitted))
        alone = [hidden_auroc(np.load(path)) for path in folder.glob("fold*/test.npy")]
        assert rows["hidden_one_fold"][variant] == pytest.approx(fmean(alone))
        assert rows["hidden_one_fold_sd"][variant] == pytest.approx(stdev(alone))
    assert "auroc on the hidden labels; the best fold was selected by its validation score" in found.text


def test_epochs_of_a_refit_are_medians_of_the_selected_ones_and_of_all_of_earlier_stages() -> None:
    fits = [fit(7, first=2, last=9), fit(4, first=3, last=8), fit(5, first=3, last=9), fit(6, first=2, last=9)]
    assert stage_epochs(fits) == {"first": 3, "last": 6}  # medians 2.5 and 5.5, halves rounded up
    assert stage_epochs(fits, 0.8) == {"first": 2, "last": 4}
    assert stage_epochs(fits, 0.01) == {"first": 1, "last": 1}
    assert stage_epochs([fit(None)]) == {}


@pytest.mark.parametrize(
    ("config", "epochs", "fact"),
    [("perceptron", 5, "trains 1 to 4 epochs of stage 'head'"), ("estimator", 5, "it trains nothing by epochs")],
)
def test_a_number_of_epochs_that_cannot_be_is_refused(toy: Path, config: str, epochs: int, fact: str) -> None:
    run = Project(quiet=True).train("blobs", config)
    with pytest.raises(GoldfoldError, match=fact) as caught:
        run.refit(epochs=epochs)
    assert caught.value.code == "refit_epochs"
    assert not list(Path("submissions/blobs").glob("*refit*"))


def test_a_blend_and_a_run_of_other_code_are_not_refitted(toy: Path) -> None:
    project = Project(quiet=True)
    runs = [project.train("blobs", "estimator"), project.train("blobs", "perceptron")]
    with pytest.raises(GoldfoldError) as caught:
        project.blend(runs).refit()
    assert caught.value.code == "blend_has_no_models"
    code = Path("competitions/blobs/__init__.py")
    code.write_text(code.read_text(encoding="utf-8").replace("strength: float = 1.0", "strength: float = 1"))
    with pytest.raises(GoldfoldError) as caught:
        runs[0].refit()
    assert caught.value.code == "code_changed"
    found = runs[0].refit(accept=["code_changed"])
    assert found.submission.exists()
    assert "code_changed" in {finding.code for finding in runs[0].findings}
