"""Tabular data with scikit-learn: an estimator becomes a recipe without a training loop.

A competition writes a function (params, seed) -> estimator: a pipeline that makes its features, then `preprocess`, then
`classifier` or `regressor`. The whole pipeline is fitted on the training rows of one fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import class_indices
from goldfold.optional_parts import ClassLabels
from goldfold.params import Needs, Params

if TYPE_CHECKING:
    from pandas import DataFrame
    from pydantic import BaseModel
    from sklearn.base import BaseEstimator


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
    target: str,
    kind: Literal["binary", "multiclass", "regression"],
    classes: Sequence | None = None,
) -> Recipe:
    """Return a recipe that fits `estimator(params, seed)` on the training rows of a fold.

    params: a subclass of `TabularParams`, or any frozen pydantic model.
    target: column with the target, which is removed from the features.
    kind: decides the predictions, all float64: binary, (n,) probabilities of the second class; multiclass, (n, classes)
        probabilities, 0 for a class without training rows; regression, (n,) values.
    classes: all labels, in the order of the predictions; by default in the order that the competition's metric names,
        else sorted.

    Building a plan raises GoldfoldError `target_not_binary` if a binary target does not have two labels in the fold.
    """

    def build(params: Any, rows: DataFrame, runtime: Runtime) -> Plan:
        features, labels = rows.drop(columns=target), rows[target].infer_objects()  # scikit-learn refuses objects
        order = classes or runtime.classes if kind != "regression" else None
        if kind == "binary" and labels.nunique() != 2:
            found = ", ".join(map(str, labels.unique()[:5]))
            raise GoldfoldError(
                "target_not_binary",
                f"target '{target}' must have two labels in every fold, found {found}: stratify the split",
            )
        return Plan(
            finish=lambda _: estimator(params, runtime.seed).fit(features, labels),
            predict=lambda _, fitted, rows: _predicted(fitted, rows, kind, order),
        )

    def example(params: Any, rows: int, classes: tuple | None) -> np.ndarray:
        columns = len(classes or ())
        return np.full((rows, columns), 1 / columns) if kind == "multiclass" else np.full(rows, 0.5)

    labels = None if kind == "regression" else ClassLabels(target, tuple(classes) if classes else None)
    return Recipe(params=params, build=build, labels=labels, columns=(target,), example=example)


def _predicted(fitted: BaseEstimator, rows: DataFrame, kind: str, order: Sequence | None) -> np.ndarray:
    if kind == "regression":
        return fitted.predict(rows).astype(np.float64)
    classes = fitted.classes_ if order is None else order
    probabilities = np.zeros((len(rows), len(classes)))
    probabilities[:, class_indices(fitted.classes_, classes, "the training rows")] = fitted.predict_proba(rows)
    return probabilities[:, 1] if kind == "binary" else probabilities


def preprocess(
    numeric: Sequence[str], categorical: Sequence[str], *, encode: Literal["onehot", "ordinal"] = "onehot"
) -> ColumnTransformer:
    """Return a transformer from columns to numbers without missing values.

    numeric: missing values become the median, with an added indicator column; then mean 0, standard deviation 1.
    categorical: encoded as one column per category ("onehot"), or as one column of codes ("ordinal", better for
        trees). A missing value is a category; a category unseen in fitting is all 0, or code -1.
    """
    number = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    encoders = {
        "onehot": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    }
    return ColumnTransformer([("numeric", number, list(numeric)), ("categorical", encoders[encode], list(categorical))])


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
