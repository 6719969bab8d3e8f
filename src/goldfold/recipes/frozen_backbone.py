"""A classifier on an image model that stays as it was pretrained: features once per image, a small head on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images.views import VIEWS, View, ViewSet
from goldfold.metrics.inputs import class_indices
from goldfold.nn import backbones, batches, feature_cache, schedules
from goldfold.params import BackboneName, Epochs, Params, Pretrained, Role, with_defaults

if TYPE_CHECKING:
    from pandas import DataFrame


class FrozenBackbone(Params):
    """What is looked at, what is kept of it, and how the head learns."""

    backbone: BackboneName = Field("efficientnet_lite0", description="timm's name of the image model")
    pretrained: Pretrained = Field(True, description="pretrained weights; random ones are for tests")
    image_size: int = Field(224, ge=32, description="pixels a side that the backbone sees")
    views: Annotated[ViewSet, Role.VIEWS] = Field(
        "none", description="views of an image, in training each a sample of its own"
    )
    stages: int = Field(0, ge=0, description="last stages whose maps are kept beside the backbone's output")
    hidden: int = Field(0, ge=0, description="width of the head's hidden layer; 0: a linear head")
    dropout: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    epochs: Epochs = Field(20, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    schedule: schedules.Name = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps in which the rate rises")


def recipe(target: str, classes: Sequence, **defaults: Any) -> Recipe:
    """The recipe for rows with a column `path` and labels in the column `target`.

    classes: every label, in the order of the predictions: (n,) probability of the second of two, else (n, classes).
    defaults: of `FrozenBackbone`, as the competition's baseline wants them.
    """
    build = partial(_build, target=target, classes=tuple(classes))
    return Recipe(params=with_defaults(FrozenBackbone, **defaults), build=build)


def _build(params: FrozenBackbone, rows: DataFrame, runtime: Runtime, target: str, classes: tuple) -> Plan:
    views_of = _views(params, runtime)
    shown = views_of(tuple(rows["path"]))  # (n, views, d)
    labels = torch.from_numpy(class_indices(rows[target], classes, f"target '{target}'")).to(runtime.device)
    samples = shown.flatten(0, 1), labels.repeat_interleave(shown.shape[1])
    return Plan(
        model=Head(samples[0], params.hidden, len(classes), params.dropout),
        stages=[_stage(params, samples, runtime.seed)],
        predict=partial(_predict, views_of),
    )


def _stage(params: FrozenBackbone, samples: tuple[Tensor, Tensor], seed: int) -> Stage:
    return Stage(
        name="head",
        epochs=params.epochs,
        batches=batches.in_memory(samples, params.batch_size, seed),
        losses=partial(_losses, label_smoothing=params.label_smoothing),
        optimizer=partial(_optimizer, params),
        schedule=schedules.create(params.schedule, params.warmup),
    )


def _losses(model: nn.Module, batch: tuple[Tensor, Tensor], label_smoothing: float) -> dict[str, Tensor]:
    shown, labels = batch
    of_rows = F.cross_entropy(model(shown), labels, label_smoothing=label_smoothing, reduction="none")
    return {"cross_entropy": of_rows.mean()}  # reduction="mean" rounds label smoothing differently: scores would move


def _optimizer(params: FrozenBackbone, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True)


def _predict(views_of: Callable[[tuple], Tensor], model: nn.Module, finished: None, rows: DataFrame) -> np.ndarray:
    """Probabilities, averaged over views: (n,) of the second of two classes, else (n, classes)."""
    probabilities = model(views_of(tuple(rows["path"]))).float().softmax(-1).mean(1).cpu().numpy()
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


class Head(nn.Module):
    """Features (..., d), standardised by the statistics of those it was made with, -> logits (..., classes)."""

    def __init__(self, samples: Tensor, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", samples.mean(0))
        std = samples.std(0, correction=0)
        self.register_buffer("std", torch.where(std > 1e-6, std, 1.0))  # what never varied must not be blown up later
        width = samples.shape[1]
        layers = [nn.Dropout(dropout), nn.Linear(width, hidden), nn.GELU()] if hidden else []
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(hidden or width, classes))

    def forward(self, shown: Tensor) -> Tensor:
        return self.layers((shown - self.mean) / self.std)


def _views(params: FrozenBackbone, runtime: Runtime) -> Callable[[tuple], Tensor]:
    """paths -> features (n, views, d) on the runtime's device, from disk where they were computed before.

    Each view is kept by itself, so that what one set of views computed serves all others it is part of.
    """
    through = partial(feature_cache.cached_extractor, _tower(params), params.image_size, runtime)
    of_views = [
        through(note=f"stages={params.stages} {view}", transform=partial(_seen, view)) for view in VIEWS[params.views]
    ]
    return lambda paths: torch.from_numpy(np.stack([of(paths) for of in of_views], axis=1)).to(runtime.device)


def _seen(view: View, pixels: np.ndarray, _: Sequence[str]) -> np.ndarray:
    return view.apply(torch.from_numpy(pixels)).numpy()


def _tower(params: FrozenBackbone) -> Tower:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # without pretrained weights too, all folds look through the same eyes
        return Tower(params).to(memory_format=torch.channels_last)


class Tower(nn.Module):
    """Pixels uint8 (n, h, w, 3) -> features (n, d): the backbone's output, and mean and deviation of maps."""

    def __init__(self, params: FrozenBackbone) -> None:
        super().__init__()
        self.backbone, mean, std = backbones.create(params.backbone, params.pretrained)
        self.normalize = backbones.Normalize(mean, std)
        self.stages = params.stages
        known = len(self.backbone.feature_info) if hasattr(self.backbone, "forward_intermediates") else 0
        if self.stages > known:
            raise GoldfoldError(f"backbone '{params.backbone}' has {known} stages, not {self.stages}: lower `stages`")

    def forward(self, pixels: Tensor) -> Tensor:
        shown = self.normalize(pixels)
        if not self.stages:
            return self.backbone(shown)
        last, maps = self.backbone.forward_intermediates(shown, indices=self.stages)
        pooled = [self.backbone.forward_head(last)]
        for values in maps:
            pooled += [values.mean((2, 3)), values.std((2, 3), correction=0)]
        return torch.cat(pooled, dim=1)
