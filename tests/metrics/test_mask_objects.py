"""Panoptic quality and COCO's mask AP: against torchmetrics, pycocotools' numbers and planted cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from made_shapes import CONFIDENCE, FOUND, TRUE, many
from torchmetrics.functional.detection import panoptic_quality as torch_panoptic_quality

from goldfold import metrics

ROWS = pd.DataFrame({"id": range(4)})
VOID = 99_000
# pycocotools 2.0.11, COCOeval "segm", stats[0], of made_shapes; with the crowd object 2 of image 1 (counted from 0)
COCO, COCO_CROWD, COCO_MANY = 0.17199434229137198, 0.18250825082508249, 0.1334330855946067


def panoptic(objects: np.ndarray, void: bool = False) -> np.ndarray:
    """Class 2, stuff, above a line; class 3 for objects of odd label, 1 for others; ground is class 4, stuff."""
    rows = np.indices(objects.shape)[0]
    ground = np.where(rows < 18, 2000, 4000)
    found = np.where(objects > 0, np.where(objects % 2, 3000, 1000) + objects, ground)
    return np.where(void & (rows % 11 == 3), VOID, found)


TRUE_MAPS = [panoptic(each, void=True) for each in TRUE]
FOUND_MAPS = [panoptic(np.roll(each, 1, axis=0)) for each in FOUND]


def metric_of(found: list[np.ndarray], **options):
    """A panoptic metric whose predictions are (n, 1, h, w) values of the map."""
    return metrics.panoptic_quality(
        lambda rows: (TRUE_MAPS[i] for i in rows["id"]),
        lambda values: values[0].astype(int),
        ("a", "b", "c", "d"),
        void=VOID,
        **options,
    )


def test_panoptic_quality_is_that_of_torchmetrics() -> None:
    def colors(maps: list[np.ndarray]) -> torch.Tensor:
        maps = np.stack(maps)
        return torch.from_numpy(np.stack([maps // 1000, maps % 1000], axis=-1))

    predictions = np.stack(FOUND_MAPS)[:, None].astype(np.float32)
    known = torch_panoptic_quality(
        colors(FOUND_MAPS),
        colors(TRUE_MAPS),
        things={1, 3},
        stuffs={2, 4},
        allow_unknown_preds_category=True,
        return_per_class=True,
        return_sq_and_rq=True,
    )
    known = known.numpy().reshape(-1, 3)[[0, 2, 1, 3]]  # torchmetrics has things first
    assert 0 < known[:, 0].min() < known[:, 0].max() < 1
    for at, part in enumerate(("pq", "sq", "rq")):
        metric = metric_of(FOUND_MAPS, part=part)
        by_class = metric.options.mask_classes.by_class(ROWS, predictions)(np.arange(4))
        assert by_class == pytest.approx(known[:, at], abs=1e-6), part
        assert metric.score(ROWS, predictions) == pytest.approx(known[:, at].mean(), abs=1e-6)
        again = metric.score(ROWS.iloc[[1, 1, 3]].reset_index(drop=True), predictions[[1, 1, 3]])
        assert metric.options.resampled(ROWS, predictions)(np.array([1, 1, 3])) == pytest.approx(again, abs=1e-12)


@pytest.mark.parametrize("part", ["pq", "sq", "rq"])
def test_chance_of_panoptic_quality_is_the_best_constant(part) -> None:
    metric = metric_of(FOUND_MAPS, part=part)
    scores = [metric.score(ROWS, np.full((4, 1, 40, 50), value)) for value in (VOID, 0, 1000, 2000, 3000, 4000)]
    assert metric.chance(ROWS) == pytest.approx(max(scores), abs=1e-12)
    with raises_code("unknown_option"):
        metric_of(FOUND_MAPS, part="pQ")


def test_panoptic_quality_of_one_class_ignores_the_background() -> None:
    whole = metrics.panoptic_quality(lambda rows: (TRUE[i] for i in rows["id"]), lambda p: p.astype(int))
    assert whole.score(ROWS, np.stack(TRUE).astype(float)) == 1.0
    assert whole.score(ROWS, np.zeros((4, 40, 50))) == 0.0
    assert whole.score(ROWS[2:3], np.zeros((1, 40, 50))) == 1.0
    assert whole.score(ROWS[2:3], np.ones((1, 40, 50))) == 0.0


def confident(found: list[np.ndarray], confidences) -> np.ndarray:
    """Probability maps that are each object's confidence on its pixels."""
    values = [np.array([0, *np.zeros(each.max())], np.float64) for each in found]
    for each, objects, known in zip(values, found, confidences, strict=True):
        each[np.unique(objects[objects > 0])] = known
    return np.stack([each[objects] for each, objects in zip(values, found, strict=True)])


