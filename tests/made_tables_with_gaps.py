"""A table of numbers and categories with gaps, whose target follows both, and experiments on it; for tests alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from goldfold import metrics
from goldfold.competition import Competition, Fold, Plan, Recipe, Runtime, Tables
from goldfold.experiment.fits import Experiment, Protocol
from goldfold.training.settings import LoopOptions

COLUMNS: dict[str, Any] = {"numeric": ["size", "weight"], "categorical": ["kind", "Größe"]}


def table(kind: str, n: int = 240, seed: int = 0) -> pd.DataFrame:
    """Rows with a column `target`: 0 and 1, one of three words, or numbers."""
    draw = np.random.default_rng(seed)
    rows = pd.DataFrame({"id": [f"行{number}" for number in range(n)], "size": draw.normal(size=n)})
    rows["weight"], rows["kind"] = draw.normal(size=n), draw.choice(["a", "b", "c"], n)
    rows["Größe"] = draw.choice([1.0, 2.0, np.nan], n)
    signal = 2 * rows["size"] + 2 * (rows["kind"] == "a") - rows["Größe"].fillna(0) + 0.5 * draw.normal(size=n)
    rows.loc[draw.random(n) < 0.1, "size"] = np.nan
    words = np.array(["高", "low", "mid"])
    cut = np.digitize(signal, signal.quantile([1 / 3, 2 / 3]))
    target = {"binary": (signal > 0).astype(int), "multiclass": words[cut], "regression": signal}
    return rows.assign(target=target[kind])


def runtime(seed: int = 0, classes: tuple | None = None) -> Runtime:
    return Runtime(seed=seed, device=torch.device("cpu"), cache=Path(), classes=classes)


def built(made: Recipe, rows: pd.DataFrame, seed: int = 0, **params: Any) -> tuple[Plan, Any]:
    """A plan without stages and what it fitted on rows."""
    plan = made.build(made.params(**params), rows, runtime(seed))
    return plan, plan.finish(None)


def experiment(made: Recipe, rows: pd.DataFrame, loop: LoopOptions | None = None, **params: Any) -> Experiment:
    """Two folds of a binary target, first and second half, scored by AUROC; the test rows are those of the table."""
    halves = np.array_split(np.arange(len(rows)), 2)
    empty = dict.fromkeys(("prepare", "load", "split", "submission"))
    return Experiment(
        competition=Competition(slug="x", metric=metrics.auroc("target"), targets=("target",), recipes={}, **empty),
        recipe=made,
        params=made.params(**params),
        loop=loop or LoopOptions(),
        protocol=Protocol(),
        tables=Tables(train=rows, test=rows.drop(columns="target"), sample_submission=rows),
        folds=[Fold(np.setdiff1d(np.arange(len(rows)), part), part) for part in halves],
        runtime=runtime(classes=(0, 1)),
    )
