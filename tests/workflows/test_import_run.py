"""Predictions of another program as a run: scored, compared, blended and submitted like any other, or refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from sklearn.metrics import roc_auc_score

from goldfold.cli.main import main
from goldfold.ensemble.fixed_weights import fixed_weights
from goldfold.ensemble.methods import METHODS
from goldfold.ensemble.names import ALIASES, NAMES
from goldfold.experiment.identity import intact
from goldfold.experiment.predictions.alignment import form_of
from goldfold.experiment.workspace import Workspace
from goldfold.project import Project
from goldfold.run import Run
from goldfold.workflows.imported.test_file import read_test

RUNS = Path("runs/blobs")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves its trained run for the others."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def trained(toy: Path, kept: Path) -> Run:
    if (kept / "runs").exists():
        shutil.copytree(kept, toy, dirs_exist_ok=True)
        return Project(quiet=True).run("estimator-r1")
    run = Project(quiet=True).train("blobs", "estimator")
    for part in ("runs", "data", "submissions"):
        shutil.copytree(toy / part, kept / part)
    return run


def files(run: Run, noise: float = 0.3) -> pd.DataFrame:
    """A friend's files: our predictions with noise, in another order, on our folds counted from 1."""
    draw = np.random.default_rng(5)
    for side, table in (("oof", run.oof), ("test", run.test)):
        noisy = (table["prediction"] + draw.normal(size=len(table)) * noise).clip(0, 1)
        table.assign(prediction=noisy).sample(frac=1, random_state=1).to_csv(f"{side}.csv", index=False)
    folds = run.folds.assign(fold=run.folds["fold"] + 1)
    folds.to_csv("folds.csv", index=False)
    return folds


def imported(name: str = "friend", **options) -> Run:
    return Project(quiet=True).import_run("blobs", "oof.csv", "test.csv", name=name, **options)


def codes(run: Run) -> list[str]:
    return [finding.code for finding in run.findings]


def test_predictions_on_our_folds_are_a_run_like_any_other(trained: Run, capsys: pytest.CaptureFixture) -> None:
    files(trained)
    run = imported("друг 1", folds="folds.csv")
    assert (run.name, "foreign_folds" in codes(run)) == ("blobs/друг 1-r1", False)
    labels = Project(quiet=True).tables("blobs").train.set_index("id")["label"]
    given = pd.read_csv("oof.csv").set_index("id")["prediction"]
    for fold, score in run.metrics["auroc"]["folds"].items():
        ids = trained.folds["id"][trained.folds["fold"] == int(fold)]
        assert score == pytest.approx(roc_auc_score(labels[ids], given[ids]))
    assert run.oof["prediction"].tolist() == given[run.oof["id"]].tolist()
    assert run.submission["label"].astype(float).to_numpy() == pytest.approx(run.test["prediction"])
    assert intact.fault(run.folder) is None
    assert 0 < run.grade() <= 1
    assert run.report().exists()
    for words in (["score", "--run", run.name], ["list"], ["runs"], ["site"], ["log", "--comp", "blobs"]):
        main(words)
    assert "| imported " in capsys.readouterr().out
    compared = Project(quiet=True).compare([trained, run])
    assert compared.runs == (trained.name, run.name)
    blend = Project(quiet=True).blend([trained, run], method="hill_climbing")
    assert json.loads((blend.folder / "blend.json").read_text())["method"] == "greedy"
    assert "asked for as hill_climbing" in blend.record
    assert "predictions that depend on the rows beside them (the run has no models of its own" in run.record
    with raises_code("import_twice", "blobs/друг 1-r1"):
        imported("друг 1", folds="folds.csv")
    assert len(list(RUNS.glob("друг*"))) == 1


@pytest.mark.parametrize("known", [True, False])
def test_other_folds_are_a_finding_wherever_the_score_is_used(trained: Run, known: bool) -> None:
    files(trained)
    ids = trained.oof["id"]
    pd.DataFrame({"id": ids, "fold": np.arange(len(ids)) % 4}).to_csv("other.csv", index=False)
    run = imported(folds="other.csv" if known else None)
    (finding,) = [each for each in run.findings if each.code == "foreign_folds"]
    assert finding.level == "warning"
    assert f"{RUNS}/friend-r1/folds.csv" in finding.message
    told = ["4 folds of its own", f"{len(ids)} scored rows", "By its own folds it has auroc"]
    assert all(each in finding.message for each in (told if known else ["nothing says on which folds"]))
    compared = Project(quiet=True).compare([trained, run])
    assert [each.where for each in compared.findings if each.code == "foreign_folds"] == ["blobs/friend-r1"]
    blend = Project(quiet=True).blend([trained, run], method="mean")
    assert [each.where for each in blend.findings if each.code == "foreign_folds"] == ["friend-r1, all folds"]


def test_a_run_is_scored_on_the_folds_of_another(trained: Run) -> None:
    second = Project(quiet=True).train("blobs", "estimator", seed=3, folds=[0, 2])
    files(second)
    run = imported(folds="folds.csv", like="estimator-r2")
    assert codes(run).count("foreign_folds") == 0
    assert list(run.metrics["auroc"]["folds"]) == ["0", "2"]
    assert run.metrics["auroc"]["protocol"] == second.metrics["auroc"]["protocol"]


def test_verbs_that_need_models_refuse_with_a_sentence(trained: Run) -> None:
    files(trained)
    run = imported()
    for ask in (run.refit, run.audit, run.gains, lambda: run.query(ids=["点1"]), run.notebook):
        with raises_code("imported_has_no_models", "blobs/friend-r1"):
            ask()
    for ask in (lambda: run.pick(1), run.atlas):
        with raises_code("no_epochs", "friend-r1"):
            ask()


