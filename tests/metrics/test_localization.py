"""Pixel AUROC and AUPRO against scikit-learn and a slow reading of the definition."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from sklearn.metrics import roc_auc_score, roc_curve

from goldfold.data import fields
from goldfold.metrics.localization import aupro, pixel_auroc

SIDE = 32


def scene(seed: int = 0, images: int = 6) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """rows, masks with zero to three regions each, and maps that know something about them, with ties."""
    draw = np.random.default_rng(seed)
    masks = np.zeros((images, SIDE, SIDE), np.int32)
    for number in range(1, images):
        for _ in range(draw.integers(1, 4)):
            top, left = draw.integers(0, SIDE - 9, 2)
            masks[number, top : top + draw.integers(2, 9), left : left + draw.integers(2, 9)] = 1
    maps = (draw.normal(size=masks.shape) + 1.5 * (masks > 0)).round(1).astype(np.float16)
    return pd.DataFrame({"at": range(images)}), masks, maps


def truth_of(masks: np.ndarray):
    return lambda rows: [masks[number] for number in rows["at"]]


def aupro_by_definition(masks: np.ndarray, maps: np.ndarray, limit: float) -> float:
    """Threshold after threshold, region after region."""
    regions = []
    for mask, scores in zip(masks, maps, strict=True):
        count, found = cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=8)
        regions += [scores[found == number] for number in range(1, count)]
    normal = maps[masks == 0]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        points.append(((normal >= threshold).mean(), np.mean([(region >= threshold).mean() for region in regions])))
    area, (x, y) = 0.0, points[0]
    for rate, overlap in points[1:]:
        if rate > limit:
            overlap = y + (overlap - y) * (limit - x) / (rate - x)
        area += (min(rate, limit) - x) * (y + overlap) / 2
        x, y = min(rate, limit), overlap
        if x == limit:
            break
    return area / limit


def test_pixel_auroc_is_scikit_learns():
    rows, masks, maps = scene()
    found = pixel_auroc(truth_of(masks), side=SIDE).score(rows, fields.records(score=maps.max((1, 2)), map=maps))
    assert found == pytest.approx(roc_auc_score(masks.ravel() > 0, maps.ravel()), abs=1e-12)


def test_negative_and_positive_scores_keep_their_order():
    rows, masks, _ = scene()
    maps = np.linspace(-3, 3, masks.size).astype(np.float16).reshape(masks.shape)
    found = pixel_auroc(truth_of(masks), side=SIDE).score(rows, maps)
    assert found == pytest.approx(roc_auc_score(masks.ravel() > 0, maps.ravel()), abs=1e-12)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_is_the_definitions(limit):
    rows, masks, maps = scene(1)
    found = aupro(truth_of(masks), limit=limit, side=SIDE).score(rows, maps)
    assert found == pytest.approx(aupro_by_definition(masks, maps, limit), abs=1e-6)


def test_with_one_pixel_regions_and_no_limit_aupro_is_the_area_under_the_curve():
    rows, masks, maps = scene(2, images=3)
    masks[:] = 0
    masks[:, ::4, ::4] = 1
    found = aupro(truth_of(masks), limit=1.0, side=SIDE).score(rows, maps)
    x, y, _ = roc_curve(masks.ravel(), maps.ravel().astype(np.float32))
    assert found == pytest.approx(np.trapezoid(y, x), abs=1e-6)


@pytest.mark.parametrize("metric", [pixel_auroc, aupro])
def test_constant_maps_score_at_chance_and_the_truth_scores_one(metric):
    rows, masks, _ = scene(3)
    made = metric(truth_of(masks), side=SIDE)
    assert made.score(rows, np.zeros(masks.shape, np.float16)) == pytest.approx(made.chance(rows), abs=1e-9)
    assert made.score(rows, (masks > 0).astype(np.float16)) == pytest.approx(1)


@pytest.mark.parametrize("metric", [pixel_auroc, aupro])
def test_drawn_images_score_as_if_they_were_given(metric):
    rows, masks, maps = scene(4, images=12)
    made = metric(truth_of(masks), side=SIDE)
    score_of = made.options.resampled(rows, maps)
    for seed in range(5):
        index = np.random.default_rng(seed).integers(0, 12, 12)
        again = made.score(rows.iloc[index], maps[index])
        assert score_of(index) == pytest.approx(again, abs=2e-3)


def test_maps_and_masks_of_other_sizes_meet_at_one():
    rows, masks, maps = scene(5)
    large = np.stack([cv2.resize(mask.astype(np.uint8), (200, 120), interpolation=cv2.INTER_NEAREST) for mask in masks])
    small = np.stack([cv2.resize(one.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA) for one in maps])
    assert pixel_auroc(truth_of(large), side=64).score(rows, small) > 0.8


@pytest.mark.parametrize(
    ("changed", "code", "fact"),
    [
        (lambda masks, maps: (masks * 0, maps), "metric_one_class", "an anomalous pixel"),
        (lambda masks, maps: (masks * 0 + 1, maps), "metric_one_class", "a normal pixel"),
        (lambda masks, maps: (masks, maps.max((1, 2))), "wrong_prediction_shape", "(n, height, width)"),
        (lambda masks, maps: (masks, np.where(maps > 2, np.nan, maps)), "predictions_not_finite", "of"),
        (lambda masks, maps: (masks, fields.records(score=maps)), "unknown_field", "'map'"),
    ],
)
def test_what_cannot_be_scored_is_refused(changed, code, fact):
    rows, masks, maps = scene()
    masks, maps = changed(masks, maps)
    with raises_code(code, fact):
        pixel_auroc(truth_of(masks), side=SIDE).score(rows, maps)
    with raises_code("limit_out_of_range", 0):
        aupro(truth_of(masks), limit=0)


CHANGES = {
    "x1e6": lambda maps: maps * 1e6,
    "x1e-9": lambda maps: maps * 1e-9,
    "+1000": lambda maps: maps + 1000,
    "+1e9": lambda maps: maps + 1e9,
    "saturated": lambda maps: 1 / (1 + np.exp(-maps - 25)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_scores_depend_on_the_order_of_the_maps_alone(change):
    rows, masks, _ = scene(6)
    draw = np.random.default_rng(6)
    maps = change(draw.normal(size=masks.shape) + 1.5 * (masks > 0))
    area = pixel_auroc(truth_of(masks), side=SIDE)
    assert area.score(rows, maps) == pytest.approx(roc_auc_score(masks.ravel() > 0, maps.ravel()), abs=1e-12)
    overlap = aupro(truth_of(masks), side=SIDE)
    assert overlap.score(rows, maps) == pytest.approx(aupro_by_definition(masks, maps, 0.3), abs=1e-9)
    for metric in (area, overlap):
        assert metric.options.resampled(rows, maps)(np.arange(6)) == pytest.approx(metric.score(rows, maps), abs=2e-3)


INCREASING = {
    **CHANGES,
    "7x+1e5": lambda maps: 7 * maps + 1e5,
    "x0.1": lambda maps: maps * 0.1,
    "exp": np.exp,
    "arctan": lambda maps: np.arctan(5 * maps),
    "float32": lambda maps: maps.astype(np.float32),
}


@pytest.mark.parametrize("change", INCREASING.values(), ids=INCREASING)
def test_maps_that_are_enlarged_score_the_same_after_any_increasing_change(change):
    """With ties between neighbors, whose interpolation rounds differently at every scale."""
    rows, masks, _ = scene(7)
    coarse = [cv2.resize((mask > 0).astype(np.float32), (13, 13), interpolation=cv2.INTER_AREA) for mask in masks]
    maps = (np.random.default_rng(7).normal(size=(6, 13, 13)) + 1.5 * np.stack(coarse)).round(1)
    index = np.random.default_rng(0).integers(0, 6, 6)
    for metric in (pixel_auroc(truth_of(masks), side=64), aupro(truth_of(masks), side=64)):
        assert metric.score(rows, change(maps)) == metric.score(rows, maps)
        assert metric.options.resampled(rows, change(maps))(index) == metric.options.resampled(rows, maps)(index)
