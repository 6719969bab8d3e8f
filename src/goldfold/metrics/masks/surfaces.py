"""Metrics of the boundaries of masks: boundary F1, surface Dice and the 95 % Hausdorff distance, means over images.

The boundary of a mask is its pixels with a neighbor (of 4) outside of it; what lies beyond the image is outside.
Distances are Euclidean, between centers of pixels, at the size of the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.metrics.decisions.maps import of_masks
from goldfold.metrics.masks.class_masks import ClassMasks
from goldfold.metrics.masks.means import mean_of_known
from goldfold.optional_parts import MaskClasses, MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.metrics.masks.class_masks import Truth

    Agreement = Callable[[np.ndarray, np.ndarray], float]

FOREGROUND = ("background", "foreground")
SHARE = 0.0075  # of the diagonal, as in the benchmark of Csurka et al.
UPPER = 95  # percentile of the distances


def boundary_f1(
    truth: Truth,
    classes: Sequence[str] | None = None,
    *,
    pixels: float | None = None,
    share_of_diagonal: float = SHARE,
    void: int | None = None,
    overlapping: bool = False,
) -> Metric:
    """Mean over images of the boundary F1: of the shares of predicted and of true boundary pixels near the other's.

    Range: [0, 1], higher is better. Chance: the best constant: no class in any image, or one class everywhere in all.
    Ties: a distance equal to the tolerance is near.
    Empty classes: a class that is neither in the truth nor in the prediction of an image is skipped there, one that is
    only in one of them counts 0; an image where all are skipped scores 1.
    Source: Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013.

    truth: rows -> an (h, w) integer map of each row; without `classes` every value above 0 is foreground.
    classes: names in the order of the indices, as in `mean_iou`; exclusive classes have the background first, which
        does not count. Predictions: (n, H, W) foreground probabilities, or (n, classes, H, W).
    pixels: tolerance in pixels; None: `share_of_diagonal` of each image's diagonal.
    void, overlapping: as in `mean_iou`.
    """
    tolerance, told = _tolerance(pixels, share_of_diagonal)

    def agreement(true: np.ndarray, predicted: np.ndarray) -> float:
        near = [each <= tolerance(true.shape) for each in boundary_distances(true, predicted)]
        shares = [float(each.mean()) for each in near]
        return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0

    return _of_boundaries(f"boundary_f1_{told}", agreement, _masks(truth, classes, void, overlapping))


def surface_dice(
    truth: Truth,
    classes: Sequence[str] | None = None,
    *,
    pixels: float,
    void: int | None = None,
    overlapping: bool = False,
) -> Metric:
    """Mean over images of the surface Dice (NSD): the share of all boundary pixels, true and predicted, that are near.

    Range: [0, 1], higher is better. Chance: the best constant: no class in any image, or one class everywhere in all.
    Ties: a distance equal to the tolerance is near.
    Empty classes: a class that is neither in the truth nor in the prediction of an image is skipped there, one that is
    only in one of them counts 0; an image where all are skipped scores 1.
    Source: Nikolov et al., Clinically applicable segmentation of head and neck anatomy, JMIR 2021; boundaries are
    counted in pixels, as monai does without `use_subvoxels`.

    pixels: tolerance in pixels. The other parameters and predictions are those of `boundary_f1`.
    """
    tolerance, told = _tolerance(pixels, SHARE)

    def agreement(true: np.ndarray, predicted: np.ndarray) -> float:
        return float((np.concatenate(boundary_distances(true, predicted)) <= tolerance(true.shape)).mean())

    return _of_boundaries(f"surface_dice_{told}", agreement, _masks(truth, classes, void, overlapping))


def hausdorff_95(
    truth: Truth, classes: Sequence[str] | None = None, *, void: int | None = None, overlapping: bool = False
) -> Metric:
    """Mean over images of the 95 % Hausdorff distance in pixels: the larger 95th percentile of both directions.

    Range: [0, inf), lower is better. Chance: the best constant: no class in any image, or one class everywhere in all.
    Ties: percentiles between two distances are interpolated.
    Empty classes: a class that is neither in the truth nor in the prediction of an image is skipped there, one that is
    only in one of them counts as the diagonal of the image, where other programs give infinity; an image where all are
    skipped scores 0.

    Each direction goes from the boundary pixels of one mask to the nearest of the other, as in monai; programs that
    take one percentile of both directions together give smaller values. Parameters and predictions are those of
    `boundary_f1`.
    """

    def agreement(true: np.ndarray, predicted: np.ndarray) -> float:
        return max(float(np.percentile(each, UPPER)) for each in boundary_distances(true, predicted))

    return _of_boundaries("hausdorff_95_px", agreement, _masks(truth, classes, void, overlapping), lower=True)


def boundary_distances(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances in pixels of each boundary pixel to the other mask's boundary: of the true ones, of the predicted ones.

    true, predicted: bool (h, w), neither empty. Returns two float64 arrays.
    """
    from scipy.spatial import KDTree

    edges = [np.argwhere(_boundary(mask)) for mask in (true, predicted)]
    far = [KDTree(edges[other]).query(edges[one])[0] for one, other in ((0, 1), (1, 0))]
    return far[0], far[1]