def test_a_submission_that_is_ready_is_sent_as_it_is_and_tells_no_predictions(trained: Run) -> None:
    files(trained)
    ready = trained.submission.assign(label=(trained.submission["label"].astype(float) > 0.5).astype(float))
    ready.to_csv("test.csv", index=False)
    run = imported()
    assert run.submission["label"].astype(float).tolist() == ready["label"].tolist()
    assert not (run.folder / "test.npy").exists()
    for ask in (lambda: run.test, lambda: Project(quiet=True).blend([trained, run])):
        with raises_code("no_test_predictions", "blobs/friend-r1"):
            ask()
    trained.submission.to_csv("test.csv", index=False)
    same = imported("same")
    assert same.test["prediction"].to_numpy() == pytest.approx(trained.test["prediction"]), "the writer says so itself"
    ready[1:].to_csv("test.csv", index=False)
    with raises_code("submission_ids_absent", "test.csv", "wrong in 1 of 40 rows", "write it again"):
        imported("short")


def test_probabilities_with_the_columns_of_a_submission_of_classes_are_predictions(trained: Run) -> None:
    workspace = Workspace()
    competition, data = workspace.competition("blobs"), workspace.load("blobs")
    classes = {"label": lambda values, ids, rows: None if values.isin([0, 1]).all() else "must be one of 0, 1"}
    strict = replace(competition, submission=replace(competition.submission, checks=classes))
    given = trained.submission.assign(label=np.linspace(0.1, 0.9, len(trained.submission)))
    read = partial(read_test, Path("test.csv"), ("id",), form_of(strict, data.train), np.full(len(data.train), 0.4))
    given.to_csv("test.csv", index=False)
    part = read(data, strict)
    assert (part.values.tolist(), part.ready) == (given["label"].tolist(), None)
    given[1:].to_csv("test.csv", index=False)  # neither
    with raises_code("submission_ids_absent", "write it again"):
        read(data, strict)


def test_names_are_files_names_and_take_no_others_place(trained: Run) -> None:
    files(trained)
    before = sorted(RUNS.rglob("*"))
    strange = ["", ".", "..", "../x", "a/b", "a\\b", "-x", ".x", " x", "a\nb", "x" * 101]
    for name in (*strange, "estimator", "bank", "blend", "estimator-r1"):
        with raises_code("import_name", "NAME"):
            imported(name)
    assert sorted(RUNS.rglob("*")) == before


def test_what_is_missing_is_named_before_a_run_is_made(trained: Run) -> None:
    files(trained)
    with raises_code("import_unreadable", "none.csv"):
        imported(folds="none.csv")
    with raises_code("unknown_run", "estimator-r9"):
        imported(like="estimator-r9")
    Path("test.csv").write_text(Path("oof.csv").read_text(encoding="utf-8"), encoding="utf-8")
    with raises_code("import_ids", "test.csv", "swapped"):
        imported()
    assert [path.name for path in RUNS.glob("*-r*")] == ["estimator-r1"]


# blends by given weights


def test_given_weights_blend_runs_and_files_of_test_predictions(trained: Run, capsys: pytest.CaptureFixture) -> None:
    files(trained)
    run = imported(folds="folds.csv")
    other = run.test.assign(prediction=0.25)
    other.to_csv("数.csv", index=False)
    main(["blend", "estimator-r1", "数.csv", "friend-r1", "--weights", "2", "1", "1", "--quiet"])
    told = capsys.readouterr().out
    blend = Project(quiet=True).run("blend-r1")
    ours, friends = (each.test["prediction"] for each in (trained, run))
    assert blend.test["prediction"].to_numpy() == pytest.approx(0.5 * ours + 0.25 * 0.25 + 0.25 * friends)
    parts = [each.oof["prediction"] for each in (trained, run)]
    assert blend.oof["prediction"].to_numpy() == pytest.approx(2 / 3 * parts[0] + 1 / 3 * parts[1])
    assert codes(blend).count("unscored_member") == 1
    assert "Weights as given: estimator-r1 0.667, friend-r1 0.333" in told
    assert "数.csv 0.250 of the weight of the test predictions" in told
    with raises_code("imported_has_no_models", "数.csv"):
        blend.notebook()
    alone = Project(quiet=True).blend([trained, "数.csv"], weights=[0.9, 0.1])
    assert alone.metrics["auroc"]["mean"] == pytest.approx(trained.metrics["auroc"]["mean"])
    assert alone.metrics["auroc"]["protocol"].endswith("blend of 1 run")
    assert "blend_no_better" not in codes(alone)


@pytest.mark.parametrize("weights", [[1], [1, -1], [1, float("nan")], ["a", 1], [0, 1], []])
def test_weights_that_are_none_are_refused(weights: list) -> None:
    with raises_code("weights_invalid", "WEIGHTS needs a number of at least 0 for each of the 2 members"):
        fixed_weights(["estimator-r1", "test.csv"], weights)


def test_a_file_needs_weights_and_weights_no_method(trained: Run) -> None:
    files(trained)
    with raises_code("weights_invalid", "test.csv has no out-of-fold predictions"):
        Project(quiet=True).blend(["estimator-r1", "test.csv"])
    with raises_code("weights_invalid", "leave one out"):
        Project(quiet=True).blend(["estimator-r1", "test.csv"], method="mean", weights=[1, 1])
    with raises_code("import_ids", "oof.csv", "swapped"):
        Project(quiet=True).blend(["estimator-r1", "oof.csv"], weights=[1, 1])


def test_the_names_of_methods_are_those_of_the_help() -> None:
    assert tuple(METHODS) == NAMES
    assert set(ALIASES.values()) <= set(NAMES)
