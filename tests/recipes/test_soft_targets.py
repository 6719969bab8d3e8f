"""Weights of rows and soft targets: the losses against closed forms, and one recipe of each kind that accepts them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from goldfold.competition import Runtime
from goldfold.data.training_rows import estimators, soft_targets
from goldfold.data.training_rows.soft_targets import RowTargets
from goldfold.experiment.fits.lessons import Distillation, Lessons, PseudoLabels, Targets, taught
from goldfold.nn import class_losses
from goldfold.optional_parts import ClassLabels, LabelColumns
from goldfold.params import Params
from goldfold.recipes import tabular
from goldfold.recipes.targets import OneLabel, SeveralLabels

RANDOM = np.random.default_rng(0)
CLASSES = ("x", "y", "z")


def probabilities(rows: int, classes: int = 3) -> np.ndarray:
    return RANDOM.dirichlet(np.ones(classes), rows)


def rows_of(labels: np.ndarray, found: RowTargets) -> pd.DataFrame:
    return soft_targets.put(pd.DataFrame({"label": np.array(CLASSES)[labels]}), found)


def test_the_loss_is_that_of_the_paper():
    """Hinton et al. 2015: (1 - a) CE(y, softmax(z)) + a T**2 CE(q, softmax(z / T)), by torch's own cross-entropy."""
    n, temperature, share = 6, 3.0, 0.7
    labels, q = RANDOM.integers(0, 3, n), probabilities(n)
    weight = RANDOM.uniform(0.5, 2, n)
    logits = torch.from_numpy(RANDOM.normal(size=(n, 3)) * 3)
    targets = OneLabel("label", CLASSES)
    found = RowTargets(weight, np.full(n, share), q, np.full(n, temperature))
    masses = targets.labels(rows_of(labels, found))
    own = targets.row_losses(one_label(), masses)(logits, torch.from_numpy(masses))
    hard = F.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
    soft = F.cross_entropy(logits / temperature, torch.from_numpy(q), reduction="none")
    expected = torch.from_numpy(weight) * ((1 - share) * hard + share * temperature**2 * soft)
    torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-6)  # masses are float32
    mean = targets.loss(one_label(), masses)(logits, torch.from_numpy(masses))["cross_entropy"]
    torch.testing.assert_close(mean, expected.mean(), rtol=1e-6, atol=1e-6)


def one_label(**values: object):
    """Parameters of the loss of one label."""
    return OneLabel("label", CLASSES).params(Params)(**values)


def test_without_share_it_is_cross_entropy_with_smoothing():
    labels, logits = RANDOM.integers(0, 3, 8), torch.randn(8, 3)
    nothing = RowTargets(np.ones(8), np.zeros(8), np.zeros((8, 3)), np.ones(8))
    masses = torch.from_numpy(OneLabel("label", CLASSES).labels(rows_of(labels, nothing)))
    own = class_losses.distillation(logits, masses, smoothing=0.1)
    torch.testing.assert_close(own, F.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=0.1))


def test_several_labels_take_probabilities_and_weights():
    targets, n = SeveralLabels(("a", "b")), 5
    known = RANDOM.integers(0, 2, (n, 2)).astype(float)
    q, weight, share = RANDOM.uniform(size=(n, 2)), RANDOM.uniform(0.5, 2, n), np.full(n, 0.25)
    rows = soft_targets.put(pd.DataFrame(known, columns=["a", "b"]), RowTargets(weight, share, q, np.ones(n)))
    params, masses = targets.params(Params)(), targets.labels(rows)
    logits = torch.from_numpy(RANDOM.normal(size=(n, 2)))
    own = targets.loss(params, masses)(logits, torch.from_numpy(masses))["bce"]
    mixed = torch.from_numpy(0.75 * known + 0.25 * q)
    expected = F.binary_cross_entropy_with_logits(logits, mixed, weight=torch.from_numpy(weight)[:, None])
    torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("values", [{"loss": "focal"}, {"class_weights": "balanced"}, {"balanced_sampler": True}])
def test_losses_that_have_no_soft_targets_are_refused(values: dict):
    masses = np.zeros((4, 7), np.float32)
    targets = OneLabel("label", CLASSES)
    with raises_code("soft_targets_unsupported", next(iter(values))):
        targets.balance(one_label(**values), masses)
        targets.loss(one_label(**values), masses)


def test_an_estimator_minimizes_the_log_loss_of_soft_targets():
    """A logistic regression without a penalty on one binary feature has the mean soft target of each value."""
    n = 400
    feature, q = RANDOM.integers(0, 2, n), RANDOM.uniform(size=n)
    rows = pd.DataFrame({"feature": feature.astype(float)})
    labels = pd.Series(RANDOM.integers(0, 2, n))
    weight, share = RANDOM.uniform(0.5, 2, n), np.full(n, 0.6)
    found = RowTargets(weight, share, np.stack([1 - q, q], axis=1), np.ones(n))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1e9, tol=1e-10))
    fitted = estimators.fit(pipeline, soft_targets.put(rows, found), labels, (0, 1))
    own = fitted.predict_proba(pd.DataFrame({"feature": [0.0, 1.0]}))[:, 1]
    mixed = 0.4 * labels.to_numpy() + 0.6 * q
    expected = [np.average(mixed[feature == value], weights=weight[feature == value]) for value in (0, 1)]
    np.testing.assert_allclose(own, expected, atol=1e-5)
    np.testing.assert_allclose(fitted[0].mean_, feature.mean())  # the scaler saw each row once


