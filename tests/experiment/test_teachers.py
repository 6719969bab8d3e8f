"""Teachers: labels of validation rows never reach a student, and what would carry them is found or refused."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import planted_teachers
import pytest
import torch
from error_codes import raises_code
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from goldfold.competition import Fold
from goldfold.data.fold_tables import folds_from_table
from goldfold.experiment.fits import load_fit, save_fit
from goldfold.experiment.setup import experiment_of_fits
from goldfold.experiment.workspace import Workspace
from goldfold.project import Project
from goldfold.run import Run

CHANCE = 0.15  # how far the AUROC of 240 rows with random labels is from 0.5 at most, more than four sd


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished teacher, tree-r1."""
    folder = tmp_path_factory.mktemp("mirrors")
    planted_teachers.write(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
        sys.modules.pop(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Project(quiet=True).train("mirrors", "tree")
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it, as the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
        monkeypatch.delitem(sys.modules, name)
    return Project(quiet=True)


def auroc(run: Run) -> float:
    return run.metrics["auroc"]["pooled"]


def tables() -> tuple[pd.DataFrame, pd.DataFrame, list[Fold]]:
    public = Path("data/mirrors/public")
    train, test = (pd.read_csv(public / f"{name}.csv") for name in ("train", "test"))
    kept = pd.read_csv("runs/mirrors/tree-r1/folds.csv", dtype=str)
    return train, test, folds_from_table(kept, train["id"].tolist())


def codes(run: Run) -> dict[str, str]:
    return {finding.code: finding.level for finding in run.findings}


def own_tree(rows: pd.DataFrame, labels: pd.Series, weights: np.ndarray | None = None) -> DecisionTreeClassifier:
    scaled = rows[["a", "b"]].to_numpy()  # a tree does not depend on the scale of its features
    return DecisionTreeClassifier(max_depth=30, random_state=0).fit(scaled, labels, sample_weight=weights)


def test_pseudo_labels_come_from_the_fit_of_the_same_fold_alone(project: Project):
    """Against scikit-learn: each fold's tree on its rows and on the test rows as its own teacher's tree labels them."""
    run = project.train("mirrors", "tree", pseudo_labels={"teacher": "tree-r1"})
    train, test, folds = tables()
    for number, fold in enumerate(folds):
        own = train.iloc[fold.train]
        guess = own_tree(own, own["y"]).predict(test[["a", "b"]].to_numpy())
        student = own_tree(pd.concat([own, test]), np.concatenate([own["y"], guess]))
        expected = student.predict_proba(train.iloc[fold.validation][["a", "b"]].to_numpy())[:, 1]
        found = np.load(run.folder / f"fold{number}-seed0" / "validation.npy")
        np.testing.assert_allclose(found, expected)
    assert abs(auroc(run) - 0.5) < CHANCE
    assert "pseudo_label_leak" not in codes(run)
    assert "Pseudo-labels: hard labels of weight 1 for every row of the test rows" in run.record
    known = json.loads((run.folder / "training_rows.json").read_text())
    assert known["pseudo_labeled"] == {str(fold): len(test) for fold in range(len(folds))}


def test_labels_of_test_rows_by_all_fits_leak_and_are_found(project: Project):
    """What a file of pseudo-labels does: the mean over folds knows the labels of all validation rows."""
    train, test, folds = tables()
    teacher = [own_tree(rows := train.iloc[fold.train], rows["y"]) for fold in folds]
    mean = np.mean([each.predict_proba(test[["a", "b"]].to_numpy())[:, 1] for each in teacher], axis=0)
    labels = (mean + 1e-9 * np.arange(len(mean)) > 0.5).astype(int)
    added = test.assign(id=[f"e{at}" for at in range(len(test))], y=labels)
    added.to_csv("data/mirrors/public/extra.csv", index=False)
    run = project.train("mirrors", "tree")
    assert codes(run)["pseudo_label_leak"] == "warning"
    alone = project.train("mirrors", "tree", extra=False)
    assert "pseudo_label_leak" not in codes(alone)
    assert auroc(run) > auroc(alone) + 0.1
    assert "120 extra rows train in every fold and are never scored." in run.record
    assert "120 extra rows are left out" in alone.record


@pytest.mark.parametrize("predictions", ["in_sample", "nested"])
def test_soft_targets_without_the_fold_stay_at_chance(project: Project, predictions: str):
    run = project.train("mirrors", "tree", distill={"teacher": "tree-r1", "predictions": predictions, "alpha": 1})
    assert abs(auroc(run) - 0.5) < CHANCE
    assert "pseudo_label_leak" not in codes(run)


def test_out_of_fold_soft_targets_leak_and_stop_the_run_unless_accepted(project: Project):
    asked = {"teacher": "tree-r1", "predictions": "out_of_fold", "alpha": 1}
    with raises_code("pseudo_label_leak", "mirrors/tree-r1", "in_sample"):
        project.train("mirrors", "tree", distill=asked)
    run = project.train("mirrors", "tree", distill=asked, accept=["pseudo_label_leak"])
    assert auroc(run) > 0.95, "a twin in another fold tells the label of each row"
    assert codes(run)["pseudo_label_leak"] == "error"
    with raises_code("pseudo_label_leak", run.name):
        project.train("mirrors", "tree", pseudo_labels={"teacher": run.name})


def test_nested_soft_targets_are_of_models_without_both_folds(project: Project):
    """Against scikit-learn, with half of each row's weight at its label."""
    run = project.train("mirrors", "tree", distill={"teacher": "tree-r1", "predictions": "nested"})
    train, _, folds = tables()
    for number, fold in enumerate(folds):
        soft = np.full(len(train), np.nan)
        for other, inner in enumerate(folds):
            if other != number:
                rows = train.iloc[np.intersect1d(fold.train, inner.train)]
                values = train.iloc[inner.validation][["a", "b"]].to_numpy()
                soft[inner.validation] = own_tree(rows, rows["y"]).predict_proba(values)[:, 1]
        own = train.iloc[fold.train]
        q = soft[fold.train]
        ones, zeros = np.ones(len(own), int), np.zeros(len(own), int)
        weights = np.concatenate([np.full(len(own), 0.5), 0.5 * (1 - q), 0.5 * q])
        counted = weights > 0
        student = own_tree(
            pd.concat([own] * 3)[counted], np.concatenate([own["y"], zeros, ones])[counted], weights[counted]
        )
        expected = student.predict_proba(train.iloc[fold.validation][["a", "b"]].to_numpy())[:, 1]
        np.testing.assert_allclose(np.load(run.folder / f"fold{number}-seed0" / "validation.npy"), expected)


@pytest.mark.slow
def test_a_chain_of_teachers_is_recorded_and_stays_at_chance(project: Project):
    first = project.train("mirrors", "tree", pseudo_labels={"teacher": "tree-r1"})
    second = project.train("mirrors", "tree", pseudo_labels={"teacher": first.name})
    known = json.loads((second.folder / "teachers.json").read_text())["pseudo_labels"]
    assert (known["run"], known["teachers"]) == ("mirrors/tree-r2", ["tree-r1"])
    assert abs(auroc(second) - 0.5) < CHANCE


def test_a_run_predicts_again_without_its_teacher(project: Project):
    """It keeps what its teachers said, and a refit learns from all of the teacher's fits."""
    run = project.train("mirrors", "tree", pseudo_labels={"teacher": "tree-r1"})
    shutil.rmtree("runs/mirrors/tree-r1")
    made = run.refit()
    public = Path("data/mirrors/public")
    train, test = (pd.read_csv(public / f"{name}.csv") for name in ("train", "test"))
    kept = np.load(run.folder / "teachers.npz")
    guess = (np.mean([kept[f"guesses_{fold}"] for fold in range(4)], axis=0) > 0.5).astype(int)
    expected = own_tree(pd.concat([train, test]), np.concatenate([train["y"], guess]))
    hidden = Workspace().load("mirrors")
    hidden = replace(hidden, test=hidden.test.iloc[::-1].reset_index(drop=True))
    with raises_code("pseudo_labels_unusable", "120 rows"):
        experiment_of_fits(Workspace(), run.folder, hidden, torch.device("cpu"))
    written = pd.read_csv(made.submission)["y"]
    np.testing.assert_allclose(written, expected.predict_proba(test[["a", "b"]].to_numpy())[:, 1])


def test_extra_rows_train_in_every_fold_and_their_copies_are_found(project: Project):
    """Copies of all rows with their labels give a perfect score, and the audits of folds say why."""
    train, _, _ = tables()
    before = project.train("mirrors", "tree")  # read, not trained: an equal run is finished
    train.assign(id=[f"e{at}" for at in range(len(train))]).to_csv("data/mirrors/public/extra.csv", index=False)
    run = project.train("mirrors", "tree")
    assert auroc(run) > 0.7 > auroc(before)
    messages = [finding.message for finding in run.findings if finding.code == "shared_contents"]
    assert "'e" in messages[0]
    assert len(run.oof) == len(train)
    reproduce = [json.loads((each.folder / "reproduce.json").read_text()) for each in (before, run)]
    assert reproduce[0]["data_hash"] != reproduce[1]["data_hash"]
    assert (before.folder / "folds.csv").read_bytes() == (run.folder / "folds.csv").read_bytes()


@pytest.mark.slow
def test_extra_rows_without_targets_are_labeled_by_a_teacher(project: Project):
    """Against the same rows in the test table."""
    _, test, _ = tables()
    test.assign(id=[f"e{at}" for at in range(len(test))], y=np.nan).to_csv("data/mirrors/public/extra.csv", index=False)
    teacher = project.train("mirrors", "tree")
    assert "120 extra rows are left out" in teacher.record
    runs = [
        project.train("mirrors", "tree", pseudo_labels={"teacher": teacher.name, "rows": rows})
        for rows in ("test", "extra")
    ]
    np.testing.assert_array_equal(*(np.load(run.folder / "oof.npy") for run in runs))


@pytest.mark.parametrize(
    ("changed", "code", "facts"),
    [
        ({"id": ["r0", "e1"]}, "extra_ids_known", ["train table", "'r0'"]),
        ({"id": ["e0", "e0"]}, "ids_not_unique", ["Tables.extra", "'e0'"]),
        ({"y": [1, 7]}, "unknown_class", ["Tables.extra", "7"]),
        ({"a": ["x", "y"]}, "extra_columns_differ", ["'a'"]),
        ({"new": [1, 2]}, "extra_columns_differ", ["'new'"]),
    ],
)
def test_extra_rows_that_cannot_train_are_refused(project: Project, changed: dict, code: str, facts: list[str]):
    train, _, _ = tables()
    rows = train.head(2).assign(id=["e0", "e1"]).assign(**changed)
    rows.to_csv("data/mirrors/public/extra.csv", index=False)
    with raises_code(code, *facts):
        project.train("mirrors", "tree")


@pytest.mark.parametrize(
    ("values", "code", "facts"),
    [
        ({"pseudo_labels": {"teacher": "tree-r1"}, "seed": 1}, "teacher_folds_differ", ["120 of 240 rows", "r1,"]),
        ({"pseudo_labels": {"teacher": "latest"}}, "teacher_unnamed", ["latest"]),
        ({"pseudo_labels": {"teacher": "other/tree-r1"}}, "teacher_of_other_task", ["'other'"]),
        ({"pseudo_labels": {"teacher": "none-r1"}}, "unknown_run", ["none-r1"]),
        ({"pseudo_labels": {"teacher": "tree-r1", "threshold": 1.5}}, "invalid_value", ["1.5"]),
        ({"pseudo_labels": {"teacher": "tree-r1", "rows": "extra"}}, "pseudo_labels_unusable", ["rows: test"]),
        ({"distill": {"teacher": "tree-r1", "temperature": 2}}, "soft_targets_unsupported", ["temperature"]),
        ({"distill": {"teacher": "tree-r1", "alpha": 0}}, "invalid_value", ["alpha"]),
    ],
)
def test_what_cannot_teach_is_refused(project: Project, values: dict, code: str, facts: list[str]):
    shutil.copytree("runs/mirrors/tree-r1", "runs/other/tree-r1")
    with raises_code(code, *facts):
        project.train("mirrors", "tree", **values)


def test_an_estimator_without_weights_says_so(project: Project):
    with raises_code("soft_targets_unsupported", "KNeighborsClassifier", "sample_weight"):
        project.train("mirrors", "neighbor", pseudo_labels={"teacher": "tree-r1", "labels": "soft"})


def test_blends_and_runs_without_fits_do_not_teach(project: Project):
    project.train("mirrors", "tree", depth=2)
    blend = project.blend(["tree-r1", "tree-r2"])
    with raises_code("teacher_without_fits", "blend", "tree-r1"):
        project.train("mirrors", "tree", pseudo_labels={"teacher": blend.name})
    part = project.train("mirrors", "tree", folds=[0])
    with raises_code("teacher_without_fits", "fold 1", "fold1-seed0/fit.json"):
        project.train("mirrors", "tree", pseudo_labels={"teacher": part.name})


def test_predictions_that_are_no_probabilities_do_not_teach(project: Project):
    place = Path("runs/mirrors/tree-r1/fold1-seed0")
    found = load_fit(place)
    save_fit(type(found)(**{**vars(found), "test": found.test * 3}), place)
    (place.parent / "manifest.json").unlink(missing_ok=True)
    with raises_code("teacher_unusable", "between 0 and 3"):
        project.train("mirrors", "tree", pseudo_labels={"teacher": "tree-r1"})


@pytest.mark.slow
def test_a_threshold_that_no_row_reaches_is_told(project: Project):
    teacher = project.train("mirrors", "tree", depth=1)
    run = project.train("mirrors", "tree", depth=1, pseudo_labels={"teacher": teacher.name, "threshold": 0.99})
    assert codes(run)["no_pseudo_labels"] == "warning"
    np.testing.assert_array_equal(*(np.load(each.folder / "oof.npy") for each in (teacher, run)))


def test_a_teacher_of_random_labels_has_no_score_of_its_own(project: Project):
    """The planted competition tells nothing by itself, or the tests above would show nothing."""
    oof = np.load("runs/mirrors/tree-r1/oof.npy")
    train, _, _ = tables()
    assert abs(roc_auc_score(train["y"], oof) - 0.5) < CHANCE
