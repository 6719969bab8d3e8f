"""What decisions that are fitted out of fold gain, and how far choosing flatters, on small data sets of scikit-learn.

    python benchmarks/decisions.py [--draws 10]

Five folds, drawn anew `--draws` times. `plain`: predictions as they are. `nested`: each fold at values fitted on the
other folds. `same rows`: at values fitted on all rows. The difference of nested and plain is paired over the folds of
the first draw, with the 95 % interval of `make compare`. The last line has a target without any relation to the rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from goldfold import metrics
from goldfold.competition import Metric
from goldfold.experiment.decisions.block import Chosen, Coordinate
from goldfold.experiment.decisions.search import Task, fit
from goldfold.trust.comparisons import difference, difference_text

FOLDS = 5
EDGES = (80, 140, 230, 290)  # of disease progression, between five classes


class Case(NamedTuple):
    """A data set with its metric; targets are whole numbers from 0."""

    name: str
    metric: Metric
    features: np.ndarray
    target: np.ndarray
    estimator: BaseEstimator


def cases() -> Iterator[Case]:
    """The data sets of the table."""
    features, progression = load_diabetes(return_X_y=True)
    classes = np.digitize(progression, EDGES)
    kappa = metrics.quadratic_kappa("y", classes=range(len(EDGES) + 1))
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    severe = (progression > EDGES[-1]).astype(int)
    cancer, benign = load_breast_cancer(return_X_y=True)
    noise = np.random.default_rng(0).permutation(classes)
    yield Case("diabetes, 5 ordinal classes", kappa, features, classes, RidgeCV())
    yield Case("diabetes, the severest class", metrics.f1("y", average="binary"), features, severe, logistic)
    yield Case("breast cancer", metrics.accuracy("y"), cancer, benign, logistic)
    yield Case("diabetes, classes shuffled", kappa, features, noise, RidgeCV())


def chosen(metric: Metric) -> Chosen:
    """The only decision of a metric, as `decide: {name: true}` asks for it."""
    decision = metric.options.decision
    assert decision is not None, "the metrics of the table decide"
    ((name, own),) = decision.parameters.items()
    if own.search:
        return Chosen(metric=metric, decision=decision, coordinates=(), searched=(name,))
    tried = tuple(value for value in own.candidates if value != own.plain)
    return Chosen(metric=metric, decision=decision, coordinates=(Coordinate(name, None, tried),), searched=())


def scores(case: Case, seed: int) -> dict[str, dict[str, float]]:
    """plain, nested and same rows -> fold -> score."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    method = "predict" if isinstance(case.estimator, RidgeCV) else "predict_proba"
    drawn = list(folds.split(case.features, case.target))
    oof = cross_val_predict(case.estimator, case.features, case.target, cv=drawn, method=method)
    rows = pd.DataFrame({"id": range(len(oof)), "y": case.target})
    task = Task(chosen(case.metric), rows, rows[["id"]], oof[:, 1] if oof.ndim == 2 else oof)
    every = fit(task, np.arange(len(rows))).values
    found: dict[str, dict[str, float]] = {"plain": {}, "nested": {}, "same rows": {}}
    for fold, (others, own) in enumerate(drawn):
        values = {"plain": task.chosen.plain(), "nested": fit(task, others).values, "same rows": every}
        for name, each in values.items():
            found[name][str(fold)] = task.score(each, own)
    return found


def main() -> None:
    """Print a line per data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10, help="times that the folds are drawn")
    draws = parser.parse_args().draws
    print("| data | metric | plain | nested | same rows | flattery | nested - plain of the first draw |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    for case in cases():
        drawn = [scores(case, seed) for seed in range(draws)]
        mean = {name: float(np.mean([list(each[name].values()) for each in drawn])) for name in drawn[0]}
        first = {
            name: {"folds": own, "mean": float(np.mean(list(own.values()))), "higher_is_better": True}
            for name, own in drawn[0].items()
        }
        gain = difference(first["nested"], first["plain"])
        told = f"{difference_text(gain, case.metric.bounds)}: {gain.verdict}"
        values = [f"{mean[name]:.4f}" for name in mean]
        flattery = f"{mean['same rows'] - mean['nested']:+.4f}"
        print(f"| {' | '.join([case.name, case.metric.name, *values, flattery, told])} |", flush=True)


if __name__ == "__main__":
    main()
