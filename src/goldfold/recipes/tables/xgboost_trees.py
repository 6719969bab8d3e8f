"""Boosted trees of XGBoost (Chen and Guestrin 2016), extra `boosting`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from goldfold.recipes.tables.trees import Data, Library, Task, Trees

TAKEN = {
    **dict.fromkeys(("learning_rate", "eta"), "set learning_rate"),
    "n_estimators": "set rounds",
    "max_leaves": "set leaves",
    "max_depth": "set depth",
    "min_child_weight": "set leaf",
    **dict.fromkeys(("reg_lambda", "lambda"), "set l2"),
    "subsample": "set row_share",
    "colsample_bytree": "set column_share",
    "early_stopping_rounds": "set stop_patience",
    "enable_categorical": "the competition names the categorical columns",
    "feature_types": "the competition names the categorical columns",
    "num_class": "the competition names the classes",
    **dict.fromkeys(("random_state", "seed"), "set seeds"),
    **dict.fromkeys(("n_jobs", "nthread"), "set the environment variable OMP_NUM_THREADS"),
    **dict.fromkeys(("verbosity", "validate_parameters", "callbacks", "missing", "importance_type"), "leave it out"),
}
ALIASES = ("alpha", "min_split_loss", "tweedie_variance_power", "huber_slope", "quantile_alpha", "max_cached_hist_node")
A_ROW = 0.25  # largest second derivative of a row in classification, p (1 - p)


@dataclass(frozen=True)
class XgboostTrees:
    """A fitted booster; see `Trees`."""

    model: Any
    rounds: int
    task: Task

    def predict(self, features: np.ndarray, rounds: int | None = None) -> np.ndarray:
        """See `Trees`."""
        last = rounds or self.rounds
        found = self.model.predict(_matrix(self.task, features), iteration_range=(0, last)).astype(np.float64)
        return np.stack([1 - found, found], axis=1) if self.task.classes == 2 else found

    def gain(self) -> np.ndarray:
        """See `Trees`."""
        found = self.model[: self.rounds].get_score(importance_type="total_gain")
        return np.array([found.get(f"f{number}", 0.0) for number in range(len(self.task.names))])

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """See `Trees`: path-dependent SHAP values (Lundberg et al. 2020), of several classes their mean."""
        found = self.model.predict(_matrix(self.task, features), iteration_range=(0, self.rounds), pred_contribs=True)
        return np.abs(found.reshape(len(features), -1, features.shape[1] + 1)[..., :-1]).mean(axis=(0, 1))

    def files(self) -> Mapping[str, bytes]:
        """The JSON that `xgboost.Booster(model_file=...)` reads."""
        return {"xgboost.json": bytes(self.model[: self.rounds].save_raw("json"))}


def _matrix(task: Task, features: np.ndarray, labels: np.ndarray | None = None) -> Any:
    import xgboost

    kinds = ["c" if category else "q" for category in task.is_category]
    return xgboost.DMatrix(
        features, labels, feature_types=kinds, enable_categorical=bool(task.is_category.any()), nthread=task.threads
    )


def fit(task: Task, data: Data, stop: Data | None, rounds: int, patience: int) -> Trees:
    """See `Library`."""
    import xgboost

    names = {0: "reg:squarederror", 2: "binary:logistic"}
    params = {
        "objective": names.get(task.classes, "multi:softprob"),
        **({"num_class": task.classes} if task.classes > 2 else {}),
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "learning_rate": task.learning_rate,
        "max_leaves": task.leaves,
        "max_depth": task.depth or 0,
        "min_child_weight": task.leaf * (A_ROW if task.classes else 1),
        "reg_lambda": task.l2,
        "subsample": task.row_share,
        "colsample_bytree": task.column_share,
        "seed": task.seed % 2**31,
        "nthread": task.threads,
        "verbosity": 0,
        **task.own,
    }
    known = _matrix(task, *data)
    if stop is None:
        return XgboostTrees(xgboost.train(params, known, rounds), rounds, task)
    model = xgboost.train(
        params,
        known,
        rounds,
        evals=[(_matrix(task, *stop), "kept_back")],
        early_stopping_rounds=patience,
        verbose_eval=False,
    )
    return XgboostTrees(model, model.best_iteration + 1, task)


def _names() -> list[str]:
    import xgboost

    return [*xgboost.XGBModel().get_params(), *ALIASES]


LIBRARY = Library("xgboost", fit, _names, lambda: TAKEN)