def test_rows_without_reserved_columns_are_fitted_as_they_are():
    rows = pd.DataFrame(RANDOM.normal(size=(50, 2)), columns=["a", "b"])
    labels = pd.Series(RANDOM.integers(0, 2, 50))
    own = estimators.fit(RandomForestClassifier(5, random_state=0), rows, labels, None)
    expected = RandomForestClassifier(5, random_state=0).fit(rows, labels)
    np.testing.assert_array_equal(own.predict_proba(rows), expected.predict_proba(rows))


def test_softened_probabilities_are_the_softmax_of_softer_logits():
    logits = torch.from_numpy(RANDOM.normal(size=(5, 4)) * 4)
    own = soft_targets.softened(logits.softmax(1).numpy(), 2.5)
    np.testing.assert_allclose(own, (logits / 2.5).softmax(1).numpy(), atol=1e-12)


def lessons(**values: object) -> Lessons:
    return Lessons(**values)  # type: ignore[arg-type]


def test_regressions_mix_values_into_their_target():
    rows = pd.DataFrame({"id": ["a", "b"], "y": [1.0, 2.0]})
    told = lessons(distill=Distillation(teacher="t", alpha=0.25), soft={0: np.array([5.0, np.nan, 9.0])})
    own = taught(rows, np.array([0, 1]), told, 0, Targets(None, None, ("y",)))
    assert own["y"].tolist() == [0.75 * 1 + 0.25 * 5, 2.0]


def test_pseudo_labels_are_appended_with_their_type_and_the_threshold():
    rows = pd.DataFrame({"id": ["a", "b"], "label": ["x", "z"], "size": [1, 2], "only": ["p", "q"]})
    unlabeled = pd.DataFrame({"id": ["t1", "t2", "t3"], "size": [3, 4, 5]})
    guesses = np.array([[0.1, 0.9, 0.0], [0.3, 0.3, 0.4], [0.0, 0.05, 0.95]])
    told = lessons(
        pseudo=PseudoLabels(teacher="t", threshold=0.9, labels="soft", weight=0.5),
        unlabeled=unlabeled,
        guesses={0: guesses},
    )
    own = taught(rows, np.arange(2), told, 0, Targets(ClassLabels("label", CLASSES), CLASSES, ("label",)))
    assert own["id"].tolist() == ["a", "b", "t1", "t3"]
    assert own["label"].tolist() == ["x", "z", "y", "z"]
    found = soft_targets.take(own)
    assert found is not None
    assert (found.weight.tolist(), found.share.tolist()) == ([1, 1, 0.5, 0.5], [0, 0, 1, 1])
    np.testing.assert_allclose(found.soft[2:], guesses[[0, 2]])


def test_of_several_labels_all_must_be_sure():
    guesses = np.array([[0.95, 0.02], [0.95, 0.5]])
    told = lessons(pseudo=PseudoLabels(teacher="t", threshold=0.9), guesses={0: guesses}, several=True)
    assert told.sure(0).tolist() == [0]
    told = replace(told, unlabeled=pd.DataFrame({"id": ["t1", "t2"]}))
    rows = pd.DataFrame({"id": ["a"], "p": [0], "q": [1]})
    own = taught(rows, np.arange(1), told, 0, Targets(LabelColumns(("p", "q")), ("p", "q"), ("p", "q")))
    assert own[["p", "q"]].to_numpy().tolist() == [[0, 1], [1, 0]]
    assert own["p"].dtype == rows["p"].dtype


def test_a_weighted_regression_is_scikit_learns():
    values = pd.DataFrame({"id": range(30), "x": RANDOM.normal(size=30), "y": RANDOM.normal(size=30)})
    weight = np.where(np.arange(30) < 20, 1.0, 0.2)
    given = soft_targets.put(values, RowTargets(weight, np.zeros(30), np.empty((30, 0)), np.ones(30)))
    params = tabular.TabularParams(estimator="boosting", boosting_leaf=5)
    recipe = tabular.recipe(
        tabular.TabularParams,
        lambda params, seed: make_pipeline(tabular.preprocess(["x"], []), tabular.regressor(params, seed)),
        target="y",
        kind="regression",
    )
    runtime = Runtime(seed=0, device=torch.device("cpu"), cache=Path())
    own = recipe.build(params, given, runtime).finish(None)
    model = tabular.regressor(params, 0)
    expected = make_pipeline(tabular.preprocess(["x"], []), model)
    expected.fit(values[["id", "x"]], values["y"], histgradientboostingregressor__sample_weight=weight)
    np.testing.assert_array_equal(own.predict(values), expected.predict(values))
