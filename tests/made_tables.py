"""Define and train a competition whose tables, recipe and metrics a test gives, in the toy project; for tests alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

import goldfold as gf
from goldfold.competition import Fold, Metric, Recipe, Submission, Tables
from goldfold.recipes import tabular

GIVEN = SimpleNamespace()
"""What the competition `table` is made of at the moment; `define` sets it."""

COMPETITION = """
import made_tables
import pandas as pd
from goldfold.competition import Competition

given = made_tables.GIVEN
COMPETITION = Competition(
    slug="table", metric=given.metric, also=given.also, targets=given.targets, group=given.group,
    prepare=lambda raw, public, private: (public / "marker").write_text("prepared"),
    load=lambda public: given.tables, split=given.split, recipes={"made": given.recipe}, submission=given.submission,
)
"""


def halves(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Rows with an even position against those with an odd one."""
    even, odd = np.arange(0, len(train), 2), np.arange(1, len(train), 2)
    return [Fold(even, odd), Fold(odd, even)]


def on_columns(
    numeric: Sequence[str], categorical: Sequence[str] = (), *, target: str = "y", kind: str = "multiclass", **own
) -> Recipe:
    """The tabular recipe on these columns."""
    make = tabular.regressor if kind == "regression" else tabular.classifier

    def estimator(params: tabular.TabularParams, seed: int):
        return make_pipeline(tabular.preprocess(list(numeric), list(categorical)), make(params, seed))

    return tabular.recipe(tabular.TabularParams, estimator, target, kind, **own)


def columns(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    """A submission of one column per class, p0 and so on."""
    values = predictions.reshape(len(test), -1).astype(float)
    return pd.DataFrame({"id": test["id"], **{f"p{at}": values[:, at] for at in range(values.shape[1])}})


def define(
    metric: Metric,
    recipe: Recipe,
    tables: tuple[pd.DataFrame, pd.DataFrame],
    *,
    also: Sequence[Metric] = (),
    outputs: int = 1,
    targets: tuple[str, ...] = ("y",),
    group: str | None = None,
    split: Callable = halves,
    write: Callable = columns,
    sample: pd.DataFrame | None = None,
) -> None:
    """Write the competition `table` into the current folder, which must be the `toy` project.

    tables: train and test. outputs: number of columns of the submission beside the id. sample: the sample submission,
        by default of columns p0, p1 ...
    """
    if sample is None:
        rows = tables[1]
        sample = rows[["id"]].assign(**{f"p{at}": 0.5 for at in range(outputs)}) if "id" in rows else rows
    GIVEN.__dict__.update(metric=metric, also=also, recipe=recipe, targets=targets, group=group, split=split)
    GIVEN.tables = Tables(train=tables[0], test=tables[1], sample_submission=sample)
    GIVEN.submission = Submission(write=write)
    folder = Path("competitions/table")
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text(COMPETITION, encoding="utf-8")
    Path("configs/table").mkdir(exist_ok=True)
    Path("configs/table/baseline.yaml").write_text("recipe: made\n", encoding="utf-8")
    sys.modules.pop("competitions.table", None)


def train(metric: Metric, recipe: Recipe, tables: tuple[pd.DataFrame, pd.DataFrame], **options: Any) -> gf.Run:
    """Define the competition and train it. options: those of `define`; all others are overrides of the config."""
    own = {name: options.pop(name) for name in list(options) if name in define.__kwdefaults__}
    define(metric, recipe, tables, **own)
    return gf.Project(".").train("table", **options)
