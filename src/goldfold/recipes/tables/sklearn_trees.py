"""Histogram gradient boosting of scikit-learn, which needs no extra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from goldfold.recipes.tables.trees import Data, Library, Task, Trees

TAKEN = {
    "learning_rate": "set learning_rate",
    "max_iter": "set rounds",
    "max_leaf_nodes": "set leaves",
    "max_depth": "set depth",
    "min_samples_leaf": "set leaf",
    "l2_regularization": "set l2",
    "max_features": "set column_share",
    "categorical_features": "the competition names the categorical columns",
    "early_stopping": "set stop_on",
    "validation_fraction": "set stop_share",
    "n_iter_no_change": "set stop_patience",
    "random_state": "set seeds",
    "scoring": "early stopping is by the loss",
    "tol": "early stopping is by the loss",
    "verbose": "leave it out",
    "warm_start": "leave it out",
}


@dataclass(frozen=True)
class SklearnTrees:
    """A fitted estimator; see `Trees`."""

    model: HistGradientBoostingClassifier | HistGradientBoostingRegressor
    rounds: int

    def predict(self, features: np.ndarray, rounds: int | None = None) -> np.ndarray:
        """See `Trees`; the estimator tells the predictions of all rounds one after the other."""
        wanted = rounds or self.rounds
        if wanted == self.model.n_iter_:
            values = hasattr(self.model, "predict_proba")
            return self.model.predict_proba(features) if values else self.model.predict(features)
        staged = getattr(self.model, "staged_predict_proba", None) or self.model.staged_predict
        return next(found for number, found in enumerate(staged(features), 1) if number == wanted)

    def gain(self) -> np.ndarray:
        """Empty: the estimator does not tell the gain of its splits."""
        return np.empty(0)

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """Empty: the estimator has no contributions, and `check` of the recipe refuses them before."""
        return np.empty(0)

    def files(self) -> Mapping[str, bytes]:
        """Empty: the estimator has no format but pickle; equal seeds fit equal trees again."""
        return {}


def fit(task: Task, data: Data, stop: Data | None, rounds: int, patience: int) -> Trees:
    """See `Library`. Rows cannot be drawn: `row_share` is not for this library."""
    made = HistGradientBoostingClassifier if task.classes else HistGradientBoostingRegressor
    model = made(
        learning_rate=task.learning_rate,
        max_iter=rounds,
        max_leaf_nodes=task.leaves,
        max_depth=task.depth,
        min_samples_leaf=task.leaf,
        l2_regularization=task.l2,
        max_features=task.column_share,
        categorical_features=task.is_category if task.is_category.any() else None,
        early_stopping=stop is not None,
        n_iter_no_change=patience,
        tol=0,
        random_state=task.seed,
        **task.own,
    )
    if stop is None:
        return SklearnTrees(model.fit(*data), model.n_iter_)
    model.fit(*data, X_val=stop[0], y_val=stop[1])
    return SklearnTrees(model, max(1, int(np.argmax(model.validation_score_))))  # index 0 is without any round


LIBRARY = Library("sklearn", fit, lambda: HistGradientBoostingClassifier().get_params(), lambda: TAKEN)
