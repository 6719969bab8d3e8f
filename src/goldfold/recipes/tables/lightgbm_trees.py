"""Boosted trees of LightGBM (Ke et al. 2017), extra `boosting`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from goldfold.recipes.tables.trees import Data, Library, Task, Trees

TAKEN = {
    "learning_rate": "set learning_rate",
    "num_iterations": "set rounds",
    "num_leaves": "set leaves",
    "max_depth": "set depth",
    "min_data_in_leaf": "set leaf",
    "lambda_l2": "set l2",
    "bagging_fraction": "set row_share",
    "feature_fraction": "set column_share",
    "early_stopping_round": "set stop_patience",
    "categorical_feature": "the competition names the categorical columns",
    "num_class": "the competition names the classes",
    "seed": "set seeds",
    "deterministic": "equal seeds fit equal trees",
    "num_threads": "set the environment variable OMP_NUM_THREADS",
    "verbosity": "leave it out",
}


@dataclass(frozen=True)
class LightgbmTrees:
    """A fitted booster; see `Trees`."""

    model: Any
    rounds: int
    classes: int

    def predict(self, features: np.ndarray, rounds: int | None = None) -> np.ndarray:
        """See `Trees`."""
        found = self.model.predict(features, num_iteration=rounds or self.rounds)
        return np.stack([1 - found, found], axis=1) if self.classes == 2 else found

    def gain(self) -> np.ndarray:
        """See `Trees`."""
        return self.model.feature_importance("gain", iteration=self.rounds).astype(np.float64)

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """See `Trees`: path-dependent SHAP values (Lundberg et al. 2020), of several classes their mean."""
        found = self.model.predict(features, num_iteration=self.rounds, pred_contrib=True)
        return np.abs(found.reshape(len(features), -1, features.shape[1] + 1)[..., :-1]).mean(axis=(0, 1))

    def files(self) -> Mapping[str, bytes]:
        """The text that `lightgbm.Booster(model_file=...)` reads."""
        return {"lightgbm.txt": self.model.model_to_string(num_iteration=self.rounds).encode("utf-8")}


def fit(task: Task, data: Data, stop: Data | None, rounds: int, patience: int) -> Trees:
    """See `Library`."""
    import lightgbm

    names = {0: "regression", 2: "binary"}
    params = {
        "objective": names.get(task.classes, "multiclass"),
        "num_class": task.classes if task.classes > 2 else 1,
        "learning_rate": task.learning_rate,
        "num_leaves": task.leaves,
        "max_depth": task.depth or -1,
        "min_data_in_leaf": task.leaf,
        "lambda_l2": task.l2,
        "bagging_fraction": task.row_share,
        "bagging_freq": int(task.row_share < 1),
        "feature_fraction": task.column_share,
        "seed": task.seed,
        "deterministic": True,
        "force_row_wise": True,  # which of both is faster is else measured, and decides rounding
        "num_threads": task.threads,
        "verbosity": -1,
        **task.own,
    }

    def dataset(part: Data, reference: Any = None) -> Any:
        categories = np.flatnonzero(task.is_category).tolist()
        return lightgbm.Dataset(part[0], part[1], reference=reference, categorical_feature=categories, params=params)

    known = dataset(data)
    if stop is None:
        return LightgbmTrees(lightgbm.train(params, known, rounds), rounds, task.classes)
    stopping = lightgbm.early_stopping(patience, verbose=False)
    model = lightgbm.train(params, known, rounds, valid_sets=[dataset(stop, known)], callbacks=[stopping])
    return LightgbmTrees(model, model.best_iteration or model.current_iteration(), task.classes)


def _aliases() -> dict[str, list[str]]:
    """Name of a parameter -> all names it has."""
    from lightgbm import basic

    return basic._ConfigAliases._get_all_param_aliases()  # its only list of names that Python can read


def _taken() -> dict[str, str]:
    return {alias: reason for name, reason in TAKEN.items() for alias in {name, *_aliases().get(name, ())}}


def _names() -> list[str]:
    return [alias for name, aliases in _aliases().items() for alias in (name, *aliases)]


LIBRARY = Library("lightgbm", fit, _names, _taken)
