"""The search for decisions, against all combinations of the candidates."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from goldfold import metrics
from goldfold.competition import Metric
from goldfold.experiment.decisions.block import choose
from goldfold.experiment.decisions.search import Task, fit

DRAW = np.random.default_rng(8)
TRUTH = ndimage.gaussian_filter(DRAW.normal(size=(12, 2, 20, 20)), (0, 0, 2, 2)) > 0.05
NOISE = ndimage.gaussian_filter(DRAW.normal(size=TRUTH.shape), (0, 0, 1, 1))
SHIFT = np.array([0.45, 0.6])[:, None, None]  # the best threshold of each class is near 0.35 and 0.5
MAPS = np.clip(0.2 * TRUTH + 0.2 * NOISE + SHIFT - 0.2, 0, 1).astype(np.float16)
ROWS = pd.DataFrame({"id": range(12)})
CLASSES = ("a", "b")


def truth(rows: pd.DataFrame) -> list[np.ndarray]:
    return [TRUTH[number].astype(np.uint8) for number in rows["id"]]


def task(metric: Metric, block: dict, rows: pd.DataFrame, predictions: np.ndarray) -> Task:
    chosen = choose(SimpleNamespace(metric=metric, also=()), block, folds=2)
    return Task(chosen, rows, rows[["id"]], predictions)


@pytest.mark.parametrize("make", [metrics.mean_dice, metrics.mean_dice_per_image, metrics.mean_iou])
def test_thresholds_of_overlapping_classes_are_the_best_of_all_pairs(make):
    metric, tried, index = make(truth, CLASSES, overlapping=True), [0.3, 0.4, 0.45, 0.55, 0.6], np.arange(2, 9)
    made = task(metric, {"threshold": tried}, ROWS, MAPS)
    found, part = fit(made, index), MAPS[index].astype(np.float32)

    def score(pair: tuple[float, float]) -> float:
        decided = (part > np.array(pair)[:, None, None]).astype(np.float16)
        return metric.score(ROWS.iloc[index].reset_index(drop=True), decided)

    best = max(product([0.5, *tried], repeat=2), key=score)
    assert found.values["threshold"] == best
    assert found.score == pytest.approx(score(best))
    assert found.values["threshold"][0] != found.values["threshold"][1]
    assert found.tried < 2 * len(tried) * 3  # both classes at once


def test_one_class_alone_is_fitted_and_others_stay():
    made = task(metrics.mean_dice(truth, CLASSES, overlapping=True), {"threshold": {"b": [0.3, 0.6]}}, ROWS, MAPS)
    assert fit(made, np.arange(12)).values["threshold"][0] == 0.5


def test_labels_of_rows_whose_score_is_no_mean_over_labels_are_fitted_one_by_one():
    labels, names = DRAW.integers(0, 2, (80, 3)), ["x", "y", "z"]
    guess = np.clip(0.3 * labels + 0.35 * DRAW.random((80, 3)) + [0.0, 0.15, 0.3], 0, 1)
    rows = pd.DataFrame(labels, columns=names).assign(id=range(80))
    metric, tried = metrics.subset_accuracy(names), [0.3, 0.4, 0.6, 0.7]
    found = fit(task(metric, {"threshold": tried}, rows, guess), np.arange(80))
    assert found.score == np.mean(((guess > found.values["threshold"]) == labels).all(axis=1))
    for at, other in product(range(3), [0.5, *tried]):  # no single threshold is better
        values = [*found.values["threshold"]]
        values[at] = other
        assert np.mean(((guess > values) == labels).all(axis=1)) <= found.score
    assert found.score > np.mean(((guess > 0.5) == labels).all(axis=1))


def test_the_number_of_labels_of_a_row_is_the_best_of_all():
    labels, names = np.eye(4)[DRAW.integers(0, 4, 60)], list("abcd")
    guess = np.clip(labels * 0.2 + 0.2 * DRAW.random((60, 4)), 0, 1)  # none above 0.5
    rows = pd.DataFrame(labels, columns=names).assign(id=range(60))
    found = fit(task(metrics.hamming_loss(names), {"top_k": True}, rows, guess), np.arange(60))
    assert found.values == {"threshold": (0.5,) * 4, "top_k": 1}
    assert found.score < metrics.hamming_loss(names).score(rows, guess)


def test_equal_scores_keep_the_plain_values():
    rows = pd.DataFrame({"id": range(4), "y": [0, 0, 1, 1]})
    made = task(metrics.accuracy("y"), {"threshold": True}, rows, np.array([0.1, 0.2, 0.8, 0.9]))
    assert fit(made, np.arange(4)).values == {"threshold": 0.5}
