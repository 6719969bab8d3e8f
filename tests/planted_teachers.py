"""A competition of random labels whose rows have twins in other folds and in the test table; for tests alone.

Every pair of rows has one place and two labels drawn apart, so nothing predicts a label but having seen it. A test row
stands at each place: a teacher that saw a validation row tells its label to whoever learns from the test row.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from goldfold import metrics
from goldfold.competition import Competition, Fold, Submission, Tables
from goldfold.data import self_hosting
from goldfold.params import Params
from goldfold.recipes import frozen_backbone, tabular, tabular_network

PAIRS, FOLDS = 120, 4


class TreeParams(Params):
    """A tree without limit, which remembers every row."""

    depth: int = 30


def tree(params: TreeParams, seed: int):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=params.depth, random_state=0)


def neighbor(params: TreeParams, seed: int):
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(1)


def _features(make):
    """The estimator behind a choice of the features, so that no other column is one."""

    def made(params, seed):
        from sklearn.pipeline import make_pipeline

        return make_pipeline(tabular.preprocess(numeric=["a", "b"], categorical=[]), make(params, seed))

    return made


def prepare(raw: Path, public: Path, private: Path) -> None:
    random = np.random.default_rng(0)
    place = np.concatenate([np.arange(PAIRS)] * 3)
    points = random.normal(size=(PAIRS, 2))[place]
    rows = pd.DataFrame(points, columns=["a", "b"]).assign(id=[f"r{at}" for at in range(len(place))])
    rows["part"] = np.concatenate([place[:PAIRS] % FOLDS, (place[:PAIRS] + 1) % FOLDS, place[:PAIRS] * 0])
    rows["y"] = random.integers(0, 2, len(rows))
    self_hosting.write(rows, np.arange(2 * PAIRS, 3 * PAIRS), ["y"], {"y": 0.5}, public, private)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    part = (train["part"].to_numpy() + seed * (np.arange(len(train)) % 2)) % FOLDS
    return [Fold(np.flatnonzero(part != at), np.flatnonzero(part == at)) for at in range(FOLDS)]


def load(public: Path) -> Tables:
    """The tables; a file `extra.csv` beside them holds extra rows."""
    found = self_hosting.read(public)
    if not (public / "extra.csv").exists():
        return found
    return Tables(**{**vars(found), "extra": pd.read_csv(public / "extra.csv")})


METRIC = metrics.auroc(target="y")
COMPETITION = Competition(
    slug="mirrors",
    metric=METRIC,
    targets=("y",),
    prepare=prepare,
    load=load,
    split=split,
    recipes={
        "tree": tabular.recipe(TreeParams, _features(tree), target="y", kind="binary"),
        "neighbor": tabular.recipe(TreeParams, _features(neighbor), target="y", kind="binary"),
        "network": tabular_network.recipe(
            "y", (0, 1), numeric=["a", "b"], epochs=4, members=2, hidden=(16,), learning_rate=0.02, permutations=0
        ),
        "images": frozen_backbone.recipe("y", (0, 1)),
    },
    submission=Submission(write=lambda test, values: pd.DataFrame({"id": test["id"], "y": values})),
    grade=lambda submission, solution: METRIC.score(solution, submission["y"].to_numpy()),
)


def write(project: Path) -> None:
    """Write the competition and a config per recipe into a project's folder."""
    home = project / "competitions" / "mirrors"
    home.mkdir(parents=True)
    (home / "__init__.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    (project / "configs" / "mirrors").mkdir(parents=True)
    for recipe in ("tree", "neighbor", "network"):
        (project / "configs" / "mirrors" / f"{recipe}.yaml").write_text(f"recipe: {recipe}\n", encoding="utf-8")
