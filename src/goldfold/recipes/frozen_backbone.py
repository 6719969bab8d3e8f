"""Image classification with a frozen backbone: features are computed once per image, and a small head is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images.views import VIEWS, View
from goldfold.nn import backbones, batches, feature_cache, mixup, schedules
from goldfold.params import BackboneName, Needs, Params, Pretrained, WeightsFile, with_defaults
from goldfold.recipes.classification import optimizers
from goldfold.recipes.classification.parameters import (
    Mixup,
    PeakRate,
    SamplesPerBatch,
    Schedule,
    TrainingEpochs,
    Views,
    Warmup,
    WeightDecay,
)
from goldfold.recipes.targets import Targets, create

if TYPE_CHECKING:
    from pandas import DataFrame

    Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]


class FrozenBackboneParams(Params):
    """Backbone, features, and training of the head."""

    backbone: BackboneName = Field("efficientnet_lite0", description="timm name of the backbone")
    pretrained: Annotated[Pretrained, Needs(weights="")] = Field(
        True, description="use pretrained weights; random ones are for tests"
    )
    weights: WeightsFile = ""
    image_size: int = Field(224, ge=32, description="side of the backbone's input, in pixels")
    views: Views = Field("none", description="views of an image (TTA); in training each view is a sample")
    stages: int = Field(
        0,
        ge=0,
        description="last stages whose feature maps are added to the output, as mean and standard deviation; 0: none",
    )
    hidden: int = Field(0, ge=0, description="width of the head's hidden layer; 0: a linear head")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate of the head")
    mixup: Mixup = 0.0
    epochs: TrainingEpochs = 20
    batch_size: SamplesPerBatch = 64
    learning_rate: PeakRate = 1e-3
    weight_decay: WeightDecay = 1e-2
    schedule: Schedule = "cosine"
    warmup: Warmup = 0.1


def recipe(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
    values: str | Sequence[str] | None = None,
    ordered: bool = False,
    **defaults: Any,
) -> Recipe:
    """Return the recipe for rows with a column `path` and labels in the column `target`, or in several columns.

    classes: all labels, in the order of the predictions: (n,) probabilities of the second of two classes, otherwise
        (n, classes). `ClassLossParams` are parameters, too.
    targets: instead of `target` and `classes`, columns of 0 and 1: a row may have several labels. Predictions are
        (n, labels) independent probabilities in this order; `LabelLossParams` are parameters, too.
    values: instead, a numeric column or several. Predictions are (n,) or (n, columns) numbers; `ValueLossParams`.
    ordered: whether `classes` ascend, such as grades: ordinal regression, with `OrderedLossParams`.
    defaults: defaults of `FrozenBackboneParams` for this competition.
    """
    labels = create(target, classes, targets, values=values, ordered=ordered, by_row=True)
    return Recipe(
        params=with_defaults(labels.params(FrozenBackboneParams), **defaults),
        build=partial(_build, targets=labels),
        labels=labels.declared,
        columns=("path", *labels.columns),
        example=lambda params, rows, classes: labels.example(rows),
        accepts=labels.accepts,
    )


def _build(params: FrozenBackboneParams, rows: DataFrame, runtime: Runtime, targets: Targets) -> Plan:
    views_of = _views(params, runtime)
    return plan_of_features(params, rows, runtime, targets, lambda rows: views_of(tuple(rows["path"])))


def plan_of_features(
    params: Any, rows: DataFrame, runtime: Runtime, targets: Targets, views_of: Callable[[DataFrame], Tensor]
) -> Plan:
    """Return the plan of a head on frozen features.

    params: with `hidden`, `dropout`, `mixup` and the parameters of training. views_of: rows -> features of each view,
        (n, views, d), on the runtime's device; in training each view is a sample, and predictions are their mean.
    """
    features, labels = views_of(rows), targets.labels(rows)
    targets = targets.fitted(labels)
    return Plan(
        model=Head(features.flatten(0, 1), params.hidden, targets.outputs, params.dropout),
        stages=[_stage(params, features, labels, runtime.seed, targets)],
        predict=partial(_predict, views_of, targets),
    )


def _stage(params: Any, features: Tensor, labels: np.ndarray, seed: int, targets: Targets) -> Stage:
    """The training of the head. features: (n, views, d), each view a sample. labels: of the n rows."""
    of_samples = labels.repeat(features.shape[1], axis=0)
    samples = features.flatten(0, 1), torch.from_numpy(of_samples).to(features.device)
    balance = targets.balance(params, of_samples)
    return Stage(
        name="head",
        epochs=params.epochs,
        batches=mixup.batches(batches.in_memory(samples, params.batch_size, seed, balance=balance), params.mixup, seed),
        losses=partial(_losses, loss=targets.loss(params, labels)),
        optimizer=partial(optimizers.adamw, params),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(_row_losses, features, samples[1], targets.row_losses(params, labels)),
    )


def _row_losses(
    features: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor], model: nn.Module
) -> np.ndarray:
    """Return the losses of the training rows, float64 (n,), each a mean over its views. labels: of every view."""
    logits = model(features).flatten(0, 1).cpu().double()
    return loss(logits, labels.cpu()).reshape(features.shape[:2]).mean(1).numpy()


def _losses(model: nn.Module, batch: tuple[Any, ...], loss: Loss) -> dict[str, Tensor]:
    features, labels = mixup.mix(batch)
    return mixup.mixed_loss(loss, model(features), labels)


def _predict(
    views_of: Callable[[DataFrame], Tensor], targets: Targets, model: nn.Module, finished: None, rows: DataFrame
) -> np.ndarray:
    """Return probabilities averaged over views, float64, as `targets.predictions` says."""
    logits = model(views_of(rows)).cpu().double()  # in float32 probabilities near 1 would be ties
    return targets.predictions(targets.probabilities(logits).mean(1).numpy())


class Head(nn.Module):
    """Features (..., d) -> logits (..., classes); features are standardized by the statistics of `samples`."""

    mean: Tensor
    std: Tensor

    def __init__(self, samples: Tensor, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", samples.mean(0))
        std = samples.std(0, correction=0)
        self.register_buffer("std", torch.where(std > 1e-6, std, 1.0))  # constant features must not be amplified
        width = samples.shape[1]
        layers = [nn.Dropout(dropout), nn.Linear(width, hidden), nn.GELU()] if hidden else []
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(hidden or width, classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers((features - self.mean) / self.std)


def _views(params: FrozenBackboneParams, runtime: Runtime) -> Callable[[tuple], Tensor]:
    """Return a function: paths -> features (n, views, d) on the runtime's device, cached on disk.

    Each view is cached on its own, so that sets of views share the views they have in common.
    """
    through = partial(feature_cache.cached_extractor, _tower(params), params.image_size, runtime)
    of_views = [
        through(note=f"stages={params.stages} {view}", transform=partial(_one_view, view))
        for view in VIEWS[params.views]
    ]
    return lambda paths: torch.from_numpy(np.stack([of(paths) for of in of_views], axis=1)).to(runtime.device)


def _one_view(view: View, pixels: np.ndarray, _: Sequence[str]) -> np.ndarray:
    return view.apply(torch.from_numpy(pixels)).numpy()


@lru_cache(maxsize=1)  # of all folds of a run
def _tower(params: FrozenBackboneParams) -> Tower:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # every fold uses the same backbone, with random weights too
        return Tower(params).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stub


class Tower(nn.Module):
    """Pixels uint8 (n, h, w, 3) -> features (n, d): output of the backbone, mean and standard deviation of its maps."""

    backbone: Any  # a timm model

    def __init__(self, params: FrozenBackboneParams) -> None:
        super().__init__()
        self.backbone, mean, std = backbones.create(
            params.backbone, params.pretrained, image_size=params.image_size, weights=params.weights
        )
        self.normalize = backbones.Normalize(mean, std)
        self.stages = params.stages
        known = len(self.backbone.feature_info) if hasattr(self.backbone, "forward_intermediates") else 0
        if self.stages > known:
            raise GoldfoldError(
                "too_many_stages",
                f"backbone '{params.backbone}' has {known} stages, but stages is {self.stages}: lower it",
            )

    def forward(self, pixels: Tensor) -> Tensor:
        inputs = self.normalize(pixels)
        if not self.stages:
            return self.backbone(inputs)
        last, maps = self.backbone.forward_intermediates(inputs, indices=self.stages)
        pooled = [self.backbone.forward_head(last)]
        for values in maps:
            pooled += [values.mean((2, 3)), values.std((2, 3), correction=0)]
        return torch.cat(pooled, dim=1)
