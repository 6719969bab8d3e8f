"""Boosted symmetric trees of CatBoost (Prokhorenkova et al. 2018), extra `boosting`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from goldfold.recipes.tables.trees import Data, Library, Task, Trees

TAKEN = {
    **dict.fromkeys(("learning_rate", "eta"), "set learning_rate"),
    **dict.fromkeys(("iterations", "n_estimators", "num_boost_round", "num_trees"), "set rounds"),
    **dict.fromkeys(("depth", "max_depth"), "set depth"),
    **dict.fromkeys(("l2_leaf_reg", "reg_lambda"), "set l2"),
    "subsample": "set row_share",
    **dict.fromkeys(("rsm", "colsample_bylevel"), "set column_share"),
    **dict.fromkeys(("od_wait", "od_type", "od_pval", "early_stopping_rounds"), "set stop_patience"),
    "use_best_model": "set stop_on",
    "cat_features": "the competition names the categorical columns",
    **dict.fromkeys(("random_seed", "random_state"), "set seeds"),
    "thread_count": "set the environment variable OMP_NUM_THREADS",
    **dict.fromkeys(("verbose", "silent", "logging_level", "metric_period", "name"), "leave it out"),
    **dict.fromkeys(("allow_writing_files", "train_dir", "save_snapshot", "snapshot_file"), "leave it out"),
}


@dataclass(frozen=True)
class CatboostTrees:
    """A fitted model; see `Trees`."""

    model: Any
    rounds: int
    task: Task

    def predict(self, features: np.ndarray, rounds: int | None = None) -> np.ndarray:
        """See `Trees`."""
        pool, last = _pool(self.task, features), rounds or self.rounds
        if self.task.classes:
            return self.model.predict_proba(pool, ntree_end=last, thread_count=self.task.threads)
        return self.model.predict(pool, ntree_end=last, thread_count=self.task.threads)

    def gain(self) -> np.ndarray:
        """CatBoost's PredictionValuesChange in percent, which is close to gain."""
        return np.asarray(self._shrunk().get_feature_importance(type="PredictionValuesChange"), np.float64)

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """See `Trees`: path-dependent SHAP values (Lundberg et al. 2020), of several classes their mean."""
        found = self._shrunk().get_feature_importance(_pool(self.task, features), type="ShapValues")
        return np.abs(found.reshape(len(features), -1, features.shape[1] + 1)[..., :-1]).mean(axis=(0, 1))

    def files(self) -> Mapping[str, bytes]:
        """The JSON that `catboost.CatBoost().load_model(..., format="json")` reads."""
        with TemporaryDirectory() as folder:
            self._shrunk().save_model(str(Path(folder, "model.json")), format="json")
            return {"catboost.json": Path(folder, "model.json").read_bytes()}

    def _shrunk(self) -> Any:
        """The model without the rounds that do not predict."""
        made = self.model.copy()
        if made.tree_count_ > self.rounds:
            made.shrink(self.rounds)
        return made


def _pool(task: Task, features: np.ndarray, labels: np.ndarray | None = None) -> Any:
    """The features as CatBoost takes them: categories are whole numbers, -1 for gaps."""
    from catboost import Pool

    table = pd.DataFrame(features, columns=list(task.names))
    chosen = np.flatnonzero(task.is_category).tolist()
    for at in chosen:
        table.isetitem(at, np.nan_to_num(features[:, at], nan=-1).astype(np.int64))
    return Pool(table, labels, cat_features=chosen, thread_count=task.threads)


def fit(task: Task, data: Data, stop: Data | None, rounds: int, patience: int) -> Trees:
    """See `Library`. Without `depth`, trees have about as many leaves as asked for: 2 to the depth."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    drawn = {"bootstrap_type": "Bernoulli", "subsample": task.row_share} if task.row_share < 1 else {}
    params = {
        "iterations": rounds,
        "learning_rate": task.learning_rate,
        "depth": task.depth or max(1, min(16, round(math.log2(task.leaves)))),
        "l2_leaf_reg": task.l2,
        "rsm": task.column_share,
        "random_seed": task.seed % 2**31,
        "thread_count": task.threads,
        "allow_writing_files": False,
        "verbose": False,
        **drawn,
        **task.own,
    }
    if task.classes > 2:
        params.setdefault("loss_function", "MultiClass")
    model = (CatBoostClassifier if task.classes else CatBoostRegressor)(**params)
    known = _pool(task, *data)
    if stop is None:
        return CatboostTrees(model.fit(known), model.tree_count_, task)
    model.fit(known, eval_set=_pool(task, *stop), early_stopping_rounds=patience, use_best_model=False)
    return CatboostTrees(model, model.get_best_iteration() + 1, task)


def _names() -> list[str]:
    from catboost import CatBoostClassifier

    return [name for name in inspect.signature(CatBoostClassifier.__init__).parameters if name != "self"]


LIBRARY = Library("catboost", fit, _names, lambda: TAKEN)
