"""tumors: is a tumor malignant? The 569 rows and 30 columns of scikit-learn's breast cancer table, a fifth hidden."""

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from goldfold import metrics
from goldfold.competition import Competition, Submission
from goldfold.data import self_hosting
from goldfold.data.folds import stratified
from goldfold.recipes import tabular


def prepare(raw, public, private):
    rows = load_breast_cancer(as_frame=True).frame
    rows.insert(0, "id", range(len(rows)))
    hidden = np.random.default_rng(0).permutation(len(rows))[: len(rows) // 5]
    self_hosting.write(rows, np.sort(hidden), ["target"], {"target": 0.5}, public, private)


def estimator(params, seed):
    features = FunctionTransformer(lambda rows: rows.drop(columns="id"))
    return make_pipeline(features, StandardScaler(), LogisticRegression(max_iter=2000))


METRIC = metrics.auroc(target="target")
COMPETITION = Competition(
    slug="tumors",
    metric=METRIC,
    targets=("target",),
    prepare=prepare,
    load=self_hosting.read,
    split=lambda train, seed: stratified(train["target"], folds=5, seed=seed),
    recipes={"tabular": tabular.recipe(tabular.TabularParams, estimator, target="target", kind="binary")},
    submission=Submission(write=lambda test, values: pd.DataFrame({"id": test["id"], "target": values})),
    grade=lambda submission, solution: METRIC.score(solution, submission["target"].to_numpy()),
)
