"""What metrics decide by: cut points, numbers of labels, and maps that are decided row by row."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from sklearn.metrics import cohen_kappa_score

from goldfold import metrics
from goldfold.images.instances import watershed
from goldfold.metrics.decisions.cut_points import best_kappa, middles
from goldfold.metrics.decisions.maps import of_masks, of_watershed
from goldfold.metrics.row_by_row import RowByRow

ROWS = pd.DataFrame({"id": range(6)})


def kappa_at(truth: np.ndarray, values: np.ndarray, cuts) -> float:
    return cohen_kappa_score(truth, np.digitize(values, cuts, right=True), weights="quadratic")


def test_cut_points_of_few_rows_are_the_best_of_all():
    draw = np.random.default_rng(2)
    for _ in range(10):
        truth = np.repeat(np.arange(3), 6)
        values = np.round(truth * 0.4 + draw.normal(0.5, 0.4, 18), 1)  # with ties
        places = middles(np.unique(values))
        best = max(kappa_at(truth, values, pair) for pair in combinations(places, 2))
        found = best_kappa(truth, values, np.arange(3.0))
        assert kappa_at(truth, values, found) == pytest.approx(best, abs=0.06)  # one cut is moved at a time
        assert kappa_at(truth, values, found) >= kappa_at(truth, values, (0.5, 1.5))
        assert list(found) == sorted(found)


def test_plain_values_leave_every_score_as_it_is():
    draw, rows = np.random.default_rng(0), ROWS.assign(y=[0, 1, 2, 2, 1, 0], z=[0, 1, 1, 0, 1, 0])
    maps = draw.random((6, 12, 10)).astype(np.float16)
    truth = [(draw.random((24, 20)) > 0.5).astype(np.int32) for _ in range(6)]
    cases = [
        (metrics.quadratic_kappa("y", classes=range(3)), draw.uniform(-1, 3, 6)),
        (metrics.f1("z"), draw.random(6)),
        (metrics.accuracy("z"), np.stack([1 - maps[:, 0, 0], maps[:, 0, 0]], axis=1).astype(np.float64)),
        (metrics.multilabel_f1(["z", "w"]), draw.random((6, 2))),
        (metrics.dice(lambda some: truth), maps),
        (metrics.mean_dice(lambda some: truth, ["no", "yes"]), np.stack([1 - maps, maps], axis=1)),
        (metrics.mean_iou_per_image(lambda some: truth, ["no", "yes"]), maps),
    ]
    rows["w"] = 1 - rows["z"]
    for metric, predictions in cases:
        decision = metric.options.decision
        plain = {name: own.plain for name, own in decision.parameters.items()}
        decided = decision.apply(rows, predictions, plain)
        assert metric.score(rows, decided) == pytest.approx(metric.score(rows, predictions), abs=1e-12), metric.name


def test_the_most_probable_labels_of_a_row_are_given():
    decision = metrics.subset_accuracy(["a", "b", "c"]).options.decision
    guess = np.array([[0.1, 0.9, 0.9], [0.0, 0.0, 0.0], [0.2, 0.1, 0.3]])
    given = decision.apply(ROWS[:3], guess, {"threshold": 0.5, "top_k": 2}) > 0.5
    assert given.tolist() == [[False, True, True], [True, True, False], [True, False, True]]


def test_a_threshold_holes_and_small_parts_of_a_map():
    probability = np.zeros((1, 9, 9), np.float16)
    probability[0, 1:6, 1:6] = 0.4
    probability[0, 3, 3] = 0.1  # a hole
    probability[0, 8, 7:] = 0.9  # two pixels
    wanted = np.zeros((9, 9), bool)
    wanted[1:6, 1:6] = True
    for values, expected in (
        ({"threshold": 0.3, "fill_holes": True, "min_size": 3}, wanted),
        ({"threshold": 0.3, "fill_holes": False, "min_size": 3}, wanted & (probability[0] != np.float16(0.1))),
        ({"threshold": 0.5, "fill_holes": False, "min_size": 0}, probability[0] > 0.5),
        ({"threshold": 0.5, "fill_holes": True, "min_size": 3}, np.zeros((9, 9), bool)),
    ):
        (found,) = of_masks().apply(ROWS[:1], probability, values)
        assert ((found > 0.5) == expected).all(), values


def test_thresholds_of_overlapping_classes_and_sizes_of_exclusive_ones():
    draw = np.random.default_rng(4)
    maps = draw.random((6, 3, 8, 8)).astype(np.float16)
    several = of_masks(["a", "b", "c"]).apply(
        ROWS, maps, {"threshold": (0.2, 0.5, 0.8), "fill_holes": False, "min_size": (0, 0, 0)}
    )
    assert ((np.stack(list(several)) > 0.5) == (maps > np.array([0.2, 0.5, 0.8])[:, None, None])).all()
    (one,) = of_masks(["a", "b", "c"], exclusive=True).apply(ROWS[:1], maps[:1], {"min_size": (0, 3, 0)})
    before, after = maps[0].argmax(axis=0), one.argmax(axis=0)
    parts = ndimage.label(before == 1)[0]
    small = np.isin(parts, np.flatnonzero(np.bincount(parts.ravel()) < 3)) & (before == 1)
    second = np.where(maps[0, 0] >= maps[0, 2], 0, 2)
    assert small.any()
    assert (after == np.where(small, second, before)).all()


def test_objects_of_a_watershed_are_those_of_the_function():
    draw = np.random.default_rng(6)
    maps = ndimage.gaussian_filter(draw.random((6, 32, 32)), (0, 2, 2)).astype(np.float32)
    maps = (maps - maps.min()) / (maps.max() - maps.min())
    decision = of_watershed(watershed, lambda rows: [(32, 32)] * len(rows), {"min_size": 5})
    values = {"threshold": 0.6, "min_size": 12, "min_distance": 2, "smoothing": 0.5}
    found = decision.apply(ROWS, maps, values).array()
    for own, probability in zip(found, maps, strict=True):
        assert (own == watershed(probability, **values)).all()
    metric = metrics.dsb2018_map(lambda rows: found, instances=watershed, decision=decision)
    assert metric.score(ROWS, decision.apply(ROWS, maps, values)) == 1.0


def test_maps_are_decided_when_they_are_read_and_never_copied():
    maps = np.random.default_rng(0).random((64, 128, 128)).astype(np.float16)  # 2 MiB
    rows, truth = pd.DataFrame({"id": range(64)}), np.zeros((128, 128), np.int32)
    metric = metrics.dice(lambda some: [truth] * len(some))
    tracemalloc.start()
    decided = metric.options.decision.apply(rows, maps, {"threshold": 0.3, "fill_holes": False, "min_size": 0})
    metric.score(rows, decided)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < maps.nbytes / 2
    assert decided[np.arange(60, 64)].shape == (4, 128, 128)
    assert isinstance(decided[:2], RowByRow)
    assert (decided[3] == decided.array()[3]).all()
