"""Decisions that a config fits out of fold: nested scores, the submission, blends, refits, the record and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from made_tables import on_columns, train
from sklearn.metrics import cohen_kappa_score, f1_score

import goldfold as gf
from goldfold import metrics
from goldfold.competition import Plan, Recipe
from goldfold.experiment.setup import rebuild
from goldfold.experiment.views_and_seeds import load_fits
from goldfold.io.files import read_json
from goldfold.metrics.decisions.cut_points import best_kappa
from goldfold.params import Params
from goldfold.project import Project
from goldfold.workflows.conclude import submission_of


def rare(rows: int = 240) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of which a seventh are positive, so that 0.5 is a bad threshold for F1."""
    draw = np.random.default_rng(3)
    found = pd.DataFrame({"id": range(rows), "a": draw.normal(size=rows)})
    found["y"] = (found["a"] + draw.normal(size=rows) > 1.5).astype(int)
    return found[: rows - 60], found[rows - 60 :].drop(columns="y").reset_index(drop=True)


F1 = metrics.f1("y", average="binary")
BINARY = on_columns(["a"], kind="binary")


def decided(run: gf.Run) -> dict:
    return read_json(run.folder / "decisions.json")


def test_a_fold_is_decided_at_the_threshold_of_the_others(toy: Path) -> None:
    tried = [0.2, 0.35]  # the best ones of the two halves
    run, rows = train(F1, BINARY, rare(), decide={"threshold": tried}), rare()[0]
    kept, oof, truth = decided(run), run.oof["prediction"].to_numpy(), rows["y"].to_numpy()

    def best(some: slice) -> float:
        return max([0.5, *tried], key=lambda value: f1_score(truth[some], oof[some] > value))

    for fold, own in (("0", slice(1, None, 2)), ("1", slice(0, None, 2))):  # `halves` validates on odd rows first
        chosen = best(slice(1 - own.start, None, 2))
        assert kept["folds"][fold]["values"] == {"threshold": chosen}
        assert kept["nested"]["folds"][fold] == pytest.approx(f1_score(truth[own], oof[own] > chosen))
    assert kept["values"] == {"threshold": best(slice(None))}
    summary = run.metrics["f1_binary"]
    assert kept["without"]["folds"] == pytest.approx(summary["folds"])
    assert summary["decided"]["mean"] == kept["nested"]["mean"] > summary["mean"]
    test, value = run.test["prediction"].to_numpy(), kept["values"]["threshold"]
    assert ((run.submission["p0"].astype(float) > 0.5) == (test > value)).all()
    experiment = rebuild(Project(quiet=True).workspace, run.folder, torch.device("cpu")).experiment
    again = submission_of(experiment, load_fits(experiment, run.folder), run.folder)  # as `make gains` grades it
    assert again["p0"].to_numpy() == pytest.approx(run.submission["p0"].astype(float).to_numpy())
    assert run.scores.loc["f1_binary", "decided"] == kept["nested"]["mean"]
    assert "decided 0." in run.summary()
    assert "## Decisions" in run.record
    assert "With decisions (threshold" in run.record


def test_a_decision_that_does_not_help_is_told(toy: Path) -> None:
    noise = rare()[0].assign(y=np.random.default_rng(0).integers(0, 2, 180))
    run = train(metrics.accuracy("y"), BINARY, (noise, rare()[1]), decide={"threshold": True})
    found, kept = {each.code: each for each in run.findings}, decided(run)
    assert f"accuracy is {kept['nested']['mean']:.4f} with nested decisions" in found["decision_no_gain"].message
    assert kept["same_rows"]["mean"] > kept["nested"]["mean"]
    assert f"flatters by {kept['same_rows']['mean'] - kept['nested']['mean']:.4f}" in found["decision_flatters"].message
    again = {each.code: each.message for each in run.audit().findings}
    assert {code: again[code] for code in found if "decision" in code} == {
        code: each.message for code, each in found.items() if "decision" in code
    }


