"""Segmentation: a U-Net or another decoder of segmentation-models-pytorch on a timm encoder, trained on random crops.

The competition says how the masks of a row are read and what their pixels can be: foreground or not, one of several
classes, or several of them. For objects, metric and submission split the foreground (`goldfold.images.instances`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation
from goldfold.images.sizes import height_and_width
from goldfold.nn import batches, mask_losses, schedules
from goldfold.nn.backbones import Backbone
from goldfold.nn.optimizers import AdamW
from goldfold.optional_parts import Export
from goldfold.params import mark_unused, with_defaults
from goldfold.recipes.exports import images as exported
from goldfold.recipes.segmentation import inputs, network, prediction, samples, truths
from goldfold.recipes.segmentation.inputs import SliceColumns
from goldfold.recipes.segmentation.params import SegmenterParams
from goldfold.recipes.segmentation.truths import PixelLabels

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.recipes.segmentation.truths import Masks

    Terms = Callable[[Tensor, Tensor], dict[str, Tensor]]


def recipe(
    masks: Masks,
    classes: Sequence[str] | None = None,
    *,
    overlapping: bool = False,
    void: int | None = None,
    volume: str | None = None,
    slice_: str | None = None,
    **defaults: Any,
) -> Recipe:
    """Return the recipe for rows with a column `path`.

    masks: rows -> the mask of each row at the size of its image: an integer (h, w) map of objects, 0 = background,
        without `classes`; an integer (h, w) map of class indices; 0 and 1, (classes, h, w), if `overlapping`.
    classes: names of the classes in the order of their indices. overlapping: whether a pixel can be of several.
    void: the value of pixels that count neither in losses nor in pixel counts.
    volume, slice_: columns that say which slice of which volume a row shows, for `neighbors`. Folds within volumes need
        blocks and a guard: `goldfold.data.time_folds.folds`.
    defaults: defaults of `SegmenterParams` for this competition.

    Predictions are probabilities in [0, 1], float16: foreground maps (n, height, width) of image_size; with classes
    (n, classes, height, width), whose sum is 1 in every pixel unless they overlap. They cover the whole image, whatever
    its aspect ratio. With `tiles` image_size may be that of full-resolution images: the network sees tiles of them.
    """
    labels = PixelLabels(None if classes is None else tuple(classes), overlapping, void)
    columns = SliceColumns(volume, slice_) if volume and slice_ else None
    params = _without_others(with_defaults(SegmenterParams, **defaults), labels)
    if columns is None:
        params = mark_unused(params, "the recipe names no columns of volume and slice", "neighbors")
    return Recipe(
        params=params,
        build=partial(build, masks, labels, columns),
        columns=("path",),
        example=lambda params, rows, _: prediction.example(params, labels, rows),
        check=partial(_check, labels, columns),
    )


def _without_others(params: type[SegmenterParams], labels: PixelLabels) -> type[SegmenterParams]:
    """Mark the parameters that mean nothing for such labels."""
    if labels.mode == "multiclass":
        return mark_unused(params, "the classes exclude each other", "bce", "pos_weight")
    reason = "a pixel is foreground or not" if labels.mode == "binary" else "the classes overlap"
    return mark_unused(params, reason, "ce", "class_weights")


def _check(
    labels: PixelLabels, columns: SliceColumns | None, params: SegmenterParams, train: DataFrame, test: DataFrame
) -> None:
    _check_weights(params, labels)
    if columns and params.neighbors:
        for table, rows in (("train rows", train), ("test rows", test)):
            inputs.check(columns, rows, table)


def _check_weights(params: SegmenterParams, labels: PixelLabels) -> None:
    """Refuse another number of class weights than classes."""
    given = params.class_weights
    if not isinstance(given, str) and len(given) != labels.maps:
        raise GoldfoldError(
            "class_weights_mismatch",
            f"class_weights has {len(given)} numbers for {labels.maps} classes: give one for each of "
            f"{', '.join(labels.classes or ())}",
        )


def build(
    masks: Masks,
    labels: PixelLabels,
    columns: SliceColumns | None,
    params: SegmenterParams,
    rows: DataFrame,
    runtime: Runtime,
) -> Plan:
    """Build the plan of one fold; images and masks take 4 bytes per pixel of image_size and row in memory, or on disk.

    With overlapping classes it is 3 bytes and one for each class; beyond `memory` they are read again in every epoch.
    """
    backbone = network.encoder(params)
    model = network.create(params, backbone, labels.maps)
    network.check_sizes(model, params)
    pixels, truth = samples.read(masks, rows, labels, inputs.of(rows, params, columns))
    counts = truths.counted(truths.pixel_counts, truth, labels)
    item = samples.Samples(
        pixels=pixels,
        truths=truth,
        ids=augmentation.distinct_ids(rows["id"]),
        params=params,
        pipeline=samples.pipeline(params),
        rarity=1 / np.maximum(counts, 1),
        exclusive=labels.mode == "multiclass",
        seed=runtime.seed,
    )
    terms = _terms(params, labels, counts, truth)
    single = params.architecture in network.POOLED and len(rows) % params.batch_size == 1  # no variance to normalize by
    stage = Stage(
        name="segment",
        epochs=params.epochs,
        batches=batches.from_dataset(
            item, len(rows), params.batch_size, runtime.seed, runtime.workers, drop_last=single
        ),
        losses=partial(_losses, terms, backbone),
        optimizer=partial(_optimizer, params),
        schedule=partial(schedules.cosine, warmup=params.warmup),
    )
    predict = partial(prediction.predict, params, labels, backbone, columns)
    return Plan(model=model, stages=[stage], predict=predict, export=_export(params, labels, backbone))


def _export(params: SegmenterParams, labels: PixelLabels, backbone: Backbone) -> Export:
    """Whole images as they are resized; what depends on an image's own size or on other rows is refused."""
    refused = {
        "it predicts in overlapping tiles (tiles)": params.network_size() != height_and_width(params.image_size),
        "its images are letterboxed (fit=letterbox)": params.fit == "letterbox",
        "it reads the slices beside a row (neighbors)": params.neighbors > 0,
    }
    return exported.export(
        params.image_size,
        False,
        partial(exported.Maps, mean=partial(prediction.mean, params, labels, backbone)),
        channels=params.channels(),
        refused=" and ".join(why for why, holds in refused.items() if holds),
    )


