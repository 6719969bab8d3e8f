"""Columns of a table as float64 numbers for trees and networks, everything fitted on training rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder, TargetEncoder

from goldfold.data import column_values
from goldfold.data.preprocessing import Categories, check_columns, preprocess

if TYPE_CHECKING:
    from pandas import DataFrame

INNER_FOLDS = 5  # of the training rows, for target encoding
MOST_CATEGORIES = 250  # of a column; rarer ones are one category (scikit-learn's trees take 255)


@dataclass(frozen=True)
class Columns:
    """Which columns a recipe reads.

    numeric, categorical: see `fit`. encoded: those of `categorical` that are target-encoded, too. features: () -> a
    transformer (fit_transform(rows, labels), transform(rows)) from rows to rows with more columns; None: none.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    encoded: tuple[str, ...] = ()
    features: Callable[[], TransformerMixin] | None = None

    def fit(self, rows: DataFrame, labels: np.ndarray, seed: int) -> tuple[FittedColumns, np.ndarray]:
        """Fit on training rows; returns what was fitted and the features of these rows, float64 (n, features).

        Numbers keep their gaps as NaN. A category is its code in the order of values; gaps and categories unseen in
        fitting are NaN. The target encoding of a training row is of the other inner folds (Micci-Barreca 2001, as in
        scikit-learn's TargetEncoder), so that its own label is not in it.

        labels: int (n,) classes or float (n,) values.

        Raises:
            GoldfoldError: `column_not_numeric`; `column_not_finite`, such as infinite numbers.
        """
        features = self.features() if self.features else None
        made = rows if features is None else features.fit_transform(rows, pd.Series(labels, rows.index))
        coder = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=np.nan,
            encoded_missing_value=np.nan,
            max_categories=MOST_CATEGORIES,
        )
        codes = make_pipeline(Categories(), coder).fit(made[list(self.categorical)]) if self.categorical else None
        encoders: list[TargetEncoder] = []
        parts = [_numbers(made, self.numeric), _codes(codes, made, self.categorical)]
        if self.encoded:
            texts, targets = _texts(made, self.encoded), _targets(labels)
            encoders = _encoders(texts, targets)
            parts.append(_out_of_fold(texts, targets, seed))
        matrix = np.hstack(parts)
        extra = matrix.shape[1] - len(self.numeric) - len(self.categorical)
        names = (*self.numeric, *self.categorical, *_encoded_names(self.encoded, extra))
        is_category = np.isin(np.arange(len(names)), len(self.numeric) + np.arange(len(self.categorical)))
        return FittedColumns(self, features, codes, encoders, names, is_category), matrix

    def check(self, train: DataFrame, labels: pd.Series, test: DataFrame) -> None:
        """Check the columns of both tables; raises GoldfoldError as `data.preprocessing.check_columns` does."""
        steps = [self.features()] if self.features else []
        check_columns(make_pipeline(*steps, preprocess(self.numeric, self.categorical)), train, labels, test)


@dataclass(frozen=True)
class FittedColumns:
    """What `Columns.fit` fitted. names: of the features. is_category: bool (features,), whether it holds codes."""

    columns: Columns
    features: Any
    codes: Pipeline | None
    encoders: list[TargetEncoder]
    names: tuple[str, ...]
    is_category: np.ndarray

    def transform(self, rows: DataFrame) -> np.ndarray:
        """The features of other rows, float64 (n, features)."""
        made = rows if self.features is None else self.features.transform(rows)
        parts = [_numbers(made, self.columns.numeric), _codes(self.codes, made, self.columns.categorical)]
        if self.encoders:
            parts.append(_encoded(self.encoders, _texts(made, self.columns.encoded)))
        return np.hstack(parts)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of categories of each categorical column, gaps not counted."""
        if self.codes is None:
            return ()
        coder = self.codes[-1]
        rare = [each is not None for each in coder.infrequent_categories_]
        known = [int(pd.notna(pd.Series(each)).sum()) for each in coder.categories_]
        return tuple(min(n, MOST_CATEGORIES) if any_rare else n for n, any_rare in zip(known, rare, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Names of the features, and the value of each code, so that a saved model can be read elsewhere."""
        categories = {} if self.codes is None else dict(zip(self.columns.categorical, self._values(), strict=True))
        return {"features": list(self.names), "categories": categories}

    def _values(self) -> list[list[Any]]:
        assert self.codes is not None
        return [[None if pd.isna(value) else value for value in each.tolist()] for each in self.codes[-1].categories_]


def _numbers(rows: DataFrame, names: tuple[str, ...]) -> np.ndarray:
    found = [column_values.as_numbers(rows[name], f"column '{name}'") for name in names]
    return np.stack(found, axis=1) if found else np.empty((len(rows), 0))


def _codes(coder: Pipeline | None, rows: DataFrame, names: tuple[str, ...]) -> np.ndarray:
    return np.empty((len(rows), 0)) if coder is None else coder.transform(rows[list(names)])


def _texts(rows: DataFrame, names: tuple[str, ...]) -> np.ndarray:
    """Columns as text (n, columns), in which a missing value is a category of its own."""
    found = [column_values.as_categories(rows[name], False, f"column '{name}'") for name in names]
    return np.stack([pd.Series(each, dtype=object).fillna("(missing)").to_numpy() for each in found], axis=1)


def _targets(labels: np.ndarray) -> np.ndarray:
    """What is averaged in target encoding, float64 (n, values): the values, or whether a row is of each class."""
    if labels.dtype.kind == "f":
        return labels[:, None]
    classes = np.unique(labels)
    return (labels[:, None] == (classes[1:] if len(classes) == 2 else classes)).astype(np.float64)


def _encoders(texts: np.ndarray, targets: np.ndarray) -> list[TargetEncoder]:
    return [TargetEncoder(target_type="continuous").fit(texts, target) for target in targets.T]


def _encoded(encoders: list[TargetEncoder], texts: np.ndarray) -> np.ndarray:
    return np.hstack([encoder.transform(texts) for encoder in encoders])


def _out_of_fold(texts: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
    """The target encoding of each training row by encoders fitted on the other inner folds."""
    found = np.empty((len(texts), targets.shape[1] * texts.shape[1]))
    folds = KFold(min(INNER_FOLDS, len(texts)), shuffle=True, random_state=seed % 2**32)
    for fit, out in folds.split(texts):
        found[out] = _encoded(_encoders(texts[fit], targets[fit]), texts[out])
    return found


def _encoded_names(encoded: tuple[str, ...], columns: int) -> list[str]:
    """Names of the encoded features: one per column, or one per class and column."""
    each = columns // len(encoded) if encoded else 0
    if each == 1:
        return [f"{name} (target)" for name in encoded]
    return [f"{name} (target {number})" for number in range(each) for name in encoded]
