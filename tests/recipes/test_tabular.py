"""The tabular recipe equals scikit-learn used by hand, and sees nothing but one fold's training rows."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from goldfold.competition import Runtime
from goldfold.recipes import tabular
from goldfold.recipes.tabular import TabularParams, preprocess

SETS = {"binary": load_breast_cancer, "multiclass": load_wine, "regression": load_diabetes}


def table(kind: str) -> pd.DataFrame:
    """All rows of a data set with an id and the column `target`, in a fixed random order."""
    rows = SETS[kind](as_frame=True).frame.sample(frac=1, random_state=0, ignore_index=True)
    return rows.assign(id=[f"行{number}" for number in range(len(rows))])


def predicted(made, params, train: pd.DataFrame, rows: pd.DataFrame, seed: int = 0) -> np.ndarray:
    plan = made.build(params, train, Runtime(seed=seed, device=torch.device("cpu"), cache=Path()))
    assert plan.model is None
    assert not plan.stages
    return plan.predict(None, plan.finish(None), rows)


def columns_of(kind: str) -> list[str]:
    return [str(name) for name in SETS[kind]().feature_names]


def on_all_columns(kind: str):
    """A recipe that scales every column of the data set of its kind."""
    columns, make = columns_of(kind), tabular.regressor if kind == "regression" else tabular.classifier
    return tabular.recipe(
        TabularParams, lambda params, seed: make_pipeline(preprocess(columns, []), make(params, seed)), "target", kind
    )


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_a_classifier_equals_scikit_learn_by_hand(kind):
    rows = table(kind)
    train, held_out = rows[:120], rows[120:].drop(columns="target")
    columns = columns_of(kind)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=2000))
    expected = reference.fit(train[columns], train["target"]).predict_proba(held_out[columns])
    found = predicted(on_all_columns(kind), TabularParams(linear_strength=0.5), train, held_out)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected[:, 1] if kind == "binary" else expected, atol=1e-9)


# Chance levels: R2 0 for values, the share of the largest class (0.63, 0.40) for the others.
@pytest.mark.parametrize("estimator", ["linear", "forest", "boosting"])
@pytest.mark.parametrize(("kind", "least"), [("binary", 0.9), ("multiclass", 0.9), ("regression", 0.3)])
def test_every_estimator_learns_and_repeats_for_a_seed(estimator, kind, least):
    rows = table(kind)
    train, held_out = rows[:120], rows[120:]
    params = TabularParams(estimator=estimator, forest_trees=20, boosting_leaf=5)
    found = predicted(on_all_columns(kind), params, train, held_out.drop(columns="target"))
    truth = held_out["target"].to_numpy()
    assert found.shape == ((len(held_out), 3) if kind == "multiclass" else (len(held_out),))
    if kind == "regression":
        assert 1 - ((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum() > least
    else:
        assert ((found > 0.5 if kind == "binary" else found.argmax(axis=1)) == truth).mean() > least
    np.testing.assert_array_equal(
        found, predicted(on_all_columns(kind), params, train, held_out.drop(columns="target"))
    )


def test_another_seed_grows_another_forest():
    rows, params = table("binary"), TabularParams(estimator="forest", forest_trees=5)
    one, other = (predicted(on_all_columns("binary"), params, rows[:120], rows[120:], seed) for seed in (1, 2))
    assert (one != other).any()


def test_labels_may_be_text():
    rows = table("binary")
    words = rows.assign(target=rows["target"].map({0: "恶性", 1: "良性"}))
    made, params = on_all_columns("binary"), TabularParams()
    np.testing.assert_array_equal(
        predicted(made, params, words[:120], words[120:]), predicted(made, params, rows[:120], rows[120:])
    )


def test_a_binary_target_of_one_class_is_refused():
    rows = table("binary").assign(target=1)
    with raises_code("target_not_binary", "'target' .* found 1"):
        predicted(on_all_columns("binary"), TabularParams(), rows, rows)


@pytest.mark.parametrize(
    "dressed",
    [
        lambda labels: labels.astype("Int64"),
        lambda labels: labels.astype("category"),
        lambda labels: labels.astype(float),
        lambda labels: labels.astype(object),
        lambda labels: labels == 1,
        lambda labels: (labels == 1).astype("boolean"),
    ],
)
def test_labels_of_any_dtype_predict_alike(dressed):
    rows = table("binary")
    other = rows.assign(target=dressed(rows["target"]))
    made, params = on_all_columns("binary"), TabularParams()
    np.testing.assert_array_equal(
        predicted(made, params, other[:120], other[120:]), predicted(made, params, rows[:120], rows[120:])
    )


# --- the check before training -------------------------------------------------------------------------------------

TRAIN = pd.DataFrame({"id": range(6), "x": [1.0, 2, 3, 4, 5, np.nan], "c": list("abcabc"), "y": [0, 1] * 3})
TEST = TRAIN.drop(columns="y")


def check(train: pd.DataFrame, test: pd.DataFrame, kind: str = "binary", first=()) -> None:
    make = tabular.regressor if kind == "regression" else tabular.classifier

    def estimator(params: TabularParams, seed: int):
        return make_pipeline(*first, preprocess(["x"], ["c"]), make(params, seed))

    tabular.recipe(TabularParams, estimator, "y", kind).check(TabularParams(), train, test)


def test_sound_tables_pass_the_check():
    check(TRAIN, TEST)
    check(TRAIN.assign(c=[1, "1", 2, None, 2.0, "b"]), TEST.assign(c=1.0))
    check(TRAIN.assign(x=None, c=np.nan), TEST.assign(x=pd.NA))


@pytest.mark.parametrize(
    ("train", "test", "code", "facts"),
    [
        (TRAIN, TEST.assign(x=["1", "viele", "2"] * 2), "column_not_numeric", "'x' of the test .* 2 of 6 .* 'viele'"),
        (TRAIN.assign(x=["1", "viele", "2"] * 2), TEST, "column_not_numeric", "'x' of the train table"),
        (TRAIN, TEST.assign(x=[np.inf] + [1.0] * 5), "column_not_finite", "'x' of the test .* 1 of 6 rows .* inf"),
        (
            TRAIN.assign(c=[1, 2, np.inf] * 2),
            TEST,
            "column_not_finite",
            "categorical column 'c' of the train .* 2 of 6",
        ),
        (TRAIN, TEST.drop(columns="x"), "column_not_in_test", "numeric column 'x' .* 6 train rows .* 6 test rows"),
        (TRAIN.drop(columns="c"), TEST, "unknown_column", "train table 'c'"),
        (TRAIN, TEST.assign(z=1).rename(columns={"z": 0}), "column_name_not_text", "got 0"),
        (TRAIN.assign(y=1), TEST, "target_not_binary", "'y' .* found 1"),
        (TRAIN.assign(y=[0, 0.5] * 3), TEST, "target_not_classes", "'y' .* 0.5"),
        (TRAIN.assign(y=pd.Timestamp("2024-01-01")), TEST, "target_not_classes", "'y' .* Timestamp"),
    ],
)
def test_faulty_tables_are_refused_before_training(train, test, code, facts):
    with raises_code(code, facts):
        check(train, test)


@pytest.mark.parametrize(
    ("values", "code"), [(["1", "b"] * 3, "target_not_numeric"), ([1, np.inf] * 3, "target_not_finite")]
)
def test_a_regression_needs_finite_numbers(values, code):
    with raises_code(code, "'y'"):
        check(TRAIN.assign(y=values), TEST, "regression")


def test_columns_that_earlier_steps_make_are_checked():
    made = FunctionTransformer(lambda rows: rows.assign(x=1 / rows["z"]))
    check(TRAIN.assign(z=2.0), TEST.assign(z=3.0), first=[made])
    with raises_code("column_not_finite", "'x' of the test table", "6 of 6"):
        check(TRAIN.assign(z=2.0), TEST.assign(z=0.0), first=[made])


# --- preprocess ----------------------------------------------------------------------------------------------------

FITTED = pd.DataFrame({"age": [1.0, 3.0, 8.0, np.nan], "deck": ["A", "B", None, "A"], "unused": [1, 2, 3, 4]})
SEEN = pd.DataFrame({"age": [np.nan, 1000.0], "deck": ["C", None], "unused": [5, 6]})


def test_gaps_and_new_categories_are_filled_from_what_was_fitted():
    made = preprocess(["age"], ["deck"]).fit(FITTED)
    ages = np.array([1.0, 3.0, 8.0, 3.0])  # the gap is the median
    missing = np.array([0.0, 0.0, 0.0, 1.0])
    expected = [
        [(3 - ages.mean()) / ages.std(), (1 - missing.mean()) / missing.std(), 0, 0, 0],
        [(1000 - ages.mean()) / ages.std(), (0 - missing.mean()) / missing.std(), 0, 0, 1],
    ]
    np.testing.assert_allclose(made.transform(SEEN), expected)


def test_codes_for_trees():
    made = preprocess([], ["deck"], encode="ordinal").fit(FITTED)
    np.testing.assert_array_equal(made.transform(FITTED)[:, 0], [0, 1, -2, 0])
    np.testing.assert_array_equal(made.transform(SEEN)[:, 0], [-1, -2])


def test_a_column_without_any_value_in_a_fold_is_kept():
    empty = FITTED.assign(age=np.nan)
    assert preprocess(["age"], []).fit(empty).transform(SEEN).shape == (2, 2)


@pytest.mark.parametrize("encode", ["onehot", "ordinal"])
def test_categories_are_compared_by_what_they_spell(encode):
    numbers, text = pd.DataFrame({"c": [1, 2, 10]}), pd.DataFrame({"c": pd.Series([1, "2", 10.0, "b"], dtype=object)})
    made = preprocess([], ["c"], encode=encode).fit(numbers)
    for same in (pd.DataFrame({"c": [1.0, 2, 10]}), pd.DataFrame({"c": ["1", "2.0", "10"]})):
        np.testing.assert_array_equal(made.transform(same), made.transform(numbers))
    strange = made.transform(pd.DataFrame({"c": ["b", "2"]}))
    np.testing.assert_array_equal(strange, [[0, 0, 0], [0, 1, 0]] if encode == "onehot" else [[-1], [1]])
    made = preprocess([], ["c"], encode=encode).fit(text)
    np.testing.assert_array_equal(made.transform(pd.DataFrame({"c": [1, 2, 10]})), made.transform(text)[:3])


def test_one_row_and_a_column_listed_twice_are_transformed():
    made = preprocess(["age", "age"], ["deck", "deck"]).fit(FITTED)
    assert made.transform(SEEN[:1]).shape == (1, 5)


def test_other_transformers_of_columns_are_left_alone():
    own = ColumnTransformer([("numeric", StandardScaler(), slice(1, 2)), ("categorical", "drop", ["c"])])
    made = tabular.recipe(TabularParams, lambda *_: make_pipeline(own, LogisticRegression()), "y", "binary")
    made.check(TabularParams(), TRAIN.dropna(), TEST)


def test_columns_named_by_numbers_are_refused():
    with raises_code("column_name_not_text", "got 3", "rename"):
        preprocess([3], [])


def test_names_of_the_features():
    names = preprocess(["age"], ["deck"]).fit(FITTED).get_feature_names_out()
    assert names.tolist() == [
        *("numeric__age", "numeric__missingindicator_age"),
        *("categorical__deck_A", "categorical__deck_B", "categorical__deck_nan"),
    ]


def several(rows: pd.DataFrame) -> pd.DataFrame:
    """The wines with three labels instead of a target: two of them overlap, and no wine has the third."""
    labels = {"first": rows["target"] == 0, "old": (rows["target"] < 2).astype(int), "never": 0}
    return rows.drop(columns="target").assign(**labels)


def test_several_labels_are_one_classifier_each():
    rows, names = several(table("multiclass")), ["old", "first", "never"]
    train, held_out = rows[:120], rows[120:].drop(columns=names)
    columns = columns_of("multiclass")
    made = tabular.recipe(
        TabularParams,
        lambda params, seed: make_pipeline(preprocess(columns, []), tabular.classifier(params, seed)),
        targets=names,
    )
    with warnings.catch_warnings(action="error"):
        found = predicted(made, TabularParams(), train, held_out)
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    for at, name in enumerate(names[:2]):
        expected = reference.fit(train[columns], train[name].astype(int)).predict_proba(held_out[columns])
        np.testing.assert_allclose(found[:, at], expected[:, 1], atol=1e-9)
    assert found.dtype == np.float64
    assert (found[:, 2] == 0).all()


def test_a_recipe_for_tables_takes_one_target_or_several():
    for arguments in ({}, {"target": "y"}, {"target": "y", "kind": "binary", "targets": ["a", "b"]}):
        with raises_code("targets_unclear", "target='column' with kind="):
            tabular.recipe(TabularParams, tabular.classifier, **arguments)
