"""Gradient-boosted trees for tables: scikit-learn, LightGBM, XGBoost or CatBoost behind one set of parameters.

Numbers keep their gaps, categories stay categories, and the number of rounds is chosen on training rows that are kept
back. Features are fitted on the training rows of one fold, those of early stopping without the rows kept back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.errors import GoldfoldError, unknown
from goldfold.optional_parts import ClassLabels, Importances, ScoredFoldChoice
from goldfold.params import Needs, Not, Params, with_defaults
from goldfold.recipes.tables import catboost_trees, labels, lightgbm_trees, sklearn_trees, trees, xgboost_trees
from goldfold.recipes.tables.columns import Columns, FittedColumns

if TYPE_CHECKING:
    from pandas import DataFrame
    from sklearn.base import TransformerMixin

LIBRARIES = {
    "sklearn": sklearn_trees.LIBRARY,
    "lightgbm": lightgbm_trees.LIBRARY,
    "xgboost": xgboost_trees.LIBRARY,
    "catboost": catboost_trees.LIBRARY,
}
OFFERED = 50  # numbers of rounds from which stop_on=scored_fold chooses, at most


class BoostingParams(Params):
    """The trees, early stopping, and what is told of the features."""

    library: Literal["sklearn", "lightgbm", "xgboost", "catboost"] = Field(
        "sklearn", description="scikit-learn's histogram gradient boosting, or a library of the extra `boosting`"
    )
    rounds: int = Field(2000, ge=1, description="boosting iterations; with early stopping the largest number of them")
    learning_rate: float = Field(0.05, gt=0, le=1, description="shrinkage of each iteration")
    leaves: int = Field(
        16, ge=2, description="largest number of leaves of a tree; catboost's symmetric trees have 2 to the depth"
    )
    depth: int | None = Field(None, ge=1, le=16, description="largest depth of a tree; null: as deep as leaves allow")
    leaf: Annotated[int, Needs(library=Not("catboost"))] = Field(
        20, ge=1, description="smallest number of rows in a leaf; xgboost counts second derivatives, at most 1/4 a row"
    )
    l2: float = Field(1.0, ge=0, description="L2 penalty of the values of leaves")
    row_share: Annotated[float, Needs(library=Not("sklearn"))] = Field(
        1.0, gt=0, le=1, description="share of the rows drawn for each tree"
    )
    column_share: float = Field(
        1.0, gt=0, le=1, description="share of the features drawn for each tree; sklearn and catboost: for each split"
    )
    library_parameters: dict[str, bool | int | float | str | list] = Field(
        {}, description="more parameters under the library's own names, such as {min_gain_to_split: 0.1}"
    )
    target_encoding: tuple[str, ...] = Field(
        (), description="categorical columns whose mean target, out of inner folds, is a feature, too"
    )
    stop_on: Literal["kept_back", "scored_fold", "none"] = Field(
        "kept_back",
        description="rows that choose the number of rounds: training rows kept back; the scored fold, which flatters; "
        "none: all rounds",
    )
    stop_share: Annotated[float, Needs(stop_on=Not("none"))] = Field(
        0.2, gt=0, lt=1, description="share of the training rows that is kept back, or compared with the scored fold"
    )
    stop_patience: Annotated[int, Needs(stop_on=Not("none"))] = Field(
        50, ge=1, description="rounds without a lower loss on the rows kept back before a fit stops"
    )
    stop_refit: Annotated[bool, Needs(stop_on="kept_back")] = Field(
        True, description="fit again with all training rows and the chosen number of rounds"
    )
    permutations: int = Field(
        3, ge=0, description="times that each feature of the scored fold is shuffled for its importance; 0: none"
    )
    contributions: Annotated[bool, Needs(library=Not("sklearn"))] = Field(
        False, description="mean absolute SHAP values of the scored fold, by the library's own computation"
    )


def recipe(
    target: str,
    kind: labels.Kind,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str] = (),
    classes: Sequence | None = None,
    features: Callable[[Any, int], TransformerMixin] | None = None,
    group: str | None = None,
    params: type[BoostingParams] = BoostingParams,
    **defaults: Any,
) -> Recipe:
    """Return a recipe that boosts trees on the training rows of a fold.

    kind: decides the predictions, as in `recipes.tabular`: (n,) probabilities of the second class, (n, classes)
        probabilities, or (n,) values. classes: all labels, in the order of the predictions.
    numeric, categorical: columns, of the table or made by `features`, of any dtype of pandas. Gaps are a value of their
        own, and a category that the training rows lack counts as a gap.
    features: (params, seed) -> a transformer (fit_transform(rows, labels), transform(rows)) that adds columns; it is
        fitted on training rows only.
    group: a column whose values are not on both sides when rows are kept back, as in the competition's folds.
    params: a subclass with the parameters of `features`. defaults: of the parameters, for this competition.

    Before training it raises GoldfoldError as `recipes.tabular.recipe` does, and `package_missing`,
    `unknown_library_parameter`, `library_parameter_taken` or `unknown_column` for parameters.
    """

    def columns(params: BoostingParams, seed: int) -> Columns:
        absent = [name for name in params.target_encoding if name not in categorical]
        if absent:
            raise unknown("categorical column", absent[0], categorical, code="unknown_column")
        made = partial(features, params, seed) if features else None
        return Columns(tuple(numeric), tuple(categorical), params.target_encoding, made)

    def build(params: BoostingParams, rows: DataFrame, runtime: Runtime) -> Plan:
        known = labels.labels_of(rows, target, kind)
        order = () if kind == "regression" else (classes or runtime.classes or sorted(known.unique()))
        problem = Problem(params, kind, tuple(order), columns(params, runtime.seed), runtime.seed)
        finish = partial(_finish, problem, rows.drop(columns=target), known.to_numpy(), group)
        return Plan(
            finish=finish,
            predict=lambda _, fitted, rows: fitted.predict(fitted.columns.transform(rows)),
            saved=lambda _, fitted: {**fitted.trees.files(), "columns.json": fitted.columns.to_json()},
            importances=_importances(params),
            chosen_on_scored_fold=_CHOICE if params.stop_on == "scored_fold" else None,
        )

    def check(params: BoostingParams, train: DataFrame, test: DataFrame) -> None:
        trees.check(LIBRARIES[params.library], params.library_parameters)
        columns(params, 0).check(train.drop(columns=target), labels.labels_of(train, target, kind), test)

    declared = None if kind == "regression" else ClassLabels(target, tuple(classes) if classes else None)
    return Recipe(
        params=with_defaults(params, **defaults),
        build=build,
        labels=declared,
        columns=(target, *([group] if group else [])),
        example=lambda params, rows, classes: labels.example(kind, rows, classes),
        check=check,
    )


@dataclass(frozen=True)
class Problem:
    """What is fitted. order: all classes in the order of predictions; empty for values."""

    params: BoostingParams
    kind: labels.Kind
    order: tuple
    columns: Columns
    seed: int


@dataclass(frozen=True)
class Boosted:
    """A fitted plan. classes: of the training rows, sorted. chosen: rounds by the rows kept back; 0: by none."""

    problem: Problem
    columns: FittedColumns
    trees: trees.Trees
    classes: tuple
    rounds: int
    chosen: int

    def predict(self, features: np.ndarray, rounds: int | None = None) -> np.ndarray:
        """Predictions, as `recipe` says, of features (n, f)."""
        found = np.asarray(self.trees.predict(features, rounds or self.rounds), np.float64)
        kind = self.problem.kind
        return found if kind == "regression" else labels.in_order(found, self.classes, self.problem.order, kind)


def _finish(problem: Problem, rows: DataFrame, known: np.ndarray, group: str | None, model: None) -> Boosted:
    """Choose the number of rounds on rows that are kept back, then fit with all training rows."""
    params, classes = problem.params, ()
    if problem.order:
        found, known = np.unique(known, return_inverse=True)
        classes = tuple(found.tolist())
    chosen, rounds = 0, params.rounds
    if params.stop_on != "none":
        groups = rows[group].to_numpy() if group else None
        back = labels.held_back(known, params.stop_share, problem.seed, groups)
        fit = rows[~back].reset_index(drop=True)
        fitted, features = problem.columns.fit(fit, known[~back], problem.seed)
        stop = fitted.transform(rows[back].reset_index(drop=True)), known[back]
        made = _fitted(problem, fitted, classes, (features, known[~back]), stop, rounds)
        chosen = made.rounds
        if params.stop_on == "kept_back" and not params.stop_refit:
            return Boosted(problem, fitted, made, classes, chosen, chosen)
        rounds = chosen if params.stop_on == "kept_back" else min(rounds, max(2 * chosen, chosen + OFFERED))
    fitted, features = problem.columns.fit(rows, known, problem.seed)
    made = _fitted(problem, fitted, classes, (features, known), None, rounds)
    return Boosted(problem, fitted, made, classes, chosen or made.rounds, chosen)


def _fitted(
    problem: Problem,
    columns: FittedColumns,
    classes: tuple,
    data: trees.Data,
    stop: trees.Data | None,
    rounds: int,
) -> trees.Trees:
    params = problem.params
    shared = ("learning_rate", "leaves", "depth", "leaf", "l2", "row_share", "column_share")
    task = trees.Task(
        classes=len(classes),
        names=columns.names,
        is_category=columns.is_category,
        seed=problem.seed % 2**31,
        threads=torch.get_num_threads(),
        own=params.library_parameters,
        **{name: getattr(params, name) for name in shared},
    )
    try:
        return LIBRARIES[params.library].fit(task, data, stop, rounds, params.stop_patience)
    except Exception as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise GoldfoldError(
            "library_failed",
            f"{params.library} cannot fit {len(data[0])} rows of {len(columns.names)} features ({reason}): change "
            "library_parameters, or choose another library",
        ) from error


def _importances(params: BoostingParams) -> Importances:
    return Importances(
        names=lambda fitted: fitted.columns.names,
        features=lambda fitted, rows: fitted.columns.transform(rows),
        predict=lambda _, fitted, features: fitted.predict(features),
        permutations=params.permutations,
        gain=lambda fitted: fitted.trees.gain(),
        contributions=(lambda fitted, features: fitted.trees.contributions(features)) if params.contributions else None,
    )


def _offered(fitted: Boosted, rows: DataFrame) -> dict[int, np.ndarray]:
    """Number of rounds -> predictions, for about `OFFERED` numbers and the one that the rows kept back chose."""
    features = fitted.columns.transform(rows)
    numbers = {fitted.chosen, *np.linspace(1, fitted.trees.rounds, OFFERED).round().astype(int).tolist()}
    return {number: fitted.predict(features, number) for number in sorted(numbers)}


_CHOICE = ScoredFoldChoice(
    what="number of boosting rounds",
    instead="stop_on: kept_back",
    offered=_offered,
    own=lambda fitted: fitted.chosen,
    use=lambda fitted, number: replace(fitted, rounds=number),
)
