"""Scores of each of several labels: the table against the metrics, and pictures of few and of many labels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from PIL import Image

from goldfold import metrics
from goldfold.data import csv_tables
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import ScoredRows
from goldfold.report.run import classes


def made(labels: int, rows: int = 200) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    draw, names = np.random.default_rng(0), [f"label {at}" for at in range(labels)]
    truth = (draw.random((rows, labels)) < np.linspace(0.4, 0.05, labels)).astype(int)
    truth[:, 1] = 0
    return pd.DataFrame(truth, columns=names), (0.3 * truth + 0.7 * draw.random(truth.shape)), names


def test_each_label_has_the_scores_of_scikit_learn_and_an_interval() -> None:
    rows, guess, names = made(5)
    found = classes.per_class(rows, guess, names).set_index("class")
    assert list(found.index) == names
    for at in (0, 2, 3, 4):
        row, truth, flagged = found.loc[names[at]], rows[names[at]], guess[:, at] > 0.5
        assert row["average_precision"] == pytest.approx(reference.average_precision_score(truth, guess[:, at]))
        assert row["auroc"] == pytest.approx(reference.roc_auc_score(truth, guess[:, at]))
        assert row["f1"] == pytest.approx(reference.f1_score(truth, flagged))
        assert row["low"] < row["average_precision"] < row["high"]
        assert row["chance"] == truth.mean()
    assert found.loc["label 1", ["average_precision", "low", "auroc", "recall"]].isna().all()
    skip = metrics.average_precision(names)
    assert found["average_precision"].mean() == pytest.approx(skip.score(rows, guess))


def test_the_interval_is_that_of_the_metric_over_rows_or_groups() -> None:
    rows, guess, names = made(5)
    groups = np.arange(200) // 20
    of_one = metrics.average_precision(names[0])
    for known in (None, groups):
        found = classes.per_class(rows, guess, names, known).loc[0, ["low", "high"]].tolist()
        over = jackknife.sampling(of_one, [ScoredRows(rows, [guess[:, 0]], known)], int(rows[names[0]].sum()))
        mean = of_one.score(rows, guess[:, 0])
        assert found == pytest.approx(limits.of_mean([mean], (0, 1), over))


def test_the_section_lists_the_best_first_and_counts_empty_classes(tmp_path: Path) -> None:
    rows, guess, names = made(4)
    assert classes.section(tmp_path) == ""
    scores = classes.per_class(rows, guess, names)
    (tmp_path / classes.CLASSES).write_text(csv_tables.to_text(scores), encoding="utf-8")
    lines = classes.section(tmp_path).splitlines()
    best = scores.loc[scores["average_precision"].idxmax(), "class"]
    assert lines[2].startswith(f"| {best} ")
    assert lines[5].startswith("| label 1 ")
    assert "1 of 4 classes have no positive row" in lines[-1]


@pytest.mark.parametrize(("labels", "height"), [(25, 700), (80, 720), (120, 780)])
def test_a_picture_stays_on_a_page(labels: int, height: int) -> None:
    rows, guess, names = made(labels, rows=60)
    drawn = Image.open(io.BytesIO(classes.picture(classes.per_class(rows, guess, names))))
    assert drawn.width == 1020
    assert 600 < drawn.height <= height + 20
