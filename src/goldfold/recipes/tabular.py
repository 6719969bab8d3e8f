"""Tabular data with scikit-learn: an estimator becomes a recipe without a training loop.

A competition writes a function (params, seed) -> estimator: a pipeline that makes its features, then `preprocess`, then
`classifier` or `regressor`. The whole pipeline is fitted on the training rows of one fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.data import column_values
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics.inputs import class_indices, numeric_target
from goldfold.optional_parts import ClassLabels
from goldfold.params import Needs, Params

if TYPE_CHECKING:
    from pandas import DataFrame
    from pydantic import BaseModel


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

    Before training and when a plan is built it raises GoldfoldError `target_not_binary` if a binary target does not
    have two labels, `target_not_classes` for labels that are fractions or dates, `target_not_numeric` or
    `target_not_finite` for values of a regression. Before training it also raises `column_name_not_text`, and
    `unknown_column`, `column_not_in_test`, `column_not_numeric` or `column_not_finite` for columns of `preprocess`.
    """

    def build(params: Any, rows: DataFrame, runtime: Runtime) -> Plan:
        features, labels = rows.drop(columns=target), _labels(rows, target, kind)
        order = classes or runtime.classes if kind != "regression" else None
        return Plan(
            finish=lambda _: estimator(params, runtime.seed).fit(features, labels),
            predict=lambda _, fitted, rows: _predicted(fitted, rows, kind, order),
        )

    def example(params: Any, rows: int, classes: tuple | None) -> np.ndarray:
        columns = len(classes or ())
        return np.full((rows, columns), 1 / columns) if kind == "multiclass" else np.full(rows, 0.5)

    def check(params: Any, train: DataFrame, test: DataFrame) -> None:
        _check_columns(estimator(params, 0), train.drop(columns=target), _labels(train, target, kind), test)

    labels = None if kind == "regression" else ClassLabels(target, tuple(classes) if classes else None)
    return Recipe(params=params, build=build, labels=labels, columns=(target,), example=example, check=check)


def _labels(rows: DataFrame, target: str, kind: str) -> pd.Series:
    """The target as scikit-learn takes it: float64 values of a regression, else labels of a plain dtype."""
    if kind == "regression":
        return pd.Series(numeric_target(rows, target), rows.index)
    labels = pd.Series(rows[target].tolist(), rows.index).infer_objects()
    if labels.dtype.kind in "fcmM" and (labels.dtype.kind != "f" or (labels % 1 != 0).any()):
        fraction = next(label for label in labels.tolist() if labels.dtype.kind != "f" or label % 1 != 0)
        raise GoldfoldError(
            "target_not_classes",
            f"target '{target}' of a classifier must hold text, whole numbers or bools, but holds {fraction!r}: use "
            "kind='regression', or make classes of it in load()",
        )
    if kind == "binary" and labels.nunique() != 2:
        found = ", ".join(map(str, labels.unique()[:5]))
        raise GoldfoldError(
            "target_not_binary",
            f"target '{target}' must have two labels in every fold, found {found}: stratify the split",
        )
    return labels


def _check_columns(made: BaseEstimator, features: DataFrame, labels: pd.Series, asked: DataFrame) -> None:
    """Check the columns that `preprocess` gets of the train and the test table; other steps check their own."""
    steps = [step for _, step in made.steps] if isinstance(made, Pipeline) else [made]
    places = [at for at, step in enumerate(steps) if isinstance(step, ColumnTransformer) and _is_ours(step)]
    if not places:
        return
    if places[0]:
        before = made[: places[0]]
        features, asked = before.fit_transform(features, labels), before.transform(asked)
    _check_names((*features.columns, *asked.columns))
    for name, _, wanted in steps[places[0]].transformers:
        for column in wanted:
            _check_column(name, column, features, asked)


def _check_column(kind: str, column: str, features: DataFrame, asked: DataFrame) -> None:
    if column not in features:
        raise unknown("column in the train table", column, map(str, features.columns), code="unknown_column")
    if column not in asked:
        raise GoldfoldError(
            "column_not_in_test",
            f"{kind} column '{column}' is in the {len(features)} train rows and not in the {len(asked)} test rows: add "
            "it in load(), or take it out of preprocess()",
        )
    for table, rows in (("train", features), ("test", asked)):
        what = f"{kind} column '{column}' of the {table} table"
        if kind == "numeric":
            column_values.as_numbers(rows[column], what)
        else:
            column_values.as_categories(rows[column], column_values.are_numbers(features[column]), what)


def _check_names(names: Sequence) -> None:
    for name in names:
        if not isinstance(name, str):  # scikit-learn takes numbers for positions, and refuses them beside text
            raise GoldfoldError(
                "column_name_not_text",
                f"columns must be named by text, got {name!r}: rename them in load() with rows.rename(columns=str)",
            )


def _is_ours(step: ColumnTransformer) -> bool:
    """Whether `preprocess` made the transformer."""
    first = step.transformers[0][1] if step.transformers else None
    return isinstance(first, Pipeline) and getattr(first[0], "func", None) is _numbers


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

    numeric: of any dtype of numbers or bools, or text that spells numbers. Missing values become the median, with an
        added indicator column; then mean 0, standard deviation 1.
    categorical: encoded as one column per category ("onehot"), or as one column of codes ("ordinal", better for
        trees). A missing value is a category; a category unseen in fitting is all 0, or code -1. A column that holds
        numbers only in fitting is compared as numbers, any other as text, so that 2, 2.0 and "2" are one category.

    Raises:
        GoldfoldError: `column_name_not_text`. Fitting and transforming: `column_not_numeric`; `column_not_finite`.
    """
    _check_names((*numeric, *categorical))
    numeric, categorical = list(dict.fromkeys(numeric)), list(dict.fromkeys(categorical))
    number = make_pipeline(
        FunctionTransformer(_numbers, feature_names_out="one-to-one"),
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
    )
    encoders = {
        "onehot": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    }
    category = make_pipeline(Categories(), encoders[encode])
    return ColumnTransformer([("numeric", number, numeric), ("categorical", category, categorical)])


def _numbers(rows: DataFrame) -> DataFrame:
    return pd.DataFrame({name: column_values.as_numbers(rows[name], f"column '{name}'") for name in rows}, rows.index)


class Categories(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Columns as categories, numbers where a column held numbers only in fitting, else text."""

    def fit(self, rows: DataFrame, labels: Any = None) -> Categories:
        """Remember which columns hold numbers."""
        self.feature_names_in_, self.n_features_in_ = np.asarray(rows.columns, dtype=object), rows.shape[1]
        self.numbers_ = {name: column_values.are_numbers(rows[name]) for name in rows}
        return self

    def transform(self, rows: DataFrame) -> DataFrame:
        """Return the same columns, each of numbers or of text."""
        found = {
            name: column_values.as_categories(rows[name], numbers, f"column '{name}'")
            for name, numbers in self.numbers_.items()
        }
        return pd.DataFrame(found, rows.index)


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
