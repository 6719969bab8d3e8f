"""Several labels per row, from the checks before training to the record of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from made_tables import halves, train
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

import goldfold as gf
from goldfold import metrics
from goldfold.competition import Competition, Recipe, Runtime, Submission, Tables
from goldfold.experiment.decisions.label_thresholds import for_submission
from goldfold.experiment.fits import Experiment, Fit, Protocol
from goldfold.io.files import read_json
from goldfold.metrics.decisions.thresholds import best_f1
from goldfold.recipes import tabular
from goldfold.submission import label_columns
from goldfold.training.settings import LoopOptions

NAMES = ("p0", "p1", "p2", "p3")


def of_labels(targets: Sequence[str] = NAMES) -> Recipe:
    def estimator(params: tabular.TabularParams, seed: int):
        return make_pipeline(tabular.preprocess(["a", "b"], []), tabular.classifier(params, seed))

    return tabular.recipe(tabular.TabularParams, estimator, targets=targets)


def tables(**changed) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and test rows; each label depends on one of two columns."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"id": range(160), "a": draw.normal(size=160), "b": draw.normal(size=160)})
    for at, name in enumerate(NAMES):
        rows[name] = (rows["ab"[at % 2]] + 0.7 * draw.normal(size=160) > at / 4).astype(int)
    return rows[:120].assign(**changed), rows[120:].drop(columns=list(NAMES)).reset_index(drop=True)


def trained(data: tuple[pd.DataFrame, pd.DataFrame], metric=None, recipe=None, **options) -> gf.Run:
    metric, recipe = metric or metrics.average_precision(NAMES), recipe or of_labels()
    return train(metric, recipe, data, outputs=4, targets=NAMES, **options)


def test_predictions_are_independent_probabilities_in_the_order_of_the_targets(toy: Path) -> None:
    run = trained(tables(), also=(metrics.hamming_loss(NAMES),))
    rows = tables()[0]
    oof = run.oof.drop(columns="id").to_numpy()
    assert oof.shape == (120, 4)
    for at, name in enumerate(NAMES):
        assert oof[rows[name] == 1, at].mean() > oof[rows[name] == 0, at].mean() + 0.1
    notes = [found for found in run.findings if found.code == "rows_without_labels"]
    assert str(int((rows[list(NAMES)].sum(axis=1) == 0).sum())) in notes[0].message


def test_labels_without_a_positive_in_a_fold_are_all_named(toy: Path) -> None:
    rare = np.zeros(120, int)
    rare[[0, 2]] = 1  # both in one half

    run = trained(tables(p1=rare, p3=0), recipe=of_labels())
    (found,) = [each for each in run.findings if each.code == "untrained_class" and "fold 1" in each.where]
    assert found.level == "warning"
    assert "'p1' (2 in all rows), 'p3' (0 in all rows) of 4 classes" in found.message
    assert (run.oof.drop(columns="id").to_numpy()[::2, 1] == 0).all()
    assert "up to 2 of 4 classes empty in a fold" in (run.folder / "record.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"p2": 2}, ("labels_not_binary", "'p2'", "120 of 120 rows", "such as 2 in the row with id 0")),
        ({"p2": "Drama|Comedy"}, ("labels_not_binary", "'Drama|Comedy'", "indicator_columns")),
    ],
)
def test_a_label_column_that_is_not_binary_is_refused_before_training(toy: Path, changed, told) -> None:
    with raises_code(*told):
        trained(tables(**changed))
    assert not list(Path("runs").glob("table/*"))


def test_metric_and_recipe_have_one_order_of_labels(toy: Path) -> None:
    with raises_code("class_order_differs", "'p3', 'p2'", "`targets`"):
        trained(tables(), metric=metrics.hamming_loss(NAMES[::-1]))


def test_labels_that_the_sample_submission_spells_in_another_way_are_refused(toy: Path) -> None:
    spelled = dict(zip(NAMES, ("P0", "p_1", "p2", "p3"), strict=True))
    data, names = tables(), tuple(spelled.values())
    with raises_code("label_names_differ", "2 of 4", "'P0' there 'p0'", "'p_1' there 'p1'", "load()"):
        train(
            metrics.average_precision(names),
            of_labels(names),
            (data[0].rename(columns=spelled), data[1]),
            outputs=4,
            targets=names,
        )


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("p0", "p1", "p2", "western"), "lacks column 'western'"),
        (("p0", "p1", "p2"), "extra column 'p3'"),
        (("p1", "p0", "p2", "p3"), "another order"),
    ],
)
def test_other_columns_than_the_sample_has_are_refused_before_training(names, told, toy: Path) -> None:
    train_rows, test_rows = tables()
    sample = test_rows[["id"]].assign(**dict.fromkeys(names, 0.5))
    with raises_code("submission_columns_differ", told):
        trained((train_rows, test_rows), sample=sample)
    assert not list(Path("runs").glob("table/*"))


def test_runs_and_blends_score_each_label(toy: Path) -> None:
    runs = [trained(tables()), trained(tables(), estimator="forest", forest_trees=20)]
    for run in (*runs, gf.Project(".").blend(runs, method="mean")):
        scores = pd.read_csv(run.folder / "classes.csv")
        assert scores["class"].tolist() == list(NAMES)
        assert scores["average_precision"].mean() == pytest.approx(next(iter(run.metrics.values()))["pooled"])
        assert "## Classes" in run.record


def test_a_fold_is_decided_at_thresholds_of_the_other_folds(toy: Path) -> None:
    run, rows = trained(tables(), also=(metrics.multilabel_f1(NAMES),)), tables()[0]
    kept, oof = read_json(run.folder / "thresholds.json"), run.oof.drop(columns="id").to_numpy()
    truth = rows[list(NAMES)].to_numpy()
    assert kept["thresholds"] == dict(zip(NAMES, best_f1(truth, oof).tolist(), strict=True))
    nested = kept["nested"]["multilabel_f1_macro_nested_thresholds"]
    for fold, own in ((0, slice(1, None, 2)), (1, slice(0, None, 2))):  # `halves` validates on odd rows first
        others = slice(1 - own.start, None, 2)
        decided = oof[own] > best_f1(truth[others], oof[others])
        assert nested["folds"][str(fold)] == pytest.approx(f1_score(truth[own], decided, average="macro"))
    assert nested["at_one_half"] == pytest.approx(run.metrics["multilabel_f1_macro"]["mean"])
    assert "multilabel_f1_macro_nested_thresholds" in run.record


def experiment_of(data: tuple[pd.DataFrame, pd.DataFrame], submission: Submission) -> Experiment:
    whole = Tables(train=data[0], test=data[1], sample_submission=data[1][["id"]])
    competition = Competition(
        slug="made",
        metric=metrics.hamming_loss(NAMES),
        targets=NAMES,
        prepare=lambda *_: None,
        load=lambda _: whole,
        split=halves,
        recipes={"made": of_labels()},
        submission=submission,
    )
    return Experiment(
        competition=competition,
        recipe=competition.recipes["made"],
        params=tabular.TabularParams(),
        loop=LoopOptions(),
        protocol=Protocol(),
        tables=whole,
        folds=halves(data[0], 0),
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=Path()),
    )


def test_some_fits_are_submitted_at_thresholds_of_their_own_validation_rows() -> None:
    draw, data = np.random.default_rng(1), tables()
    guess, test = draw.random((60, 4)), draw.random((40, 4))
    experiment = experiment_of(data, label_columns.label_sets("genres", NAMES))
    known = {"seed": 0, "scores": {}, "chance": {}, "epoch": None, "history": [], "facts": {}}
    shifted = for_submission(experiment, [Fit(fold=1, validation=guess, test=test, **known)], test)
    truth = data[0].iloc[experiment.folds[1].validation][list(NAMES)].to_numpy()
    assert ((shifted > 0.5) == (test > best_f1(truth, guess))).all()
