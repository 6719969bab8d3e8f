"""Columns of probabilities have one order of the classes, that of the metric, in every fold and every recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_tables import on_columns, train
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

import goldfold as gf
from goldfold import metrics
from goldfold.competition import Fold
from goldfold.io.files import read_json


def points(classes: tuple, rows: int = 240) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and test rows around one center per class."""
    draw = np.random.default_rng(0)
    at = np.arange(rows) // 2 % len(classes)
    table = pd.DataFrame({"id": range(rows), "a": draw.normal(2 * at), "b": draw.normal(at % 2)})
    labels = pd.Series([classes[each] for each in at], dtype=object)
    return table.assign(y=labels)[:200], table[200:].reset_index(drop=True)


def probabilities(run: gf.Run) -> np.ndarray:
    return run.oof.drop(columns="id").to_numpy()


def pooled(run: gf.Run) -> float:
    return next(iter(read_json(run.folder / "metrics.json").values()))["pooled"]


def by_hand(table: pd.DataFrame) -> tuple[np.ndarray, list]:
    """Out-of-fold probabilities of scikit-learn over the two halves, and the order of their columns."""
    found = np.zeros((len(table), table["y"].nunique()))
    for part in (0, 1):
        own, other = table[part::2], table[1 - part :: 2]
        scaler = StandardScaler().fit(own[["a", "b"]])
        fitted = LogisticRegression(max_iter=2000).fit(scaler.transform(own[["a", "b"]]), own["y"].infer_objects())
        found[1 - part :: 2] = fitted.predict_proba(scaler.transform(other[["a", "b"]]))
    return found, list(fitted.classes_)


@pytest.mark.parametrize("classes", [("a", "b", "d", "c"), ("1", "2", "9", "10"), (3, 1, 2, 0)])
def test_the_columns_have_the_order_of_the_metrics_classes(toy: Path, classes) -> None:
    tables = points(classes)
    run = train(metrics.accuracy("y", classes=classes), on_columns(["a", "b"]), tables, outputs=4)
    expected, order = by_hand(tables[0])
    assert pooled(run) == (np.array(order)[expected.argmax(1)] == tables[0]["y"]).mean()
    np.testing.assert_allclose(probabilities(run), expected[:, [order.index(each) for each in classes]], atol=1e-6)


def test_the_second_class_of_the_metric_is_the_positive_one(toy: Path) -> None:
    tables = points(("healthy", "disease"))
    recipe = on_columns(["a", "b"], kind="binary")
    run = train(metrics.auroc("y", classes=("healthy", "disease")), recipe, tables)
    expected, order = by_hand(tables[0])
    truth = tables[0]["y"] == "disease"
    assert pooled(run) == pytest.approx(roc_auc_score(truth, expected[:, order.index("disease")]))
    assert pooled(run) > 0.7


def test_without_a_declared_order_the_labels_are_sorted(toy: Path) -> None:
    tables = points(("b", "a", "c"))
    metric = metrics.rmse("number")
    numbered = (tables[0].assign(number=0.0), tables[1])
    recipe = on_columns(["a", "b"], classes=None)
    with raises_code("wrong_prediction_shape"):  # rmse takes one column; the run stops in its first fold
        train(metric, recipe, numbered, outputs=3, targets=("y", "number"))


@pytest.mark.parametrize(
    ("metric", "also", "own"),
    [
        (metrics.accuracy("y", classes=("a", "b", "c")), (), ("c", "b", "a")),
        (metrics.accuracy("y", classes=("a", "b", "c")), (metrics.log_loss("y", classes=("b", "a", "c")),), None),
        (metrics.accuracy("y", classes=("a", "b", "c", "d")), (), ("a", "b", "c")),
        (metrics.auroc("y", classes=("a", "b")), (), ("a", "b", "c")),
    ],
)
def test_another_order_is_refused_before_training(toy: Path, metric, also, own) -> None:
    with raises_code("class_order_differs", "'a'", "give both the same `classes`"):
        train(metric, on_columns(["a"], classes=own), points(("a", "b", "c")), also=also, outputs=3)
    assert not list(Path("runs").glob("table/*"))


def test_a_label_outside_the_classes_is_refused_before_training(toy: Path) -> None:
    with raises_code("unknown_class", "'c'"):
        train(metrics.accuracy("y", classes=("a", "b")), on_columns(["a"]), points(("a", "b", "c")))
    assert not list(Path("runs").glob("table/*"))


def test_labels_of_another_type_than_the_classes_say_so(toy: Path) -> None:
    with raises_code("unknown_class", "'y' holds 0,", "['0', '1'] (200 of 200 values", "make labels and classes"):
        train(metrics.accuracy("y", classes=("0", "1")), on_columns(["a"], kind="binary"), points((0, 1)))


def test_a_list_among_labels_is_no_class(toy: Path) -> None:
    tables = points(("a", "b"))
    tables[0].at[3, "y"] = ["a"]
    with raises_code("unknown_class", "holds ['a']", "(1 of 200 values"):
        train(metrics.accuracy("y", classes=("a", "b")), on_columns(["a"]), tables, outputs=2)


def test_a_single_class_is_refused_before_training(toy: Path) -> None:
    with raises_code("single_class", "'y' is 'a' in all 200 train rows"):
        train(metrics.accuracy("y", classes=("a", "b")), on_columns(["a"]), points(("a",)), outputs=2)
    assert not list(Path("runs").glob("table/*"))


def test_a_class_that_a_fold_lacks_has_probability_0_and_is_said(toy: Path) -> None:
    classes = ("b", "a", "c")
    tables = points(classes)
    lacking = np.flatnonzero(tables[0]["y"] != "a")

    def split(rows: pd.DataFrame, seed: int) -> list[Fold]:
        odd = np.arange(1, len(rows), 2)
        even = np.arange(0, len(rows), 2)
        return [Fold(np.intersect1d(even, lacking), odd), Fold(odd, even)]

    run = train(metrics.accuracy("y", classes=classes), on_columns(["a", "b"]), tables, outputs=3, split=split)
    assert (probabilities(run)[1::2, 1] == 0).all()
    np.testing.assert_allclose(probabilities(run).sum(1), 1)
    assert [(found.code, found.level, found.where) for found in run.findings if "class" in found.code] == [
        ("untrained_class", "warning", "fold 0")
    ]


def test_a_fold_of_one_class_is_refused_before_training(toy: Path) -> None:
    tables = points(("a", "b"))

    def split(rows: pd.DataFrame, seed: int) -> list[Fold]:
        is_a = np.flatnonzero(rows["y"] == "a")
        return [Fold(is_a[:20], is_a[20:]), Fold(is_a[20:], is_a[:20])]

    with raises_code("untrained_class", "fold 0", "'b'"):
        train(metrics.accuracy("y", classes=("a", "b")), on_columns(["a"], kind="binary"), tables, split=split)