def _terms(params: SegmenterParams, labels: PixelLabels, counts: np.ndarray, truth: truths.Rows) -> Terms:
    """The losses, with the weights that the training rows give.

    counts: pixels of each class. truth: of all training rows.
    """
    pos_weight = class_weights = None
    if params.pos_weight == "balanced":
        negatives = truths.counted(truths.negative_counts, truth, labels)
        pos_weight = torch.tensor(np.where(counts > 0, negatives / np.maximum(counts, 1), 1.0))[:, None, None]
    elif params.pos_weight != 1:
        pos_weight = torch.tensor(params.pos_weight)
    if params.class_weights == "balanced":
        class_weights = mask_losses.median_frequency(torch.from_numpy(counts))
    elif not isinstance(params.class_weights, str):
        class_weights = torch.tensor(params.class_weights)
    return mask_losses.weighted(
        labels.mode,
        params.loss_weights(),
        ignores=labels.void is not None or params.fit == "letterbox",
        pos_weight=pos_weight,
        class_weights=class_weights,
        gamma=params.focal_gamma,
        alpha=params.tversky_alpha,
    )


def _losses(terms: Terms, backbone: Backbone, model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return terms(model(prediction.normalize(batch[0], backbone, model)).float(), batch[1])


def _optimizer(params: SegmenterParams, model: nn.Module) -> torch.optim.Optimizer:
    return AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
