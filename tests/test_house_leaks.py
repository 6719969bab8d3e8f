"""Labels and features of validation rows reach nothing that predicts them, whatever technique trains.

The sharpest test of a leak: other labels for the validation rows of a fold, and the fold must predict the same bits.
"""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import planted_house as house
import pytest

from goldfold import metrics, recipes
from goldfold.competition import Fold
from goldfold.experiment.cross_validation import Outcome
from goldfold.experiment.decisions import nested

FAST = ("tabular, standardized", "boosting, feature function, target encoding", "tabular_network")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("house")


@pytest.fixture(scope="module")
def rows(folder: Path) -> pd.DataFrame:
    return house.table(folder)


def same(case: house.Case, rows: pd.DataFrame, tmp_path: Path, place: Path) -> tuple[bool, bool]:
    """Whether predictions are bit-identical after other labels, and after other features of every second row."""
    first, test = house.fitted(case, rows, tmp_path / "first", tmp_path / "cache")
    labels, told = house.fitted(case, house.with_other_labels(rows), tmp_path / "labels", tmp_path / "cache")
    moved, seen = house.fitted(case, house.with_other_features(rows, place), tmp_path / "features", tmp_path / "cache")
    equal = np.array_equal
    kept = slice(None, None, 2)
    assert not equal(first[1::2], moved[1::2]), "the other features must be seen where they are"
    assert not equal(first[:1], first[2:3]), "predictions must depend on their rows"
    return equal(first, labels) and equal(test, told), equal(first[kept], moved[kept]) and equal(test[1:], seen[1:])


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[] if each in FAST else pytest.mark.slow) for each in house.RECIPES]
)
def test_validation_rows_change_nothing_that_predicts_them(name, rows, folder, tmp_path):
    if missing := house.needed(name):
        pytest.skip(f"needs the package {missing[0]}")
    case = house.RECIPES[name](tmp_path)
    found = same(case, rows, tmp_path, folder)
    print(f"{name}: other labels, other features: {found}")
    assert found == (True, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", house.LOOPS)
def test_choices_during_training_do_not_see_validation_rows(name, rows, folder, tmp_path):
    found = same(house.network(house.LOOPS[name]), rows, tmp_path, folder)
    print(f"{name}: other labels, other features: {found}")
    assert found == (True, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", house.CHOSEN_BY_THE_SCORED_FOLD)
def test_choices_by_the_scored_fold_are_seen(name, rows, folder, tmp_path):
    """What goldfold allows and reports as `selected_on_scored_fold`."""
    labels, features = same(house.CHOSEN_BY_THE_SCORED_FOLD[name](), rows, tmp_path, folder)
    print(f"{name}: other labels, other features: {labels, features}")
    assert not labels


@pytest.mark.parametrize("name", FAST)
def test_a_recipe_that_is_fitted_on_all_rows_is_seen(name, rows, folder, tmp_path):
    """The rule broken on purpose: labels, and for scalers and feature functions the features, of validation rows."""
    case = house.RECIPES[name](tmp_path)
    tables = {"labels": house.with_other_labels(rows), "features": house.with_other_features(rows, folder)}
    first, _ = house.fitted(house.peeking(case, rows), rows, tmp_path / "first", tmp_path / "cache")
    for what, other in tables.items():
        found, _ = house.fitted(house.peeking(case, other), other, tmp_path / what, tmp_path / "cache")
        assert not np.array_equal(first[::2], found[::2]), what


def test_the_threshold_of_a_fold_does_not_see_its_labels(rows, tmp_path):
    """Random predictions, so that nothing but the labels chooses; the threshold of all rows does see them."""
    oof, parts = np.random.default_rng(2).uniform(size=house.ROWS), np.arange(house.ROWS) % 4
    whole = Outcome(np.arange(house.ROWS), oof, oof[:4], {"accuracy": {"validation_per_training_row": 1 / 3}})

    def chosen(table: pd.DataFrame) -> tuple[dict, dict]:
        given = house.experiment(house.RECIPES["boosting, sklearn"](tmp_path), table, tmp_path)
        own = replace(given.competition, metric=metrics.accuracy("y"))
        folds = [Fold(np.flatnonzero(parts != at), np.flatnonzero(parts == at)) for at in range(4)]
        tried = {"threshold": np.linspace(0.1, 0.9, 17).tolist()}
        found = nested.facts(replace(given, competition=own, folds=folds, decide=tried), whole)
        return found["folds"]["0"]["values"], found["folds"]["1"]["values"]

    first, other = chosen(rows), chosen(house.with_other_labels(rows))
    assert first[0] == other[0]
    assert first[1] != other[1], "the labels of fold 0 choose the threshold of fold 1"


@pytest.mark.slow
def test_every_recipe_has_a_case():
    modules = [each.name for each in pkgutil.iter_modules(recipes.__path__)]
    known = {name for name in modules if hasattr(import_module(f"goldfold.recipes.{name}"), "recipe")}
    assert known - {name.split(",")[0] for name in house.RECIPES} == set(), "add it to planted_house.RECIPES"
