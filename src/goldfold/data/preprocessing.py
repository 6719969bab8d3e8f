"""Columns of a table as the numbers that scikit-learn's estimators take, and checks of the columns before fitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from goldfold.data import column_values
from goldfold.errors import GoldfoldError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame


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


def check_columns(made: BaseEstimator, features: DataFrame, labels: pd.Series, asked: DataFrame) -> None:
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
            f"{kind} column '{column}' is in the {len(features)} train rows and not in the {len(asked)} test rows: "
            "leave it out, or, where its values are known for test rows, add them to the test table in load()",
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
