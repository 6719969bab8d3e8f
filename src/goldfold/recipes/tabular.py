"""Tables with scikit-learn: an estimator becomes a recipe without a training loop.

A competition writes a function (params, seed) -> estimator: a pipeline that makes its columns, then `preprocess`, then
one of the `classifier`s or `regressor`s below. Whatever it fits, it fits on one fold's training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

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
from goldfold.params import Params

if TYPE_CHECKING:
    from pandas import DataFrame
    from pydantic import BaseModel
    from sklearn.base import BaseEstimator


class TabularParams(Params):
    """Which estimator, and what steers it; keys of the other estimators have no effect."""

    estimator: Literal["linear", "forest", "boosting"] = "linear"
    linear_strength: float = Field(1.0, gt=0, description="of the data against the L2 penalty (scikit-learn's C)")
    forest_trees: int = Field(300, ge=1)
    forest_leaf: int = Field(3, ge=1, description="least rows in a leaf")
    boosting_rounds: int = Field(150, ge=1)
    boosting_rate: float = Field(0.05, gt=0)
    boosting_leaves: int = Field(8, ge=2)
    boosting_leaf: int = Field(15, ge=1, description="least rows in a leaf")


def recipe(
    params: type[BaseModel],
    estimator: Callable[[Any, int], BaseEstimator],
    target: str,
    kind: Literal["binary", "multiclass", "regression"],
) -> Recipe:
    """A recipe that fits `estimator(params, seed)` on the fold's training rows without their target.

    Its predictions are, by kind: (n,) probability of the larger label; (n, classes) probabilities in the order of the
    sorted labels; (n,) values; all float64. A binary target that does not have two labels raises GoldfoldError.
    """

    def build(params: Any, rows: DataFrame, runtime: Runtime) -> Plan:
        features, answers = rows.drop(columns=target), rows[target]
        if kind == "binary" and answers.nunique() != 2:
            found = ", ".join(map(str, answers.unique()[:5]))
            raise GoldfoldError(
                f"target '{target}' must have two labels in every fold, found {found}: stratify the split"
            )
        return Plan(
            finish=lambda _: estimator(params, runtime.seed).fit(features, answers),
            predict=lambda _, fitted, rows: _predicted(fitted, rows, kind),
        )

    return Recipe(params=params, build=build)


def _predicted(fitted: BaseEstimator, rows: DataFrame, kind: str) -> np.ndarray:
    if kind == "regression":
        return fitted.predict(rows).astype(np.float64)
    probabilities = fitted.predict_proba(rows).astype(np.float64)
    return probabilities[:, 1] if kind == "binary" else probabilities


def preprocess(
    numeric: Sequence[str], categorical: Sequence[str], *, encode: Literal["onehot", "ordinal"] = "onehot"
) -> ColumnTransformer:
    """Columns as numbers without gaps: the first step of a pipeline, or the one after its features are made.

    numeric: gaps get the median and a column of their own that marks them; then mean 0, deviation 1.
    categorical: one column per category, or one column of codes (better for trees); a gap is a category, a category
        that fitting did not see is all 0, or code -1.
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
    """The classifier that `params.estimator` names; equal seeds fit equal models."""
    if params.estimator == "linear":
        return LogisticRegression(C=params.linear_strength, max_iter=2000)
    if params.estimator == "forest":
        return RandomForestClassifier(**_forest(params), random_state=seed)
    return HistGradientBoostingClassifier(**_boosting(params), random_state=seed)


def regressor(params: TabularParams, seed: int) -> BaseEstimator:
    """The regressor that `params.estimator` names; equal seeds fit equal models."""
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
