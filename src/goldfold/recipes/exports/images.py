"""Recipes of images as modules of pixels: classifiers with their views, heads on frozen backbones, segmenters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from goldfold.images.sizes import Size, height_and_width
from goldfold.images.views import VIEWS, ViewSet, make_views
from goldfold.optional_parts import Export


def export(size: Size, gray: bool, module: Callable[[nn.Module], nn.Module], channels: int = 0, **parts: Any) -> Export:
    """The export of a recipe that reads images of one size.

    module: model -> a module from pixels uint8 (n, height, width, channels) to predictions. channels: if there are
        others than those of a gray or an RGB image. parts: of `Export`.
    """
    height, width = height_and_width(size)
    given = {"kind": "images", "height": height, "width": width, "channels": channels or (1 if gray else 3)}
    return Export(preprocessing=lambda finished: given, module=lambda model, finished: module(model), **parts)


class Classifier(nn.Module):
    """Pixels uint8 (n, h, w, c) -> predictions (n, ...), float64: the mean over views, as `targets.predictions` says.

    All views are one batch, so that a graph has the network once. targets: of `goldfold.recipes.targets`.
    """

    def __init__(self, model: nn.Module, views: ViewSet, targets: Any) -> None:
        super().__init__()
        self.model, self.views, self.targets = model, views, targets

    def forward(self, pixels: Tensor) -> Tensor:
        found = self.targets.probabilities(self.model(in_views(pixels, self.views)).double())
        return self.targets.predictions(found.unflatten(0, (len(VIEWS[self.views]), -1)).mean(0))


class Features(nn.Module):
    """Pixels uint8 (n, h, w, 3) -> features (n, views, d) of a frozen backbone."""

    def __init__(self, tower: nn.Module, views: ViewSet) -> None:
        super().__init__()
        self.tower, self.views = tower, views

    def forward(self, pixels: Tensor) -> Tensor:
        found = self.tower(in_views(pixels, self.views))
        return found.unflatten(0, (len(VIEWS[self.views]), -1)).transpose(0, 1)


class Head(nn.Module):
    """Features (n, views, d) -> predictions (n, ...), float64, as `targets.predictions` says."""

    def __init__(self, model: nn.Module, targets: Any) -> None:
        super().__init__()
        self.model, self.targets = model, targets

    def forward(self, features: Tensor) -> Tensor:
        return self.targets.predictions(self.targets.probabilities(self.model(features).double()).mean(1))


class Maps(nn.Module):
    """Pixels uint8 (n, h, w, c) -> maps (n, ...), float16, by a function of the model and pixels."""

    def __init__(self, model: nn.Module, mean: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.mean = model, mean

    def forward(self, pixels: Tensor) -> Tensor:
        return self.mean(self.model, pixels).half()


def in_views(pixels: Tensor, views: ViewSet) -> Tensor:
    """Images (n, h, w, c) in all views of a set, (views * n, h, w, c), one view after the other."""
    return torch.cat(make_views(pixels, views)) if len(VIEWS[views]) > 1 else pixels


def side_by_side(embeddings: Tensor) -> Tensor:
    """Embeddings (fits, n, d) normalized and side by side, (n, fits * d), as `cosines.concatenate_fits` does."""
    units = nn.functional.normalize(embeddings, dim=2)
    return units.transpose(0, 1).flatten(1) / len(embeddings) ** 0.5
