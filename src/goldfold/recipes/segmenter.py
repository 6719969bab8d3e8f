"""Segmentation: a U-Net or another decoder of segmentation-models-pytorch on a timm encoder, trained on random crops.

The competition says how the masks of a row are read and what their pixels can be: foreground or not, one of several
classes, or several of them. For objects, metric and submission split the foreground (`goldfold.images.instances`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation, letterbox, reading
from goldfold.images.sizes import area, height_and_width
from goldfold.images.views import make_views, undo_views
from goldfold.nn import batches, mask_losses, schedules
from goldfold.nn.backbones import Backbone
from goldfold.params import mark_unused, with_defaults
from goldfold.recipes.segmentation import network, samples, truths
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
    **defaults: Any,
) -> Recipe:
    """Return the recipe for rows with a column `path`.

    masks: rows -> the mask of each row at the size of its image: an integer (h, w) map of objects, 0 = background,
        without `classes`; an integer (h, w) map of class indices; 0 and 1, (classes, h, w), if `overlapping`.
    classes: names of the classes in the order of their indices. overlapping: whether a pixel can be of several.
    void: the value of pixels that count neither in losses nor in pixel counts.
    defaults: defaults of `SegmenterParams` for this competition.

    Predictions are probabilities in [0, 1], float16: foreground maps (n, height, width) of image_size; with classes
    (n, classes, height, width), whose sum is 1 in every pixel unless they overlap. They cover the whole image, whatever
    its aspect ratio.
    """
    labels = PixelLabels(None if classes is None else tuple(classes), overlapping, void)
    return Recipe(
        params=_without_others(with_defaults(SegmenterParams, **defaults), labels),
        build=partial(build, masks, labels),
        columns=("path",),
        example=lambda params, rows, _: np.full(_shape(params, labels, rows), 1 / (labels.maps + 1), np.float16),
        check=lambda params, train, test: _check_weights(params, labels),
    )


def _without_others(params: type[SegmenterParams], labels: PixelLabels) -> type[SegmenterParams]:
    """Mark the parameters that mean nothing for such labels."""
    if labels.mode == "multiclass":
        return mark_unused(params, "the classes exclude each other", "bce", "pos_weight")
    reason = "a pixel is foreground or not" if labels.mode == "binary" else "the classes overlap"
    return mark_unused(params, reason, "ce", "class_weights")


def _shape(params: SegmenterParams, labels: PixelLabels, rows: int) -> tuple[int, ...]:
    return rows, *(() if labels.classes is None else (labels.maps,)), *height_and_width(params.image_size)


def _check_weights(params: SegmenterParams, labels: PixelLabels) -> None:
    """Refuse another number of class weights than classes."""
    given = params.class_weights
    if not isinstance(given, str) and len(given) != labels.maps:
        raise GoldfoldError(
            "class_weights_mismatch",
            f"class_weights has {len(given)} numbers for {labels.maps} classes: give one for each of "
            f"{', '.join(labels.classes or ())}",
        )


def build(masks: Masks, labels: PixelLabels, params: SegmenterParams, rows: DataFrame, runtime: Runtime) -> Plan:
    """Build the plan of one fold; images and masks are held in memory, 4 bytes per pixel of image_size and row."""
    backbone = network.encoder(params)
    model = network.create(params, backbone, labels.maps)
    network.check_sizes(model, params)
    boxed = params.fit == "letterbox"
    truth = truths.load(masks, rows, labels, params.image_size, boxed)
    counts = truths.pixel_counts(truth, labels)
    item = samples.Samples(
        pixels=_load(params, list(rows["path"])),
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
    return Plan(model=model, stages=[stage], predict=partial(_predict, params, labels, backbone))


def _load(params: SegmenterParams, paths: list) -> np.ndarray:
    """Images at the network's size, uint8 (n, height, width, 3)."""
    return (letterbox.load if params.fit == "letterbox" else reading.load_resized)(paths, params.image_size)


def _terms(params: SegmenterParams, labels: PixelLabels, counts: np.ndarray, truth: np.ndarray) -> Terms:
    """The losses, with the weights that the training rows give.

    counts: pixels of each class. truth: of all training rows.
    """
    pos_weight = class_weights = None
    if params.pos_weight == "balanced":
        negatives = truths.negative_counts(truth, labels)
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


def _normalize(pixels: Tensor, backbone: Backbone, model: nn.Module) -> Tensor:
    """Normalize uint8 (b, h, w, 3) as the backbone expects: float32 (b, 3, h, w) on the model's device."""
    device = next(model.parameters()).device
    mean, std = (torch.tensor(values, device=device) for values in (backbone.mean, backbone.std))
    return ((pixels.to(device).float() / 255 - mean) / std).permute(0, 3, 1, 2)


def _losses(terms: Terms, backbone: Backbone, model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return terms(model(_normalize(batch[0], backbone, model)).float(), batch[1])


def _optimizer(params: SegmenterParams, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)


def _predict(
    params: SegmenterParams, labels: PixelLabels, backbone: Backbone, model: nn.Module, _: None, rows: DataFrame
) -> np.ndarray:
    maps = np.empty(_shape(params, labels, len(rows)), np.float16)
    paths = list(rows["path"])
    device = next(model.parameters()).device
    at_once = params.prediction_batch or params.batch_size
    for chunk in batches.prediction_batches(len(paths), at_once, isqrt(area(params.image_size)), device):
        pixels = torch.from_numpy(_load(params, paths[chunk]))
        views = make_views(pixels, params.views)
        predicted = [_probabilities(model(_normalize(view, backbone, model)).float(), labels) for view in views]
        mean = torch.stack(undo_views(predicted, params.views)).mean(dim=0)
        if params.fit == "letterbox":
            mean = _unboxed(mean, [reading.size(path) for path in paths[chunk]], params)
        found = mean.movedim(3, 1) if mean.ndim == 4 else mean
        maps[chunk] = found.cpu().numpy()
    return maps


def _probabilities(logits: Tensor, labels: PixelLabels) -> Tensor:
    """Probabilities of logits (b, maps, h, w): (b, h, w) of the foreground, or (b, h, w, classes)."""
    if labels.mode == "binary":
        return logits.sigmoid()[:, 0]
    return (logits.softmax(1) if labels.mode == "multiclass" else logits.sigmoid()).movedim(1, 3)


def _unboxed(maps: Tensor, shapes: Sequence[tuple[int, int]], params: SegmenterParams) -> Tensor:
    """Stretch the part of each map that shows its image over the whole map: (b, h, w) or (b, h, w, classes)."""
    channels = maps.movedim(-1, 1) if maps.ndim == 4 else maps[:, None]
    size = height_and_width(params.image_size)
    stretched = [
        nn.functional.interpolate(each[None, :, *letterbox.window(shape, size).slices], size, mode="bilinear")
        for each, shape in zip(channels, shapes, strict=True)
    ]
    whole = torch.cat(stretched)
    return whole.movedim(1, -1) if maps.ndim == 4 else whole[:, 0]