def by_confidence(probability: np.ndarray) -> np.ndarray:
    levels = np.unique(probability)
    return np.searchsorted(levels, probability)


def ap_of(true: list[np.ndarray], **options):
    return metrics.mask_average_precision(lambda rows: (true[i] for i in rows["id"]), by_confidence, **options)


def test_mask_ap_is_that_of_pycocotools() -> None:
    predictions = confident(FOUND, CONFIDENCE)
    assert ap_of(TRUE).score(ROWS, predictions) == pytest.approx(COCO, abs=1e-9)
    crowd = [np.where(each == 2, 77, each) if at == 1 else each for at, each in enumerate(TRUE)]
    assert ap_of(crowd, void=77).score(ROWS, predictions) == pytest.approx(COCO_CROWD, abs=1e-9)
    true, found, confidences = many()
    rows = pd.DataFrame({"id": range(len(true))})
    metric, predictions = ap_of(true), confident(found, confidences)
    assert metric.score(rows, predictions) == pytest.approx(COCO_MANY, abs=1e-9)
    kept = np.array([0, 3, 3, 8])
    again = metric.score(rows.iloc[kept].reset_index(drop=True), predictions[kept])
    assert metric.options.resampled(rows, predictions)(kept) == pytest.approx(again, abs=1e-12)
    assert ap_of(true, max_detections=1).score(rows, predictions) < COCO_MANY


def test_mask_ap_of_classes_is_the_mean_of_each_alone() -> None:
    true, found, confidences = many()
    rows, maps = pd.DataFrame({"id": range(len(true))}), confident(found, confidences)
    odd = [np.where(each > 0, 1000 + each % 2 * 1000 + each, 0) for each in true]
    guessed = np.stack([np.where(each % 2 == 1, values, 0) for each, values in zip(found, maps, strict=True)])
    layers = np.stack([maps - guessed, guessed], axis=1)

    def instances(layers: np.ndarray) -> np.ndarray:
        both = by_confidence(layers.sum(axis=0))
        return np.where(both > 0, both + 1000 + 1000 * (layers[1] > 0), 0)

    metric = metrics.mask_average_precision(lambda rows: (odd[i] for i in rows["id"]), instances, ("even", "odd"))
    found_by_class = metric.options.mask_classes.by_class(rows, layers)(np.arange(len(rows)))
    for index, known in enumerate(found_by_class):
        own = [np.where(each % 2 == index, each, 0) for each in true]
        assert ap_of(own).score(rows, layers[:, index]) == pytest.approx(known, abs=1e-9)
    assert metric.score(rows, layers) == pytest.approx(np.mean(found_by_class), abs=1e-12)


def test_objects_at_their_edges() -> None:
    perfect = ap_of(TRUE).score(ROWS, confident(TRUE, [(0.9, 0.6), (0.8, 0.55, 0.95), (), (0.4,)]))
    assert perfect == 1.0
    assert ap_of(TRUE).score(ROWS, np.zeros((4, 40, 50))) == ap_of(TRUE).chance(ROWS) == 0.0
    with raises_code("metric_no_object"):
        ap_of(TRUE).score(ROWS[2:3], np.zeros((1, 40, 50)))
    with raises_code("object_map_invalid", "float64"):
        metrics.panoptic_quality(lambda rows: [TRUE[0] / 1], by_confidence).score(ROWS[:1], np.zeros((1, 4, 4)))
    with raises_code("unknown_class", "of class 3"):
        metrics.panoptic_quality(lambda rows: [TRUE_MAPS[3]], by_confidence, ("a", "b"), void=VOID).chance(ROWS[:1])
    with raises_code("wrong_prediction_shape"):
        ap_of(TRUE).score(ROWS, np.zeros((4, 2, 40, 50)))
