"""Panoptic quality of objects, with its two factors: segmentation quality and recognition quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics.masks.means import mean_of_known
from goldfold.metrics.masks.objects import ObjectMaps, Overlaps
from goldfold.optional_parts import MaskClasses, MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.metrics.masks.objects import Split, Truth

    Part = Literal["pq", "sq", "rq"]

PARTS = {"pq": "panoptic_quality", "sq": "segmentation_quality", "rq": "recognition_quality"}


def panoptic_quality(
    truth: Truth,
    segments: Split,
    classes: Sequence[str] | None = None,
    *,
    divisor: int = 1000,
    void: int | None = None,
    part: Part = "pq",
) -> Metric:
    """Panoptic quality (PQ), the mean over classes of (sum of IoUs of matched segments) / (TP + FP / 2 + FN / 2).

    Range: [0, 1], higher is better. Chance: the best constant: no segment, or one that covers the image.
    Ties: segments match at an IoU above one half, which only one pair of them can have.
    Empty classes: a class that is in no truth and no prediction is skipped; if all are, the score is 1.
    Source: Kirillov et al., Panoptic Segmentation, CVPR 2019. All images are added up before a class is scored.

    truth: rows -> an (h, w) integer map of each row. segments: (h, w) float32 probabilities, or (classes, h, w), at the
        size of the truth -> such a map.
    classes: names. The value of a segment is then its class, counted from 1, * `divisor` + its number, such as 0 for a
        class without instances. None: every value above 0 is an object of one class. 0 is no segment.
    void: the value of true pixels that do not count, which may be 0. A predicted segment without a match does not count
        if more than half of it is void; predicted pixels of this value belong to no segment.
    part: "pq"; "sq", the mean IoU of matched segments; or "rq", the F1 of finding them. PQ = SQ x RQ of each class.
    """
    if part not in PARTS:
        raise unknown("part of the panoptic quality", part, tuple(PARTS), code="unknown_option")
    maps = ObjectMaps(truth, segments, None if classes is None else tuple(classes), divisor, void)

    def by_class(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        counts = _counts(maps, rows, predictions)
        return lambda index: _quality(counts[index].sum(axis=0), part)

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        values = by_class(rows, predictions)
        return lambda index: float(mean_of_known(values(index)))

    return Metric(
        name=PARTS[part],
        score=lambda rows, predictions: resampled(rows, predictions)(np.arange(len(rows))),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: _chance(maps, rows, part),
        options=MetricOptions(
            resampled=resampled,
            row_error=lambda rows, predictions: 1 - mean_of_known(_quality(_counts(maps, rows, predictions), part)),
            mask_classes=MaskClasses(names=maps.names(), by_class=by_class),
        ),
    )


def _counts(maps: ObjectMaps, rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
    """Sum of matched IoUs, TP, FP, FN of each class of each image, float64 (n, classes, 4)."""
    compared = (maps.overlaps(true, found) for true, found, _ in maps.pairs(rows, predictions))
    return np.array([_of_image(maps, each) for each in compared])


def _of_image(maps: ObjectMaps, found: Overlaps) -> np.ndarray:
    true_class, guessed_class = maps.class_of(found.true), maps.class_of(found.predicted)
    true, guess = found.pairs.T
    iou = found.shared / (found.true_areas[true] + found.predicted_areas[guess] - found.shared)
    matched = (iou > 0.5) & (true_class[true] == guessed_class[guess])
    alone = np.ones(len(found.predicted), bool)
    alone[guess[matched]] = False
    alone &= 2 * found.void <= found.predicted_areas + found.void
    size = len(maps.names())
    hits = np.bincount(true_class[true[matched]], minlength=size)
    missed = np.bincount(true_class, minlength=size) - hits
    quality = np.bincount(true_class[true[matched]], iou[matched], minlength=size)
    return np.stack([quality, hits, np.bincount(guessed_class[alone], minlength=size), missed], axis=1)


def _quality(counts: np.ndarray, part: Part) -> np.ndarray:
    """The quality of each class from counts (..., classes, 4); NaN for a class without segments."""
    quality, hits, wrong, missed = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    segments = hits + wrong / 2 + missed / 2
    above, below = {"pq": (quality, segments), "sq": (quality, hits), "rq": (hits, segments)}[part]
    ratio = np.divide(above, below, out=np.zeros(np.shape(below)), where=below > 0)
    return np.where(segments > 0, ratio, np.nan)


def _chance(maps: ObjectMaps, rows: DataFrame, part: Part) -> float:
    """The best score of no segment, or of one segment of one class for each image."""
    if not len(rows):
        raise GoldfoldError("no_rows", "a metric needs at least one row, got none: check the split")
    images = [_constants(maps, true) for true in maps.truth(rows)]
    return max(float(mean_of_known(_quality(each, part))) for each in np.sum(images, axis=0))


def _constants(maps: ObjectMaps, true: np.ndarray) -> np.ndarray:
    """Counts (classes + 1, classes, 4) of one image for no segment, and for one that covers it of each class."""
    nothing = maps.overlaps(true, np.zeros(true.shape, np.int64))
    size = len(maps.names())
    classes = maps.class_of(nothing.true)
    counted = true.size if maps.void is None else int((true != maps.void).sum())
    missed = np.bincount(classes, minlength=size)
    found = np.zeros((size + 1, size, 4))
    found[:, :, 3] = missed
    for index in range(size):
        iou = nothing.true_areas[classes == index].max(initial=0) / max(1, counted)
        hit = iou > 0.5
        found[index + 1, index] = iou * hit, hit, not hit and 2 * counted >= true.size, missed[index] - hit
    return found
