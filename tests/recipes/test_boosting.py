"""Boosted trees equal each library used by hand, keep gaps and categories, and stop on training rows alone."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_tables_with_gaps import COLUMNS, built, experiment, table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import FunctionTransformer

from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.views_and_seeds import predictor_of
from goldfold.recipes import boosting
from goldfold.recipes.tables import labels
from goldfold.recipes.tables.trees import Library, check

QUICK = {"rounds": 60, "stop_patience": 10, "leaf": 5, "permutations": 0}


def installed(*libraries: str) -> list:
    """The libraries, those that are absent skipped with the reason."""
    return [
        pytest.param(
            name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed: extra `boosting`")
        )
        for name in libraries
    ]


EVERY, OTHERS = installed("sklearn", "lightgbm", "xgboost", "catboost"), installed("lightgbm", "xgboost", "catboost")


def made(kind: str, **more):
    return boosting.recipe("target", kind, **COLUMNS, **more)


def quick(library: str) -> dict:
    """Parameters of short fits; symmetric trees have no smallest leaf."""
    return {**QUICK, "library": library} | ({"leaf": 20} if library == "catboost" else {})


@pytest.mark.parametrize("library", EVERY)
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_library_learns_and_repeats_for_a_seed(library, kind):
    rows = table(kind)
    train, held_out = rows[:160], rows[160:].drop(columns="target")
    plan, fitted = built(made(kind), train, **quick(library))
    found = plan.predict(None, fitted, held_out)
    truth = rows["target"][160:].to_numpy()
    assert found.dtype == np.float64
    if kind == "regression":
        assert 1 - ((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum() > 0.6  # chance: 0
    elif kind == "binary":
        assert ((found > 0.5) == truth).mean() > 0.75  # chance: 0.53
    else:
        assert found.shape == (80, 3)
        assert (np.array(sorted(set(truth)))[found.argmax(axis=1)] == truth).mean() > 0.6  # chance: 0.4
    again, same = built(made(kind), train, **quick(library))
    np.testing.assert_array_equal(found, again.predict(None, same, held_out))
    assert 1 <= fitted.chosen < 60 or fitted.trees.rounds == 60


def test_sklearn_equals_its_estimator_by_hand():
    rows = table("binary")
    params = {"rounds": 30, "stop_on": "none", "leaves": 5, "l2": 2.0, "leaf": 7}
    plan, fitted = built(made("binary"), rows[:160], seed=3, **params)
    codes = pd.DataFrame({"size": rows["size"], "weight": rows["weight"]})
    codes["kind"], codes["Größe"] = rows["kind"].map({"a": 0, "b": 1, "c": 2}), rows["Größe"] - 1
    by_hand = HistGradientBoostingClassifier(
        max_iter=30,
        learning_rate=0.05,
        max_leaf_nodes=5,
        l2_regularization=2.0,
        min_samples_leaf=7,
        early_stopping=False,
        categorical_features=[2, 3],
        random_state=3,
    ).fit(codes[:160].to_numpy(), rows["target"][:160])
    expected = by_hand.predict_proba(codes[160:].to_numpy())[:, 1]
    np.testing.assert_array_equal(plan.predict(None, fitted, rows[160:].drop(columns="target")), expected)


@pytest.mark.parametrize("library", EVERY)
def test_gaps_and_unseen_categories_predict_alike(library):
    rows = table("binary")
    plan, fitted = built(made("binary"), rows, **quick(library))
    unseen = rows.head(20).assign(kind="новый", Größe=99.0)
    gaps = rows.head(20).assign(kind=None, Größe=np.nan)
    np.testing.assert_array_equal(plan.predict(None, fitted, unseen), plan.predict(None, fitted, gaps))


@pytest.mark.parametrize("library", OTHERS)
def test_saved_trees_predict_the_same_when_the_library_reads_them(library, tmp_path):
    rows = table("binary")
    plan, fitted = built(made("binary"), rows, **quick(library))
    features, trees = fitted.columns.transform(rows), fitted.trees
    ((name, content),) = trees.files().items()
    (tmp_path / name).write_bytes(content)
    if library == "lightgbm":
        import lightgbm

        found = lightgbm.Booster(model_file=tmp_path / name).predict(features)
    elif library == "xgboost":
        import xgboost

        from goldfold.recipes.tables.xgboost_trees import _matrix

        found = xgboost.Booster(model_file=tmp_path / name).predict(_matrix(trees.task, features))
    else:
        import catboost

        from goldfold.recipes.tables.catboost_trees import _pool

        read = catboost.CatBoostClassifier().load_model(str(tmp_path / name), format="json")
        found = read.predict_proba(_pool(trees.task, features))[:, 1]
    np.testing.assert_allclose(found, plan.predict(None, fitted, rows), atol=1e-6)
    written = plan.saved(None, fitted)["columns.json"]
    assert written == {
        "features": ["size", "weight", "kind", "Größe"],
        "categories": {"kind": ["a", "b", "c"], "Größe": [1.0, 2.0, None]},
    }


@pytest.mark.parametrize("library", OTHERS)
def test_contributions_and_gain_name_the_columns_that_count(library):
    rows = table("binary").assign(weight=0.0)
    _, fitted = built(made("binary"), rows, **quick(library), contributions=True)
    for values in (fitted.trees.gain(), fitted.trees.contributions(fitted.columns.transform(rows))):
        assert fitted.columns.names[int(np.argmax(values))] == "size"
        assert values[fitted.columns.names.index("weight")] == pytest.approx(0)


@pytest.mark.parametrize(
    ("library", "own", "code", "facts"),
    [
        ("sklearn", {"max_bin": 20}, "unknown_library_parameter", ("'max_bin'", "did you mean 'max_bins'")),
        ("sklearn", {"max_iter": 20}, "library_parameter_taken", ("max_iter", "set rounds")),
        ("lightgbm", {"min_gain_to_splt": 1}, "unknown_library_parameter", ("did you mean 'min_gain_to_split'",)),
        ("lightgbm", {"eta": 0.1}, "library_parameter_taken", ("eta", "set learning_rate")),
        ("xgboost", {"gama": 1}, "unknown_library_parameter", ("did you mean 'gamma'",)),
        ("catboost", {"border_cont": 32}, "unknown_library_parameter", ("did you mean 'border_count'",)),
    ],
)
def test_parameters_of_the_library_are_checked(library, own, code, facts):
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed: extra `boosting`")
    rows, recipe = table("binary"), made("binary")
    with raises_code(code, *facts):
        recipe.check(recipe.params(library=library, library_parameters=own), rows, rows)


def test_own_parameters_reach_the_library():
    rows = table("binary")
    _, plain = built(made("binary"), rows, rounds=5, stop_on="none")
    _, coarse = built(made("binary"), rows, rounds=5, stop_on="none", library_parameters={"max_bins": 9})
    assert (coarse.trees.model.max_bins, plain.trees.model.max_bins) == (9, 255)


def test_an_absent_library_is_a_sentence_with_the_extra():
    with raises_code("package_missing", "no_such_library", "goldfold[boosting]"):
        check(Library("no_such_library", None, list, dict), {})


@pytest.mark.parametrize(
    ("changed", "code", "facts"),
    [
        ({"size": np.inf}, "column_not_finite", ("'size'", "inf")),
        ({"size": "wide"}, "column_not_numeric", ("'size'", "wide")),
        ({"target": 0.5}, "target_not_classes", ("'target'",)),
    ],
)
def test_values_that_cannot_be_used_are_named_before_training(changed, code, facts):
    rows, recipe = table("binary"), made("binary")
    with raises_code(code, *facts):
        recipe.check(recipe.params(), rows.assign(**changed), rows.drop(columns="target"))
    with raises_code("unknown_column", "'kin'", "did you mean 'kind'"):
        recipe.check(recipe.params(target_encoding=("kin",)), rows, rows)


@pytest.mark.parametrize("grouped", [False, True])
def test_rows_kept_back_leave_every_class_and_split_no_group(grouped):
    draw = np.random.default_rng(0)
    known = np.r_[np.zeros(90, int), np.ones(9, int), 2]  # the last class has one row
    groups = draw.integers(0, 12, 100) if grouped else None
    kept = labels.held_back(known, 0.3, 5, groups)
    assert set(known[~kept]) == {0, 1, 2}
    assert 5 <= kept.sum() <= 60
    if groups is None:
        assert (kept[known == 0].sum(), kept[known == 1].sum(), kept[known == 2].sum()) == (27, 2, 0)
    else:
        assert not set(groups[kept]) & set(groups[~kept])
    np.testing.assert_array_equal(kept, labels.held_back(known, 0.3, 5, groups))
    assert (kept != labels.held_back(known, 0.3, 6, groups)).any()
    with raises_code("too_few_rows_to_stop", "stop_share=0.3 of 2 "):
        labels.held_back(known[:2], 0.3, 0)


# --- nothing of the scored fold reaches a fit -------------------------------------------------------------------------


def leaking() -> pd.DataFrame:
    """Random labels. In the rows of the first half `size` copies them, in the second half it is constant, and every row
    has a `kind` of its own: features of the first half tell their labels, those of the second tell nothing."""
    draw = np.random.default_rng(1)
    rows = table("binary", 400, 1).assign(target=draw.integers(0, 2, 400), kind=[f"key {n}" for n in range(400)])
    return rows.assign(size=rows["target"].where(rows.index < 200, 0).astype(float))


def fitted_on(seen: list):
    """A transformer of the competition that notes the ids of the rows that it is fitted on."""

    class Noting(FunctionTransformer):
        def fit(self, rows, labels=None):
            seen.append(set(rows["id"]))
            return super().fit(rows, labels)

    return lambda params, seed: Noting()


@pytest.mark.parametrize("encoded", [(), ("kind",)])
def test_a_copy_of_the_target_in_the_scored_fold_is_not_picked_up(encoded, tmp_path):
    rows, seen = leaking(), []
    recipe = boosting.recipe("target", "binary", **COLUMNS, features=fitted_on(seen), rounds=60, permutations=2)
    given = experiment(recipe, rows, target_encoding=encoded)
    first = next(cross_validate(given, tmp_path))
    assert abs(first.scores["auroc"] - 0.5) < 0.1  # within two standard errors of chance for 200 rows
    assert max(abs(each) for each in first.importances["permutation"].values()) < 0.1
    assert not any(ids & set(rows["id"][:200]) for ids in seen)
    assert sorted(map(len, seen)) == [161, 200]  # without the rows kept back, then with them
    flipped = rows.assign(target=rows["target"].where(rows.index >= 200, 1 - rows["target"]))
    other = next(cross_validate(experiment(recipe, flipped, target_encoding=encoded), tmp_path / "flipped"))
    np.testing.assert_array_equal(first.validation, other.validation)


def test_target_encoding_does_not_hold_the_label_of_its_own_row():
    rows = leaking().assign(kind=lambda rows: rows.index // 2)  # two rows of each key
    recipe = made("binary")
    encoded = boosting.Columns(("size",), ("kind",), ("kind",))
    fitted, features = encoded.fit(rows, rows["target"].to_numpy(), 0)
    assert fitted.names == ("size", "kind", "kind (target)")
    assert roc_auc_score(rows["target"], features[:, 2]) < 0.6
    assert roc_auc_score(rows["target"], fitted.transform(rows)[:, 2]) > 0.8  # fitted and asked on the same rows
    plan, trees = built(recipe, rows[:200], **QUICK, target_encoding=("kind",))
    assert abs(roc_auc_score(rows["target"][200:], plan.predict(None, trees, rows[200:])) - 0.5) < 0.12


def test_the_scored_fold_chooses_only_where_it_is_asked_to_and_says_what_that_flatters(tmp_path):
    recipe, rows = made("binary"), table("binary", 120)
    params = {**QUICK, "learning_rate": 0.3}
    honest = next(cross_validate(experiment(recipe, rows, **params), tmp_path / "honest"))
    assert honest.chosen == {}
    asked = experiment(recipe, rows, **params, stop_on="scored_fold")
    told = next(cross_validate(asked, tmp_path / "told"))
    again, held_out = predictor_of(asked, tmp_path / "told", told)
    np.testing.assert_array_equal(again(held_out), told.validation)
    chosen = told.chosen
    assert told.scores["auroc"] == chosen["score"] >= chosen["own_score"]
    assert chosen["own_score"] == pytest.approx(honest.scores["auroc"])
    plan, fitted = built(recipe, rows[60:].reset_index(drop=True), **params, stop_on="scored_fold")
    offered = plan.chosen_on_scored_fold.offered(fitted, rows[:60])
    best = max(roc_auc_score(rows["target"][:60], found) for found in offered.values())
    assert chosen["score"] == pytest.approx(best, abs=0.05)  # another seed draws other rows to keep back


@pytest.mark.parametrize("library", EVERY)
def test_predictions_of_fewer_rounds_are_those_of_a_shorter_fit(library):
    rows = table("regression")
    long, short = (
        built(made("regression"), rows, **{**quick(library), "rounds": rounds}, stop_on="none")[1]
        for rounds in (40, 15)
    )
    features = long.columns.transform(rows)
    np.testing.assert_allclose(long.predict(features, 15), short.predict(features), rtol=1e-5, atol=1e-5)
