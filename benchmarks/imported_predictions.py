"""What an imported friend's file gains in a blend on titanic: made on our folds, and on ten folds of its own.

Run in a project whose titanic data is prepared:

    .venv/bin/python benchmarks/imported_predictions.py

It trains the config `baseline`, makes out-of-fold and test predictions with scikit-learn (ExtraTrees on seven columns),
imports them, and blends them with the run by `weights`. Differences to the run alone are paired over our five folds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

import goldfold as gf
from goldfold.io.formatting import number, signed, signed_interval

NUMERIC, CATEGORICAL = ["Age", "SibSp", "Parch", "Fare", "Pclass"], ["Sex", "Embarked"]


def model() -> Pipeline:
    """A friend's model."""
    columns = make_column_transformer(
        (SimpleImputer(strategy="median"), NUMERIC),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), CATEGORICAL),
    )
    return make_pipeline(columns, ExtraTreesClassifier(500, min_samples_leaf=3, random_state=0))


def write(folder: Path, train: pd.DataFrame, test: pd.DataFrame, fold: np.ndarray) -> Mapping[str, Path]:
    """Write the friend's three files."""
    oof, tests = np.zeros(len(train)), []
    for own in np.unique(fold):
        fitted = model().fit(train[fold != own], train["Survived"][fold != own])
        oof[fold == own] = fitted.predict_proba(train[fold == own])[:, 1]
        tests.append(fitted.predict_proba(test)[:, 1])
    paths = {name: folder / f"{name}.csv" for name in ("oof", "test", "folds")}
    pd.DataFrame({"PassengerId": train["id"], "survived": oof}).to_csv(paths["oof"], index=False)
    pd.DataFrame({"PassengerId": test["id"], "survived": np.mean(tests, axis=0)}).to_csv(paths["test"], index=False)
    pd.DataFrame({"PassengerId": train["id"], "fold": fold}).to_csv(paths["folds"], index=False)
    return paths


def main() -> None:
    project = gf.Project(".", quiet=True)
    run, data = project.train("titanic", "baseline"), project.tables("titanic")
    ours = run.folds.set_index("id")["fold"].loc[data.train["id"].astype(str)].to_numpy()
    other = np.zeros(len(data.train), int)
    for fold, (_, rows) in enumerate(KFold(10, shuffle=True, random_state=3).split(data.train)):
        other[rows] = fold
    print(f"| run | {' | '.join(run.metrics)} | accuracy less baseline |\n|---|{'---|' * (len(run.metrics) + 1)}")
    line(project, run, run)
    for name, fold in (("friend_same_folds", ours), ("friend_own_folds", other)):
        with tempfile.TemporaryDirectory() as folder:
            paths = write(Path(folder), data.train, data.test, fold)
            friend = project.import_run("titanic", paths["oof"], paths["test"], folds=paths["folds"], name=name)
        line(project, run, friend)
        line(project, run, project.blend([run, friend], method="weights"))
        line(project, run, project.blend([run, friend], weights=[0.5, 0.5]))


def line(project: gf.Project, run: gf.Run, own: gf.Run) -> None:
    """Print a row of the table."""
    means = " | ".join(number(summary["mean"]) for summary in own.metrics.values())
    apart = ""
    if own != run:
        found = project.compare([run, own]).differences["accuracy"][own.name]
        apart = f"{signed(found.mean)} {signed_interval(found.interval)}, better in {found.better} of {found.folds}"
    print(f"| {own.folder.name} | {means} | {apart} |", flush=True)


if __name__ == "__main__":
    main()
