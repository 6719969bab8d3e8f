"""Tabular data with scikit-learn: an estimator becomes a recipe without a training loop.

A competition writes a function (params, seed) -> estimator: a pipeline that makes its features, then `preprocess`, then
`classifier` or `regressor`. The whole pipeline is fitted on the training rows of one fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.data.preprocessing import check_columns, preprocess
from goldfold.data.training_rows import estimators
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import ClassLabels
from goldfold.params import Needs, Params
from goldfold.recipes.tables import labels
from goldfold.recipes.targets import SeveralLabels, several

if TYPE_CHECKING:
    from pandas import DataFrame
    from pydantic import BaseModel


__all__ = ["TabularParams", "classifier", "preprocess", "recipe", "regressor"]


class TabularParams(Params):
    """The estimator and its hyperparameters; those of other estimators must not be set."""

    estimator: Literal["linear", "forest", "boosting"] = Field(
        "linear", description="logistic or ridge regression, random forest, or histogram gradient boosting"
    )
    linear_strength: Annotated[float, Needs(estimator="linear")] = Field(
        1.0, gt=0, description="inverse strength of the L2 penalty (scikit-learn's C)"
    )
    forest_trees: Annotated[int, Needs(estimator="forest")] = Field(300, ge=1, description="number of trees")
    forest_leaf: Annotated[int, Needs(estimator="forest")] = Field(
        3, ge=1, description="smallest number of rows in a leaf"
    )
    boosting_rounds: Annotated[int, Needs(estimator="boosting")] = Field(
        150, ge=1, description="number of boosting iterations"
    )
    boosting_rate: Annotated[float, Needs(estimator="boosting")] = Field(0.05, gt=0, description="learning rate")
    boosting_leaves: Annotated[int, Needs(estimator="boosting")] = Field(
        8, ge=2, description="largest number of leaves of a tree"
    )
    boosting_leaf: Annotated[int, Needs(estimator="boosting")] = Field(
        15, ge=1, description="smallest number of rows in a leaf"
    )


def recipe(
    params: type[BaseModel],
    estimator: Callable[[Any, int], BaseEstimator],
    target: str | None = None,
    kind: labels.Kind | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
) -> Recipe:
    """Return a recipe that fits `estimator(params, seed)` on the training rows of a fold.

    params: a subclass of `TabularParams`, or any frozen pydantic model.
    target: column with the target, which is removed from the features.
    targets: instead of `target`, `kind` and `classes`, columns of 0 and 1: one classifier per label, each a clone of
        `estimator(params, seed)`. Predictions are (n, labels) independent probabilities, float64, in this order; a
        label with one value in the training rows has that value.
    kind: decides the predictions, all float64: binary, (n,) probabilities of the second class; multiclass, (n, classes)
        probabilities, 0 for a class without training rows; regression, (n,) values.
    classes: all labels, in the order of the predictions; by default in the order that the competition's metric names,
        else sorted.

    Before training and when a plan is built it raises GoldfoldError `target_not_binary` if a binary target does not
    have two labels, `target_not_classes` for labels that are fractions or dates, `target_not_numeric` or
    `target_not_finite` for values of a regression. Before training it also raises `column_name_not_text`, and
    `unknown_column`, `column_not_in_test`, `column_not_numeric` or `column_not_finite` for columns of `preprocess`.
    """
    if targets is not None:
        if (target, kind, classes) != (None, None, None):
            raise _unclear(target, kind, targets)
        return _of_several_labels(params, estimator, several(targets))
    if target is None or kind is None:
        raise _unclear(target, kind, targets)

    def build(params: Any, rows: DataFrame, runtime: Runtime) -> Plan:
        features, known = rows.drop(columns=target), labels.labels_of(rows, target, kind)
        order = classes or runtime.classes if kind != "regression" else None
        return Plan(
            finish=lambda _: estimators.fit(estimator(params, runtime.seed), features, known, order),
            predict=lambda _, fitted, rows: _predicted(fitted, rows, kind, order),
        )

    def check(params: Any, train: DataFrame, test: DataFrame) -> None:
        check_columns(estimator(params, 0), train.drop(columns=target), labels.labels_of(train, target, kind), test)

    declared = None if kind == "regression" else ClassLabels(target, tuple(classes) if classes else None)
    return Recipe(
        params=params,
        build=build,
        labels=declared,
        columns=(target,),
        example=lambda params, rows, classes: labels.example(kind, rows, classes),
        check=check,
        accepts=("weights", "soft_targets"),
    )


def _unclear(target: str | None, kind: str | None, targets: Sequence[str] | None) -> GoldfoldError:
    return GoldfoldError(
        "targets_unclear",
        "a recipe for tables needs either target='column' with kind=..., or targets=['column', ...] of 0 and 1: got "
        f"target={target!r}, kind={kind!r}, targets={targets!r}",
    )


def _of_several_labels(
    params: type[BaseModel], estimator: Callable[[Any, int], BaseEstimator], targets: SeveralLabels
) -> Recipe:
    """The recipe for columns of 0 and 1: `estimator` is fitted once per label."""
    columns = list(targets.columns)

    def build(params: Any, rows: DataFrame, runtime: Runtime) -> Plan:
        features, known = rows.drop(columns=columns), targets.labels(rows).astype(np.int64)

        def finish(_: Any) -> OneVsRestClassifier:
            with warnings.catch_warnings():  # of a label with one value, which the audit of the folds names
                warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
                return OneVsRestClassifier(estimator(params, runtime.seed)).fit(features, known)

        return Plan(finish=finish, predict=lambda _, fitted, rows: fitted.predict_proba(rows).astype(np.float64))

    def check(params: Any, train: DataFrame, test: DataFrame) -> None:
        check_columns(estimator(params, 0), train.drop(columns=columns), train[columns[0]], test)

    return Recipe(
        params=params,
        build=build,
        labels=targets.declared,
        columns=columns,
        example=lambda params, rows, classes: targets.example(rows),
        check=check,
    )


def _predicted(fitted: BaseEstimator, rows: DataFrame, kind: labels.Kind, order: Sequence | None) -> np.ndarray:
    if kind == "regression":
        return fitted.predict(rows).astype(np.float64)
    known = fitted.classes_
    return labels.in_order(fitted.predict_proba(rows), known, known if order is None else order, kind)


def classifier(params: TabularParams, seed: int) -> BaseEstimator:
    """Return the classifier `params.estimator`; equal seeds fit equal models."""
    if params.estimator == "linear":
        return LogisticRegression(C=params.linear_strength, max_iter=2000)
    if params.estimator == "forest":
        return RandomForestClassifier(**_forest(params), random_state=seed)
    return HistGradientBoostingClassifier(**_boosting(params), random_state=seed)


def regressor(params: TabularParams, seed: int) -> BaseEstimator:
    """Return the regressor `params.estimator`; equal seeds fit equal models."""
    if params.estimator == "linear":
        return Ridge(alpha=1 / params.linear_strength)
    if params.estimator == "forest":
        return RandomForestRegressor(**_forest(params), random_state=seed)
    return HistGradientBoostingRegressor(**_boosting(params), random_state=seed)


def _forest(params: TabularParams) -> dict[str, Any]:
    return {"n_estimators": params.forest_trees, "min_samples_leaf": params.forest_leaf}


def _boosting(params: TabularParams) -> dict[str, Any]:
    return {
        "max_iter": params.boosting_rounds,
        "learning_rate": params.boosting_rate,
        "max_leaf_nodes": params.boosting_leaves,
        "min_samples_leaf": params.boosting_leaf,
    }
