"""Audits of a finished run see every metric, and compare with chance only where there are labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_tables import on_columns, train

from goldfold import metrics
from goldfold.competition import Metric, Plan, Recipe
from goldfold.params import Params


def noisy(rows: int = 80) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and test rows with one useful column and thirty useless ones."""
    draw = np.random.default_rng(1)
    table = pd.DataFrame(draw.normal(size=(rows, 31)), columns=[f"x{at}" for at in range(31)])
    table = table.assign(id=range(rows), y=(table["x0"] > 0).astype(int))
    return table[:60], table[60:].drop(columns="y").reset_index(drop=True)


def test_a_secondary_metric_below_chance_is_reported_by_name(toy: Path) -> None:
    recipe, also = on_columns([f"x{at}" for at in range(31)], kind="binary"), [metrics.log_loss("y")]
    run = train(metrics.accuracy("y"), recipe, noisy(), also=also, linear_strength=1e6)
    assert run.scores.loc["accuracy", "mean"] > run.scores.loc["accuracy", "chance"]
    assert run.scores.loc["log_loss", "mean"] > run.scores.loc["log_loss", "chance"]
    told = [found.message.split()[0] for found in run.findings if found.code == "worse_than_chance"]
    assert told == ["log_loss"]


class Nothing(Params):
    """No parameters."""


CONSTANT = Metric(
    name="constant", score=lambda rows, _: 0.0, higher_is_better=True, bounds=(0, 1), chance=lambda rows: 0.0
)
ZEROS = Recipe(params=Nothing, build=lambda *_: Plan(predict=lambda model, state, rows: np.zeros(len(rows))))


@pytest.mark.parametrize(
    ("targets", "proxy", "told"), [((), False, False), (("y",), False, False), (("y",), True, True)]
)
def test_without_labels_nothing_is_compared_with_chance(toy: Path, targets, proxy, told) -> None:
    rows, test = noisy()
    rows = rows.assign(y=0) if targets else rows.drop(columns="y")
    metric = replace(CONSTANT, options=replace(CONSTANT.options, proxy=proxy))
    run = train(metric, ZEROS, (rows, test), targets=targets)
    assert any(found.code == "worse_than_chance" for found in run.findings) == told
