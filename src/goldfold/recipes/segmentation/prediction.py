"""Predicted maps: of whole images at once, or of overlapping tiles, one image after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.images import letterbox, reading, tiles
from goldfold.images.sizes import area, height_and_width
from goldfold.images.views import make_views, undo_views
from goldfold.nn import batches
from goldfold.nn.backbones import Backbone
from goldfold.recipes.segmentation import inputs
from goldfold.recipes.segmentation.inputs import Inputs, SliceColumns
from goldfold.recipes.segmentation.params import SegmenterParams
from goldfold.recipes.segmentation.truths import PixelLabels

if TYPE_CHECKING:
    from pandas import DataFrame


def shape(params: SegmenterParams, labels: PixelLabels, rows: int) -> tuple[int, ...]:
    """The shape of predictions for some rows."""
    return rows, *(() if labels.classes is None else (labels.maps,)), *height_and_width(params.image_size)


def example(params: SegmenterParams, labels: PixelLabels, rows: int) -> np.ndarray:
    """Predictions of some rows as `predict` gives them, equal in every pixel."""
    return np.full(shape(params, labels, rows), 1 / (labels.maps + 1), np.float16)


def normalize(pixels: Tensor, backbone: Backbone, model: nn.Module) -> Tensor:
    """Normalize uint8 (b, h, w, c) as the backbone expects: float32 (b, c, h, w) on the model's device."""
    device = next(model.parameters()).device
    mean, std = (torch.tensor(values, device=device) for values in (backbone.mean, backbone.std))
    return ((pixels.to(device).float() / 255 - mean) / std).permute(0, 3, 1, 2)


def predict(
    params: SegmenterParams,
    labels: PixelLabels,
    backbone: Backbone,
    columns: SliceColumns | None,
    model: nn.Module,
    _: None,
    rows: DataFrame,
) -> np.ndarray:
    """Predict the rows' maps, float16 (n, height, width), or (n, classes, height, width)."""
    maps = np.empty(shape(params, labels, len(rows)), np.float16)
    images = inputs.of(rows, params, columns)
    of_pixels = partial(mean, params, labels, backbone, model)
    wanted, device = params.prediction_batch or params.batch_size, next(model.parameters()).device
    at_once = batches.rows_at_once(wanted, isqrt(area(params.network_size())), device)
    if params.network_size() != height_and_width(params.image_size):
        for row, own in enumerate(maps):
            _predict_tiles(images, of_pixels, row, at_once, own)
        return maps
    for start in range(0, len(rows), at_once):
        chunk = range(start, min(start + at_once, len(rows)))
        found = of_pixels(torch.from_numpy(images.load(chunk)))
        if params.fit == "letterbox":
            found = _unboxed(found, [reading.size(images.paths[row]) for row in chunk], params)
        maps[start : start + at_once] = found.cpu().numpy()
    return maps


def _predict_tiles(
    images: Inputs, of_pixels: Callable[[Tensor], Tensor], row: int, at_once: int, maps: np.ndarray
) -> None:
    """Fill the maps of one image, (height, width) or (classes, height, width), from overlapping tiles."""
    params, pixels, top = images.params, images.load([row])[0], 0
    size = params.network_size()
    for block in tiles.row_blocks(
        pixels, size, params.overlap, lambda some: of_pixels(torch.from_numpy(some)).cpu().numpy(), at_once
    ):
        maps[..., top : top + block.shape[-2], :] = block
        top += block.shape[-2]
    if params.fit == "letterbox":
        maps[:] = _unboxed(torch.from_numpy(maps.astype(np.float32))[None], [reading.size(images.paths[row])], params)[
            0
        ].numpy()


def mean(params: SegmenterParams, labels: PixelLabels, backbone: Backbone, model: nn.Module, pixels: Tensor) -> Tensor:
    """Probabilities of images uint8 (b, h, w, c), averaged over the views: (b, h, w) or (b, classes, h, w)."""
    views = make_views(pixels, params.views)
    predicted = [_probabilities(model(normalize(view, backbone, model)).float(), labels) for view in views]
    found = torch.stack(undo_views(predicted, params.views)).mean(dim=0)
    return found.movedim(3, 1) if found.ndim == 4 else found


def _probabilities(logits: Tensor, labels: PixelLabels) -> Tensor:
    """Probabilities of logits (b, maps, h, w): (b, h, w) of the foreground, or (b, h, w, classes)."""
    if labels.mode == "binary":
        return logits.sigmoid()[:, 0]
    return (logits.softmax(1) if labels.mode == "multiclass" else logits.sigmoid()).movedim(1, 3)


def _unboxed(maps: Tensor, shapes: Sequence[tuple[int, int]], params: SegmenterParams) -> Tensor:
    """Stretch the part of each map that shows its image over the whole map: (b, h, w) or (b, classes, h, w)."""
    channels = maps if maps.ndim == 4 else maps[:, None]
    size = height_and_width(params.image_size)
    stretched = [
        nn.functional.interpolate(each[None, :, *letterbox.window(shape, size).slices], size, mode="bilinear")
        for each, shape in zip(channels, shapes, strict=True)
    ]
    whole = torch.cat(stretched)
    return whole if maps.ndim == 4 else whole[:, 0]