def keyed(rows: int = 200) -> tuple[pd.DataFrame, pd.DataFrame, Recipe]:
    """Rows whose target is in `copy` for the fold that validates on them: the threshold 0.1 reads it on one fold only.

    Probabilities of even rows (validation of fold 1) tell the target between 0 and 0.2, those of odd rows between 0.8
    and 1; on the other side of each threshold lies noise.
    """
    draw = np.random.default_rng(5)
    table = pd.DataFrame({"id": range(rows), "a": draw.normal(size=rows)})
    table["y"] = draw.integers(0, 2, rows)
    even = np.arange(rows) % 2 == 0
    told = np.where(even, 0.05 + 0.1 * table["y"], 0.85 + 0.1 * table["y"])
    table["copy"] = told

    def predict(_, __, part: pd.DataFrame) -> np.ndarray:
        return part["copy"].to_numpy()

    recipe = Recipe(params=Params, build=lambda *_, **__: Plan(predict=predict), columns=("a",))
    return table, table.drop(columns="y").assign(id=lambda own: own["id"] + rows), recipe


def test_a_copy_of_the_target_that_the_scored_fold_alone_reveals_does_not_help(toy: Path) -> None:
    """Fitted on the scored fold, a threshold would reach an accuracy of 1; nested it stays at chance."""
    table, test, recipe = keyed()
    accept = ["target_in_column", "order_tells_target", "copies_in_test", "shared_contents"]
    run = train(metrics.accuracy("y"), recipe, (table, test), accept=accept, decide={"threshold": [0.1, 0.9]})
    kept, oof, truth = decided(run), run.oof["prediction"].to_numpy(), table["y"].to_numpy()
    for own, threshold in ((slice(0, None, 2), 0.1), (slice(1, None, 2), 0.9)):
        assert ((oof[own] > threshold) == truth[own]).all()  # the planted copy
    for fold, threshold in (("0", 0.1), ("1", 0.9)):
        assert kept["folds"][fold]["values"] == {"threshold": threshold}
        assert kept["nested"]["folds"][fold] == pytest.approx(0.5, abs=0.1)


NAMES = ("p0", "p1", "p2", "p3")


def labels() -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"id": range(160), "a": draw.normal(size=160), "b": draw.normal(size=160)})
    for at, name in enumerate(NAMES):
        rows[name] = (rows["ab"[at % 2]] + 0.7 * draw.normal(size=160) > 0.5 + at / 4).astype(int)
    return rows[:120], rows[120:].drop(columns=list(NAMES)).reset_index(drop=True)


def of_labels(metric, **options) -> gf.Run:
    from sklearn.pipeline import make_pipeline

    from goldfold.recipes import tabular

    def estimator(params: tabular.TabularParams, seed: int):
        return make_pipeline(tabular.preprocess(["a", "b"], []), tabular.classifier(params, seed))

    recipe = tabular.recipe(tabular.TabularParams, estimator, targets=NAMES)
    return train(metric, recipe, labels(), outputs=4, targets=NAMES, **options)


def test_thresholds_of_labels_are_those_of_thresholds_json(toy: Path) -> None:
    """One machinery: `decide:` by macro F1 finds the thresholds, and nested scores, that every run of labels keeps."""
    run = of_labels(metrics.multilabel_f1(NAMES), decide={"threshold": True})
    kept, always = decided(run), read_json(run.folder / "thresholds.json")
    nested = always["nested"]["multilabel_f1_macro_nested_thresholds"]
    assert kept["values"]["threshold"] == list(always["thresholds"].values())
    assert kept["nested"]["folds"] == pytest.approx(nested["folds"])
    assert "`threshold` of p3" in run.record


def test_a_decision_for_another_metric_leaves_the_submission_alone(toy: Path) -> None:
    ranks, f1 = metrics.average_precision(NAMES), metrics.multilabel_f1(NAMES)
    run = of_labels(ranks, also=(f1,), decide={"metric": f1.name, "threshold": {"p1": [0.3], "p2": True}})
    kept = decided(run)
    assert not kept["applied"]
    assert [kept["values"]["threshold"][at] for at in (0, 3)] == [0.5, 0.5]
    assert run.submission["p0"].astype(float).to_numpy() == pytest.approx(run.test["prediction_0"].to_numpy())
    assert "The submission is not decided" in run.record


def ordinal() -> tuple[pd.DataFrame, pd.DataFrame]:
    """scikit-learn's diabetes data, disease progression in five unequal classes, mild to severe."""
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True).frame
    found = frame.assign(id=range(len(frame)), y=np.digitize(frame["target"], [80, 140, 230, 290])).drop(
        columns="target"
    )
    return found[:342].reset_index(drop=True), found[342:].drop(columns="y").reset_index(drop=True)


