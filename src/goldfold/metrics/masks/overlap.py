"""Mean IoU and mean Dice of several classes, over the data set or by image.

Over the data set, pixels of all images are added up before a class is scored, so that large masks and large images
weigh more, and a class counts if any image or prediction shows it. By image, every image counts the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    Agreement = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def mean_iou(
    truth: Truth,
    classes: Sequence[str],
    *,
    void: int | None = None,
    overlapping: bool = False,
    background: bool = True,
) -> Metric:
    """Mean over classes of intersection over union, with the pixels of all images added up; absent classes skipped.

    Range: [0, 1], higher is better. Chance: the best constant: one class for all pixels, or of overlapping classes each
    that occurs.
    Ties: of equally probable classes the first counts; an overlapping class needs a probability above 0.5.
    Empty classes: a class that is in no truth and no prediction is skipped; if all are, the score is 1.

    truth: rows -> (h, w) class indices of each row, or (classes, h, w) of 0 and 1 if classes overlap.
    classes: names in the order of the indices. Predictions: (n, classes, H, W) probabilities, or (n, H, W) of the
        second of two classes.
    void: the value of pixels in the truth that do not count. overlapping: whether a pixel may have several classes.
    background: whether the first class counts; the name then ends in `_without_background` if not.
    """
    return _over_data_set("mean_iou", _iou, ClassMasks(truth, tuple(classes), void, overlapping), background)


def mean_dice(
    truth: Truth,
    classes: Sequence[str],
    *,
    void: int | None = None,
    overlapping: bool = False,
    background: bool = True,
) -> Metric:
    """Mean over classes of the Dice coefficient, with the pixels of all images added up; absent classes skipped.

    Range: [0, 1], higher is better. Chance: the best constant: one class for all pixels, or of overlapping classes each
    that occurs.
    Ties: of equally probable classes the first counts; an overlapping class needs a probability above 0.5.
    Empty classes: a class that is in no truth and no prediction is skipped; if all are, the score is 1.

    Parameters and predictions are those of `mean_iou`.
    """
    return _over_data_set("mean_dice", _dice, ClassMasks(truth, tuple(classes), void, overlapping), background)


def mean_iou_per_image(
    truth: Truth,
    classes: Sequence[str],
    *,
    void: int | None = None,
    overlapping: bool = False,
    background: bool = True,
) -> Metric:
    """Mean over images of the mean over classes of intersection over union; classes absent from an image skipped.

    Range: [0, 1], higher is better. Chance: the best constant: one class for all pixels, or the overlapping classes
    all, none or those that occur.
    Ties: of equally probable classes the first counts; an overlapping class needs a probability above 0.5.
    Empty classes: a class that is neither in the truth nor in the prediction of an image is skipped there; an image
    where all are scores 1.

    Parameters and predictions are those of `mean_iou`.
    """
    return _per_image("mean_iou", _iou, ClassMasks(truth, tuple(classes), void, overlapping), background)


def mean_dice_per_image(
    truth: Truth,
    classes: Sequence[str],
    *,
    void: int | None = None,
    overlapping: bool = False,
    background: bool = True,
) -> Metric:
    """Mean over images of the mean over classes of the Dice coefficient; classes absent from an image skipped.

    Range: [0, 1], higher is better. Chance: the best constant: one class for all pixels, or the overlapping classes
    all, none or those that occur.
    Ties: of equally probable classes the first counts; an overlapping class needs a probability above 0.5.
    Empty classes: a class that is neither in the truth nor in the prediction of an image is skipped there; an image
    where all are scores 1.

    Parameters and predictions are those of `mean_iou`.
    """
    return _per_image("mean_dice", _dice, ClassMasks(truth, tuple(classes), void, overlapping), background)


def areas(masks: ClassMasks, rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
    """Pixels of overlap, truth and prediction of each class of each image, int64 (n, classes, 3)."""
    found = [
        [(np.count_nonzero(true & guess), np.count_nonzero(true), np.count_nonzero(guess)) for _, true, guess in image]
        for image in masks.pairs(rows, predictions)
    ]
    return np.array(found, np.int64)


def _over_data_set(name: str, agreement: Agreement, masks: ClassMasks, background: bool) -> Metric:
    def of_classes(counts: np.ndarray) -> np.ndarray:
        return agreement(*_counted(counts, background).sum(axis=0).T)

    def by_class(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        counts = areas(masks, rows, predictions)
        return lambda index: of_classes(counts[index])

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        values = by_class(rows, predictions)
        return lambda index: float(mean_of_known(values(index)))

    return Metric(
        name=_named(f"{name}_over_data_set_skip_absent", masks, background),
        score=lambda rows, predictions: float(mean_of_known(of_classes(areas(masks, rows, predictions)))),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: max(float(mean_of_known(of_classes(each))) for each in _of_constants(masks, rows)),
        options=MetricOptions(
            resampled=resampled,
            row_error=lambda rows, predictions: 1 - _by_image(agreement, areas(masks, rows, predictions), background),
            mask_classes=MaskClasses(names=_names(masks, background), by_class=by_class),
            decision=of_masks(masks.classes, exclusive=not masks.overlapping),
            masks=masks.truth,
        ),
    )


def _per_image(name: str, agreement: Agreement, masks: ClassMasks, background: bool) -> Metric:
    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return _by_image(agreement, areas(masks, rows, predictions), background)

    def by_class(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        values = agreement(*np.moveaxis(_counted(areas(masks, rows, predictions), background), 2, 0))
        return lambda index: mean_of_known(values[index].T, np.nan)

    return Metric(
        name=_named(f"{name}_per_image_skip_absent", masks, background),
        score=lambda rows, predictions: float(per_row(rows, predictions).mean()),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: max(
            float(_by_image(agreement, each, background).mean()) for each in _of_constants(masks, rows)
        ),
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: 1 - per_row(rows, predictions),
            mask_classes=MaskClasses(names=_names(masks, background), by_class=by_class),
            decision=of_masks(masks.classes, exclusive=not masks.overlapping),
            masks=masks.truth,
        ),
    )


def _by_image(agreement: Agreement, counts: np.ndarray, background: bool) -> np.ndarray:
    return mean_of_known(agreement(*np.moveaxis(_counted(counts, background), 2, 0)))


def _of_constants(masks: ClassMasks, rows: DataFrame) -> list[np.ndarray]:
    """What `areas` returns for constant predictions: one class everywhere; overlapping: all, none or those present."""
    if not len(rows):
        raise GoldfoldError("no_rows", "a metric needs at least one row, got none: check the split")
    true, counted = np.moveaxis(masks.true_areas(rows), 2, 0)
    everywhere = np.stack([true, true, counted], axis=2)
    nowhere = np.stack([np.zeros_like(true), true, np.zeros_like(true)], axis=2)
    if masks.overlapping:
        present = true.sum(axis=0)[None, :, None] > 0
        return [everywhere, nowhere, np.where(present, everywhere, nowhere)]
    chosen = np.eye(len(masks.classes), dtype=bool)[:, None, :, None]
    return list(np.where(chosen, everywhere, nowhere))


def _counted(values: np.ndarray, background: bool) -> np.ndarray:
    """Values (n, classes, ...) of the classes that count."""
    return values if background else values[:, 1:]


def _names(masks: ClassMasks, background: bool) -> tuple[str, ...]:
    return masks.classes if background else masks.classes[1:]


def _named(name: str, masks: ClassMasks, background: bool) -> str:
    """The name with what else changes the score."""
    if len(_names(masks, background)) < 1:
        raise GoldfoldError("too_few_classes", f"{name} needs a class that counts, got {list(masks.classes)}: name one")
    return name + ("" if background else "_without_background")


def _iou(overlap: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _ratio(overlap, true + predicted - overlap)


def _dice(overlap: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _ratio(2 * overlap, true + predicted)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The ratio of areas; NaN where a class is neither in the truth nor in the prediction."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)
