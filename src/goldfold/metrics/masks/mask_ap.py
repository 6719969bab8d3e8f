"""Average precision of object masks as COCO computes it: IoU .50 to .95, 101 recall points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.metrics.masks.means import mean_of_known
from goldfold.metrics.masks.objects import ObjectMaps, Overlaps
from goldfold.optional_parts import MaskClasses, MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.metrics.masks.objects import Split, Truth

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


class Detections(NamedTuple):
    """Objects of one class in one image.

    scores: (d,) confidences, best first. hit, ignored: bool (10, d), at each threshold. objects: true ones.
    """

    scores: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    objects: int


def mask_average_precision(
    truth: Truth,
    instances: Split,
    classes: Sequence[str] | None = None,
    *,
    divisor: int = 1000,
    void: int | None = None,
    max_detections: int = 100,
) -> Metric:
    """COCO's mask AP: mean over classes and IoUs .50, .55 ... .95 of the precision at 101 recalls, over all images.

    Range: [0, 1], higher is better. Chance: 0, the score of predicting no objects.
    Ties: an IoU equal to a threshold is a hit; of objects with equal confidence the earlier image and value come first.
    Empty classes: a class without a true object is skipped, also where it is predicted; GoldfoldError if all are.
    Source: pycocotools `COCOeval`, area "all".

    The confidence of an object is the mean probability of its class over its pixels. Objects of each image and class
    take true ones in the order of confidence, each the best that is left.

    truth: rows -> an (h, w) integer map of each row.
    instances: (h, w) or (classes, h, w) float32 probabilities at the size of the truth -> such a map.
    classes, divisor: as in `panoptic_quality`.
    void: the value of crowd pixels: a predicted object without a match does not count if they are at least the share t
        of it at the threshold t. max_detections: the most confident objects that count, per image and class.
    """
    maps = ObjectMaps(truth, instances, None if classes is None else tuple(classes), divisor, void)

    def by_class(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        found = _detections(maps, rows, predictions, max_detections)
        return lambda index: np.array([_average([found[at][number] for at in index]) for number in range(len(names))])

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        values = by_class(rows, predictions)
        return lambda index: _mean(values(index))

    names = maps.names()
    return Metric(
        name="coco_mask_ap",
        score=lambda rows, predictions: resampled(rows, predictions)(np.arange(len(rows))),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: 0.0,
        options=MetricOptions(
            resampled=resampled,
            row_error=lambda rows, predictions: _row_errors(by_class(rows, predictions), len(rows)),
            mask_classes=MaskClasses(names=names, by_class=by_class),
        ),
    )


def _row_errors(values: Callable[[np.ndarray], np.ndarray], rows: int) -> np.ndarray:
    """1 - AP of each image alone, (n,); 0 for an image without true objects."""
    return 1 - np.array([float(mean_of_known(values(np.array([row])))) for row in range(rows)])


def _mean(values: np.ndarray) -> float:
    if np.isnan(values).all():
        raise GoldfoldError(
            "metric_no_object",
            "coco_mask_ap needs a true object, but the masks of these rows have none: check the split",
        )
    return float(mean_of_known(values))


def _detections(maps: ObjectMaps, rows: DataFrame, predictions: np.ndarray, most: int) -> list[list[Detections]]:
    """The objects of each class of each image."""
    found = []
    for true, predicted, probabilities in maps.pairs(rows, predictions):
        overlaps = maps.overlaps(true, predicted)
        kinds = maps.class_of(overlaps.predicted)
        scores = _confidences(overlaps.predicted, kinds, predicted, probabilities)
        found.append(
            [
                _matched(overlaps, maps.class_of(overlaps.true) == number, kinds == number, scores, most)
                for number in range(len(maps.names()))
            ]
        )
    return found


def _confidences(values: np.ndarray, kinds: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Mean probability of its class over the pixels of each object, (objects,)."""
    place = np.searchsorted(values, predicted)
    place[~np.isin(predicted, values)] = len(values)
    flat, count = place.ravel(), len(values) + 1
    layers = probabilities if probabilities.ndim == 3 else probabilities[None]
    areas = np.maximum(np.bincount(flat, minlength=count), 1)
    means = {kind: np.bincount(flat, layers[kind].ravel(), minlength=count) / areas for kind in set(kinds.tolist())}
    return np.array([means[kind][at] for at, kind in enumerate(kinds.tolist())])


def _matched(found: Overlaps, true: np.ndarray, mine: np.ndarray, scores: np.ndarray, most: int) -> Detections:
    """Match objects of one class, the most confident first, each to the true one of largest IoU that is left."""
    order = np.flatnonzero(mine)
    order = order[np.argsort(-scores[order], kind="stable")][:most]
    whole = found.predicted_areas + found.void  # crowd pixels belong to the object
    one, other = found.pairs.T
    iou = np.zeros((len(found.true), len(found.predicted)))
    iou[one, other] = found.shared / (found.true_areas[one] + whole[other] - found.shared)
    hit = np.zeros((len(THRESHOLDS), len(order)), bool)
    for row, threshold in enumerate(THRESHOLDS):
        left = true.copy()
        for rank, at in enumerate(order):
            best = np.where(left, iou[:, at], 0).argmax() if left.any() else -1
            if best >= 0 and left[best] and iou[best, at] >= min(threshold, 1 - 1e-10):
                left[best], hit[row, rank] = False, True
    crowd = found.void[order] >= THRESHOLDS[:, None] * whole[order]
    return Detections(scores[order], hit, crowd & ~hit, int(true.sum()))


def _average(images: Sequence[Detections]) -> float:
    """AP of one class over images, mean over the thresholds; NaN without a true object."""
    objects = sum(each.objects for each in images)
    if not objects:
        return np.nan
    order = np.argsort(-np.concatenate([each.scores for each in images]), kind="stable")
    hit, ignored = (np.concatenate([each[at] for each in images], axis=1)[:, order] for at in (1, 2))
    return float(np.mean([_area(one[~other], objects) for one, other in zip(hit, ignored, strict=True)]))


def _area(hit: np.ndarray, objects: int) -> float:
    """Mean over 101 recalls of the highest precision at that recall or beyond; hit: (d,) best first."""
    hits = hit.cumsum()
    precision = np.maximum.accumulate((hits / np.arange(1, len(hit) + 1))[::-1])[::-1]
    reached = np.searchsorted(hits / objects, RECALLS, side="left")
    return float(np.append(precision, 0.0)[np.minimum(reached, len(hit))].mean())
