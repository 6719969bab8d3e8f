"""Scores of each class of masks: the table against the metric, its intervals, and the section of the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldfold import metrics
from goldfold.data import csv_tables
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import ScoredRows
from goldfold.report.run import mask_classes

ROWS = pd.DataFrame({"id": range(12)})
DRAW = np.random.default_rng(1)
MAPS = DRAW.integers(0, 2, (12, 8, 9))  # class 2 occurs nowhere
PREDICTIONS = np.stack([MAPS == 0, MAPS == 1, MAPS > 5], axis=1) + 2 * DRAW.random((12, 3, 8, 9))
PREDICTIONS[:, 2] = 0


def metric(factory=metrics.mean_dice, **options):
    return factory(lambda rows: MAPS[rows["id"]], ("soil", "leaf", "pest"), **options)


def table(*scored) -> pd.DataFrame:
    return mask_classes.per_class(scored, ROWS, PREDICTIONS)


def test_each_class_has_its_score_and_an_interval_over_images() -> None:
    found = table(metric()).set_index("class")
    true, guess = MAPS == 1, PREDICTIONS.argmax(axis=1) == 1
    assert found.loc["leaf", "score"] == pytest.approx(2 * (true & guess).sum() / (true.sum() + guess.sum()))
    assert found.loc["leaf", "low"] < found.loc["leaf", "score"] < found.loc["leaf", "high"]
    assert found.loc["pest", ["score", "low", "high"]].isna().all()
    only = metrics.mean_dice(lambda rows: MAPS[rows["id"]], ("rest", "leaf"), background=False)
    over = jackknife.sampling(only, [ScoredRows(ROWS, [guess.astype(float)])])
    expected = limits.of_mean([found.loc["leaf", "score"]], (0, 1), over)
    assert found.loc["leaf", ["low", "high"]].tolist() == pytest.approx(expected, abs=1e-9)


def test_groups_are_left_out_as_a_whole() -> None:
    groups = np.arange(12) // 2
    grouped = mask_classes.per_class([metric()], ROWS, PREDICTIONS, groups).set_index("class")
    assert grouped.loc["leaf", "low"] != table(metric()).set_index("class").loc["leaf", "low"]
    few = mask_classes.per_class([metric()], ROWS, PREDICTIONS, groups // 3).set_index("class")
    assert few.loc["leaf", ["low", "high"]].isna().all()  # fewer than 5 groups have no interval


def test_the_section_has_a_table_for_each_metric_and_the_best_class_first(tmp_path: Path) -> None:
    assert mask_classes.section(tmp_path) == ""
    assert table(metrics.dice(lambda rows: MAPS)).empty
    scores = table(metric(), metric(metrics.hausdorff_95))
    (tmp_path / mask_classes.TABLE).write_text(csv_tables.to_text(scores), encoding="utf-8")
    lines = mask_classes.section(tmp_path).splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("|") and "--" not in line]
    best = scores[:3].sort_values("score", ascending=False)["class"].tolist()
    assert names == ["class", *best, "class", "leaf", "pest"]