def _boundary(mask: np.ndarray) -> np.ndarray:
    """The boundary pixels of a mask, uint8 0 or 1."""
    import cv2

    inside = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return inside - cv2.erode(inside, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def _tolerance(pixels: float | None, share: float) -> tuple[Callable[[Sequence[int]], float], str]:
    """The tolerance in pixels of an image of some shape, and what the name of the metric says of it."""
    if not (pixels if pixels is not None else share) >= 0:
        raise GoldfoldError(
            "tolerance_negative", f"the tolerance of boundaries must be 0 or more, got {pixels or share}: 2 px is usual"
        )
    if pixels is not None:
        return lambda shape: pixels, f"{pixels:g}px"
    return lambda shape: share * float(np.hypot(*shape)), f"{share:g}_of_diagonal"


def _masks(truth: Truth, classes: Sequence[str] | None, void: int | None, overlapping: bool) -> ClassMasks:
    if classes is not None:
        return ClassMasks(truth, tuple(classes), void, overlapping)

    def foreground(rows: DataFrame) -> Iterator[np.ndarray]:
        return (_binary(objects, void) for objects in truth(rows))

    return ClassMasks(foreground, FOREGROUND, void)


def _binary(objects: np.ndarray, void: int | None) -> np.ndarray:
    mask = (objects > 0).astype(np.int32)
    return mask if void is None else np.where(objects == void, void, mask)


def _of_boundaries(name: str, agreement: Agreement, masks: ClassMasks, *, lower: bool = False) -> Metric:
    """A mean over images of the mean over classes of `agreement` (true, predicted mask), neither of them empty."""
    perfect = 0.0 if lower else 1.0

    def value(true: np.ndarray, predicted: np.ndarray) -> float:
        given = true.any(), predicted.any()
        if all(given):
            return agreement(true, predicted)
        worst = float(np.hypot(*true.shape)) if lower else 0.0
        return worst if any(given) else np.nan

    def values(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        """The value of each class that counts of each image, (n, classes); NaN for a class that is in neither mask."""
        first = len(masks.classes) - len(masks.counted())
        return np.array(
            [
                [value(each.true, each.predicted) for each in image if each.number >= first]
                for image in masks.pairs(rows, predictions)
            ]
        )

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return mean_of_known(values(rows, predictions), perfect)

    def by_class(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        known = values(rows, predictions)
        return lambda index: mean_of_known(known[index].T, np.nan)

    def chance(rows: DataFrame) -> float:
        found = [float(mean_of_known(each, perfect).mean()) for each in _of_constants(masks, rows, value)]
        return min(found) if lower else max(found)

    return Metric(
        name=name,
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=not lower,
        bounds=(0.0, np.inf if lower else 1.0),
        chance=chance,
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: abs(perfect - per_row(rows, predictions)),
            mask_classes=MaskClasses(names=masks.counted(), by_class=by_class),
            decision=of_masks(masks.classes, exclusive=not masks.overlapping),
            masks=masks.truth,
        ),
    )


def _of_constants(masks: ClassMasks, rows: DataFrame, value: Agreement) -> list[np.ndarray]:
    """Values (n, classes) of constant predictions: each class that counts everywhere, or none, or all that overlap."""
    if not len(rows):
        raise GoldfoldError("no_rows", "a metric needs at least one row, got none: check the split")
    everywhere, nowhere = (np.array(found) for found in zip(*_both_constants(masks, rows, value), strict=True))
    if masks.overlapping:
        return [everywhere, nowhere]
    alone = np.eye(everywhere.shape[1], dtype=bool)[:, None]
    return [nowhere, *np.where(alone, everywhere, nowhere)]


def _both_constants(masks: ClassMasks, rows: DataFrame, value: Agreement) -> list[tuple[list[float], list[float]]]:
    """Values of each class of each image for a mask that is everywhere (but void pixels), and for an empty one."""
    found = []
    for truth in masks.maps(rows):
        pairs = list(masks.true_masks(truth))
        full = [value(each.true, each.predicted) for each in pairs]
        found.append((full, [value(each.true, np.zeros_like(each.true)) for each in pairs]))
    return found
