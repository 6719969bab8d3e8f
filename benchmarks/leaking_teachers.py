"""How much labels from models that saw the validation rows flatter a score, where the labels are random.

    PYTHONPATH=src python benchmarks/leaking_teachers.py [--repeats 5] [--rows 300]

Rows have 5 random features, random labels and 5 folds, and there are as many test rows, so every honest AUROC is 0.5 in
the mean. Student and teacher are the same scikit-learn estimator. It prints the mean AUROC of the student over repeats
with its standard error, for soft targets (alpha 1) and for hard pseudo-labels of the test rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from goldfold.data.folds import k_fold
from goldfold.data.training_rows import estimators, soft_targets
from goldfold.data.training_rows.soft_targets import RowTargets

FOLDS = 5
MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: LogisticRegression(max_iter=1000),
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "forest": lambda: RandomForestClassifier(50, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=50, min_samples_leaf=5, random_state=0),
}
WAYS = ("in_sample", "nested", "out_of_fold", "test rows, same fold", "test rows, all folds")


def soft_student(model: Callable[[], Any], rows: pd.DataFrame, labels: np.ndarray, soft: np.ndarray) -> Any:
    """A student of soft targets (n,) alone."""
    ones = np.ones(len(rows))
    put = soft_targets.put(rows, RowTargets(ones, ones, np.stack([1 - soft, soft], axis=1), ones))
    return estimators.fit(model(), put, pd.Series(labels), (0, 1))


def scores(model: Callable[[], Any], rows: int, seed: int) -> dict[str, float]:
    """Pooled AUROC of each way on one draw of random rows."""
    random = np.random.default_rng(seed)
    table, test = (pd.DataFrame(random.normal(size=(rows, 5)), columns=list("abcde")) for _ in range(2))
    y = random.integers(0, 2, rows)
    folds = k_fold(table, folds=FOLDS, seed=seed)
    teachers = [model().fit(table.iloc[fold.train], y[fold.train]) for fold in folds]
    held_out = np.empty(rows)
    for teacher, fold in zip(teachers, folds, strict=True):
        held_out[fold.validation] = teacher.predict_proba(table.iloc[fold.validation])[:, 1]
    guesses = np.stack([teacher.predict_proba(test)[:, 1] for teacher in teachers])
    pairs = _pairs(model, table, y, folds)
    oof = {way: np.empty(rows) for way in WAYS}
    for number, fold in enumerate(folds):
        own, known, asked = table.iloc[fold.train], y[fold.train], table.iloc[fold.validation]
        soft = {
            "in_sample": teachers[number].predict_proba(own)[:, 1],
            "nested": pairs[number][fold.train],
            "out_of_fold": held_out[fold.train],
        }
        for way, values in soft.items():
            student = soft_student(model, own.reset_index(drop=True), known, values)
            oof[way][fold.validation] = student.predict_proba(asked)[:, 1]
        for way, guess in (("same fold", guesses[number]), ("all folds", guesses.mean(axis=0))):
            both = np.concatenate([known, (guess > 0.5).astype(int)])
            student = model().fit(pd.concat([own, test]), both)
            oof[f"test rows, {way}"][fold.validation] = student.predict_proba(asked)[:, 1]
    return {way: float(roc_auc_score(y, values)) for way, values in oof.items()}


def _pairs(model: Callable[[], Any], table: pd.DataFrame, y: np.ndarray, folds: Any) -> np.ndarray:
    """(folds, rows): predictions for the rows of other folds by models without the row's fold and this one."""
    found = np.full((len(folds), len(table)), np.nan)
    for one in range(len(folds)):
        for other in range(one):
            train = np.intersect1d(folds[one].train, folds[other].train)
            teacher = model().fit(table.iloc[train], y[train])
            for trained, predicted in ((one, other), (other, one)):
                rows = folds[predicted].validation
                found[trained, rows] = teacher.predict_proba(table.iloc[rows])[:, 1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=300)
    asked = parser.parse_args()
    print("| student and teacher | " + " | ".join(WAYS) + " |")
    print("|---|" + "---|" * len(WAYS))
    for name, model in MODELS.items():
        found = pd.DataFrame([scores(model, asked.rows, seed) for seed in range(asked.repeats)])
        cells = [f"{found[way].mean():.3f} ± {found[way].sem():.3f}" for way in WAYS]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