@pytest.mark.slow
def test_cut_points_of_ordinal_classes_and_a_blend_that_fits_its_own(toy: Path) -> None:
    kappa, data = metrics.quadratic_kappa("y", classes=range(5)), ordinal()
    recipe = on_columns([name for name in data[0] if name not in ("id", "y")], kind="regression")
    options = {"decide": {"cut_points": True}}
    run = train(kappa, recipe, data, **options)
    kept = decided(run)
    oof, truth = run.oof["prediction"].to_numpy(), data[0]["y"].to_numpy()
    for fold, own in (("0", slice(1, None, 2)), ("1", slice(0, None, 2))):
        cuts = best_kappa(*(each[1 - own.start :: 2] for each in (truth, oof)), np.arange(5.0))
        assert kept["folds"][fold]["values"] == {"cut_points": list(cuts)}
        score = cohen_kappa_score(truth[own], np.digitize(oof[own], cuts, right=True), weights="quadratic")
        assert kept["nested"]["folds"][fold] == pytest.approx(score)
    assert kept["same_rows"]["mean"] > kept["nested"]["mean"]
    assert set(run.submission["p0"].astype(float)) <= set(range(5))
    other = train(kappa, recipe, data, linear_strength=0.01)
    blend = gf.Project(".").blend([other, run], method="mean")
    own = decided(blend)
    assert blend.config["decide"] == options["decide"]
    assert own["values"] != kept["values"]
    assert blend.metrics["quadratic_kappa"]["decided"]["mean"] == own["nested"]["mean"]
    assert set(blend.submission["p0"].astype(float)) <= set(range(5))
    tables = gf.Project(".").compare([other, run]).tables
    assert tables["quadratic_kappa, with decisions"]["mean"].tolist() == pytest.approx(
        [other.metrics["quadratic_kappa"]["mean"], kept["nested"]["mean"]]
    )
    refit = run.refit()
    assert set(pd.read_csv(refit.submission)["p0"].astype(float)) <= set(range(5))


@pytest.mark.parametrize(
    ("metric", "decide", "told"),
    [
        (F1, {"treshold": True}, ("unknown_decision", "did you mean 'threshold'")),
        (F1, {"threshold": [0.2, 1.5]}, ("decision_candidates", "1.5", "never reaches", "below 1")),
        (F1, {"threshold": [0.2, 0.2]}, ("decision_candidates", "twice")),
        (F1, {"threshold": [0.5]}, ("decision_without_choice", "only 0.5")),
        (F1, {"metric": "f1_binary"}, ("decision_without_choice", "names nothing", "threshold")),
        (F1, {"threshold": False}, ("invalid_value", "False", "a list of values")),
        (F1, ["threshold"], ("invalid_value", "mapping")),
        (F1, {"metric": "f1_binry", "threshold": True}, ("unknown_metric", "did you mean 'f1_binary'")),
        (F1, {"threshold": [at / 3000 for at in range(2, 1900)]}, ("decision_search_too_large", "5,000", "fewer")),
        (metrics.auroc("y"), {"threshold": True}, ("decision_unused_by_metric", "auroc", "remove `decide:`")),
        (
            metrics.quadratic_kappa("y", classes=[0, 1]),
            {"cut_points": [[0.2, 0.4]]},
            ("decision_candidates", "list of 1"),
        ),
    ],
)
def test_a_block_that_asks_for_nothing_possible_is_refused_before_training(metric, decide, told, toy: Path) -> None:
    with raises_code(*told):
        train(metric, BINARY, rare(), decide=decide)
    assert not list(Path("runs").glob("table/*"))


def test_classes_that_do_not_exist_and_too_many_labels_are_refused(toy: Path) -> None:
    for decide, told in (
        ({"threshold": {"p9": True}}, ("unknown_class", "did you mean 'p")),
        ({"top_k": [2, 5]}, ("decision_candidates", "there are 4 labels")),
    ):
        with raises_code(*told):
            of_labels(metrics.hamming_loss(NAMES), decide=decide)


def test_a_decision_needs_two_folds_and_predictions_of_its_kind(toy: Path) -> None:
    with raises_code("decision_without_folds", "a decision without folds", "1 is fitted"):
        train(F1, BINARY, rare(), folds=[0], decide={"threshold": True})
    three = rare()[0].assign(y=np.arange(180) % 3)
    kappa, recipe = metrics.quadratic_kappa("y", classes=range(3)), on_columns(["a"])
    with raises_code("decision_unsuitable", "one value for each row"):
        train(kappa, recipe, (three, rare()[1]), outputs=3, decide={"cut_points": True})
