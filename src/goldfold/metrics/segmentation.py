"""Metrics of segmentation: Dice, IoU and the Data Science Bowl 2018's mAP, each a mean over images.

All of them take `truth`: rows -> an (h, w) integer map of objects for each row, 0 = background. Predictions are
(n, H, W) foreground probabilities at the network's own size; each is resized bilinearly to the size of its truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.metrics.decisions.maps import of_masks
from goldfold.metrics.inputs import check_predictions, shape_of_rows
from goldfold.optional_parts import Decision, MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    Truth = Callable[[DataFrame], Iterable[np.ndarray]]

TWENTIETHS = np.arange(10, 20)  # 0.5, 0.55 ... 0.95 as integers, so that IoU > threshold is exact


def _pairs(rows: DataFrame, predictions: np.ndarray, truth: Truth) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Truth (h, w) and foreground probability (h, w) float32 of each row."""
    import cv2

    predictions = check_predictions(predictions, rows)
    if predictions.ndim != 3:
        raise GoldfoldError(
            "wrong_prediction_shape",
            f"masks must have shape (n, height, width), got {shape_of_rows(predictions.shape[1:])}: "
            "check `Plan.predict`",
        )
    for objects, probability in zip(truth(rows), predictions, strict=True):
        height, width = objects.shape
        yield objects, cv2.resize(probability.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def _dice(overlap: float, truth: float, predicted: float) -> float:
    """Dice coefficient from areas; 1 if both masks are empty."""
    return 2 * overlap / (truth + predicted) if truth + predicted else 1.0


def _iou(overlap: float, truth: float, predicted: float) -> float:
    """Intersection over union from areas; 1 if both masks are empty."""
    return overlap / (truth + predicted - overlap) if truth + predicted else 1.0


def _of_masks(name: str, agreement: Callable[[float, float, float], float], truth: Truth) -> Metric:
    """Mean over images of `agreement` (overlap, true area, predicted area) at probability > 0.5."""

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        masks = ((objects > 0, probability > 0.5) for objects, probability in _pairs(rows, predictions, truth))
        return np.array([agreement(int((true & mask).sum()), int(true.sum()), int(mask.sum())) for true, mask in masks])

    def chance(rows: DataFrame) -> float:
        shares = [float((objects > 0).mean()) for objects in truth(rows)]
        everything = np.mean([agreement(share, share, 1.0) for share in shares])
        nothing = np.mean([agreement(0.0, share, 0.0) for share in shares])
        return float(max(everything, nothing))

    return Metric(
        name=name,
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: 1 - per_row(rows, predictions),
            decision=of_masks(),
            masks=truth,
        ),
    )


def dice(truth: Truth) -> Metric:
    """Mean over images of the Dice coefficient 2 |A and B| / (|A| + |B|) at probability > 0.5.

    Range: [0, 1], higher is better. Chance: the better of two constants, all pixels foreground or none, in all images.
    Ties: a probability of exactly 0.5 is background.
    Empty classes: an image scores 1 if both masks are empty, and 0 if only one is.
    """
    return _of_masks("dice_mean_per_image", _dice, truth)


def iou(truth: Truth) -> Metric:
    """Mean over images of intersection over union, |A and B| / |A or B|, at probability > 0.5.

    Range: [0, 1], higher is better. Chance: the better of two constants, all pixels foreground or none, in all images.
    Ties: a probability of exactly 0.5 is background.
    Empty classes: an image scores 1 if both masks are empty, and 0 if only one is.
    """
    return _of_masks("iou_mean_per_image", _iou, truth)


def instance_average_precision(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Score of one image in the Data Science Bowl 2018: mean over t = 0.5, 0.55 ... 0.95 of TP / (TP + FP + FN).

    truth, predicted: (h, w) integer maps of objects, 0 = background. An object is found (TP) if its IoU with a
    predicted object is greater than t; above one half no object can have two such partners. If both maps are empty, the
    score is 1.
    Raises GoldfoldError for maps of two shapes, of another type or with negative labels.
    Source: https://www.kaggle.com/competitions/data-science-bowl-2018/overview/evaluation
    """
    for objects in (truth, predicted):
        if objects.shape != truth.shape or objects.dtype.kind not in "iu" or objects.min(initial=0) < 0:
            raise GoldfoldError(
                "object_map_invalid",
                f"object maps must be integers >= 0 of one shape, got {truth.dtype} {truth.shape} and "
                f"{predicted.dtype} {predicted.shape}: "
                "label the objects 1, 2, ... on background 0",
            )
    truth, predicted = truth.ravel().astype(np.int64), predicted.ravel().astype(np.int64)
    true_areas, predicted_areas = np.bincount(truth), np.bincount(predicted)
    both = (truth > 0) & (predicted > 0)
    pairs, overlaps = np.unique(truth[both] * len(predicted_areas) + predicted[both], return_counts=True)
    true_ids, predicted_ids = np.divmod(pairs, len(predicted_areas))
    unions = true_areas[true_ids] + predicted_areas[predicted_ids] - overlaps
    found = (20 * overlaps[:, None] > unions[:, None] * TWENTIETHS).sum(axis=0)
    total = np.count_nonzero(true_areas[1:]) + np.count_nonzero(predicted_areas[1:])
    return float((found / (total - found)).mean()) if total else 1.0


def dsb2018_map(
    truth: Truth, instances: Callable[[np.ndarray], np.ndarray], decision: Decision | None = None
) -> Metric:
    """Mean over images of `instance_average_precision`: the mean average precision of the Data Science Bowl 2018.

    Range: [0, 1], higher is better. Chance: the score of predicting no objects, which is the share of images without
    one.
    Ties: an IoU equal to a threshold does not count as found.
    Empty classes: an image scores 1 if truth and prediction have no objects, and 0 if only one has none.

    instances: (h, w) float32 probabilities at the size of the truth -> (h, w) integer map of objects, 0 = background.
    decision: the parameters of `instances` that a config's `decide:` fits, as `decisions.maps.of_watershed` has them.
        Predictions may then be (n,) objects, the (h, w) map of each row.
    """

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        if predictions.dtype == object:
            decided = zip(truth(rows), check_predictions(predictions, rows), strict=True)
            return np.array([instance_average_precision(objects, found) for objects, found in decided])
        pairs = _pairs(rows, predictions, truth)
        return np.array([instance_average_precision(objects, instances(probability)) for objects, probability in pairs])

    return Metric(
        name="dsb2018_map",
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: float(np.mean([not objects.any() for objects in truth(rows)])),
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: 1 - per_row(rows, predictions),
            decision=decision,
            masks=truth,
        ),
    )
