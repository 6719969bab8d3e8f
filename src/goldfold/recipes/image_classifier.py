"""Image classification trained end to end: a fine-tuned timm model, or a custom network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images.augmentation import Augmentation
from goldfold.images.views import make_views
from goldfold.nn import backbones, mixup, schedules
from goldfold.params import BackboneName, Needs, Params, Pretrained, WeightsFile, mark_unused, with_defaults
from goldfold.recipes.classification import optimizers, samples
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
from goldfold.recipes.exports import images as exported
from goldfold.recipes.targets import Targets, create

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.recipes.classification.samples import Pipeline, Pixels

    Network = Callable[[int], nn.Module]
    Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]


class ImageClassifierParams(Params):
    """Network, input images and training."""

    backbone: BackboneName = Field("efficientnet_lite0", description="timm name of the network")
    pretrained: Annotated[Pretrained, Needs(weights="")] = Field(True, description="start from pretrained weights")
    weights: WeightsFile = ""
    drop_rate: float = Field(0.2, ge=0, lt=1, description="dropout rate before the classifier")
    image_size: int = Field(224, ge=8, description="side of the network's input, in pixels")
    augmentation: Augmentation = Field("light", description="random changes of training images")
    views: Views = Field(
        "none", description="views of an image over which predictions are averaged (TTA); none: the image itself"
    )
    mixup: Mixup = 0.0
    cutmix: float = Field(
        0.0,
        ge=0,
        description="replace a rectangle of each image with that of another one of its batch, by a share from "
        "Beta(cutmix, cutmix); 0: none. With mixup, each batch has one of both",
    )
    epochs: TrainingEpochs = 10
    freeze_epochs: int = Field(
        0, ge=0, description="epochs before these in which the classifier layer alone is trained"
    )
    batch_size: SamplesPerBatch = 16
    learning_rate: PeakRate = 3e-4
    head_factor: float = Field(
        3.0, gt=0, description="learning rate of the classifier layer, as a multiple of learning_rate"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="learning rate of a block, as a multiple of that of the next block; 1: all alike"
    )
    weight_decay: WeightDecay = 1e-2
    schedule: Schedule = "cosine"
    warmup: Warmup = 0.1
    gradient_checkpointing: bool = Field(
        False, description="compute activations again in the backward pass: less memory, more time"
    )
    memory: float = Field(
        2.0, ge=0, description="GiB of pixels to hold in memory; larger tables are read from disk in every epoch"
    )


def recipe(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
    values: str | Sequence[str] | None = None,
    ordered: bool = False,
    network: Network | None = None,
    pipeline: Pipeline | None = None,
    gray: bool = False,
    **defaults: Any,
) -> Recipe:
    """Return the recipe for rows with a column `path`, and labels in the column `target` or in several columns.

    classes: all labels, in the order of predictions: (n,) probabilities of the second of two, otherwise (n, classes).
        `ClassLossParams` are parameters, too.
    targets: instead of `target` and `classes`, columns of 0 and 1: a row may have several labels. Predictions are
        (n, labels) independent probabilities in this order; `LabelLossParams` are parameters, too.
    values: instead, a numeric column or several. Predictions are (n,) or (n, columns) numbers; `ValueLossParams`.
    ordered: whether `classes` ascend, such as grades: ordinal regression, with `OrderedLossParams`.
    network: number of classes -> a module from pixels (n, c, h, w) in [-1, 1] to logits, used instead of a timm model;
        `head_factor` applies to its `get_classifier()`, if it has one.
    pipeline: image size -> an albumentations pipeline for training images, used instead of the parameter
        `augmentation`. Competition rules do not see what it does.
    gray: whether images have one channel instead of three.
    defaults: defaults of `ImageClassifierParams` for this competition.
    """
    labels = create(target, classes, targets, values=values, ordered=ordered)
    params = with_defaults(labels.params(ImageClassifierParams), **defaults)
    if network is not None:
        own = "the recipe has a network of its own"
        params = mark_unused(params, own, "backbone", "pretrained", "weights", "drop_rate", "gradient_checkpointing")
    if pipeline is not None:
        params = mark_unused(params, "the recipe has an augmentation pipeline of its own", "augmentation")
    return Recipe(
        params=params,
        build=partial(_build, targets=labels, network=network, pipeline=pipeline, gray=gray),
        labels=labels.declared,
        columns=("path", *labels.columns),
        example=lambda params, rows, classes: labels.example(rows),
        accepts=labels.accepts,
    )


def _build(
    params: ImageClassifierParams,
    rows: DataFrame,
    runtime: Runtime,
    *,
    targets: Targets,
    network: Network | None,
    pipeline: Pipeline | None,
    gray: bool,
) -> Plan:
    model = _model(params, targets.outputs, network, channels=1 if gray else 3)
    _check_head(params, model)
    labels = targets.labels(rows)
    targets = targets.fitted(labels)
    pixels = samples.pixels_reader(params, gray)
    known = labels, targets.balance(params, labels)
    of_epoch = samples.of_epochs(params, rows, known, pixels, runtime, gray=gray, pipeline=pipeline)
    stage = Stage(
        name="fit",
        epochs=params.epochs,
        batches=mixup.batches(of_epoch, params.mixup, runtime.seed, params.cutmix),
        losses=partial(_losses, loss=targets.loss(params, labels)),
        optimizer=lambda model: optimizers.fine_tuning(params, model.get_submodule("network")),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(
            _row_losses, params, pixels, gray, tuple(rows["path"]), labels, targets.row_losses(params, labels)
        ),
    )
    predict = partial(_predict, params, pixels, gray, targets)
    export = exported.export(params.image_size, gray, partial(exported.Classifier, views=params.views, targets=targets))
    return Plan(model=model, stages=[*_head_stage(params, stage), stage], predict=predict, export=export)


def _head_stage(params: ImageClassifierParams, stage: Stage) -> list[Stage]:
    """The stage before `stage` in which the classifier layer alone is trained, if there is one."""
    if not params.freeze_epochs:
        return []
    head = replace(
        stage,
        name="head",
        epochs=params.freeze_epochs,
        batches=lambda epoch: stage.batches(params.epochs + epoch),  # other orders and shares than those of `stage`
        optimizer=lambda model: optimizers.head_alone(params, model.get_submodule("network")),
        schedule=None,
        row_losses=None,
    )
    return [head]


def _check_head(params: ImageClassifierParams, model: nn.Module) -> None:
    """Refuse parameters of the classifier layer where the network does not tell which one that is."""
    if optimizers.head_parameters(model.get_submodule("network")):
        return
    for name in ("head_factor", "freeze_epochs"):
        if getattr(params, name) != type(params).model_fields[name].default:
            raise GoldfoldError(
                "parameter_without_effect",
                f"{name}={getattr(params, name)} has no effect, since the recipe's network has no get_classifier(): "
                f"give the network that method or leave {name} out",
            )


def _model(params: ImageClassifierParams, classes: int, network: Network | None, channels: int) -> nn.Module:
    """Create the module from pixels uint8 (n, h, w, c) to logits (n, classes)."""
    if network is not None:
        net, mean, std = network(classes), (0.5,) * channels, (0.5,) * channels
    else:
        net, mean, std = backbones.create(
            params.backbone,
            params.pretrained,
            in_chans=channels,
            num_classes=classes,
            image_size=params.image_size,
            weights=params.weights,
            drop_rate=params.drop_rate,
        )
        backbones.recompute_activations(net, params.backbone, params.gradient_checkpointing)
    return nn.Sequential(OrderedDict(normalize=backbones.Normalize(mean, std), network=net))


def _losses(model: nn.Module, batch: tuple[Any, ...], loss: Loss) -> dict[str, Tensor]:
    device = next(model.parameters()).device
    pixels, labels, *mixing = batch
    on_device = (part.to(device, non_blocking=True) for part in (pixels, labels))
    inputs, known = mixup.mix((*on_device, *mixing))
    return mixup.mixed_loss(loss, model(inputs), known)


def _predict(
    params: ImageClassifierParams,
    pixels: Pixels,
    gray: bool,
    targets: Targets,
    model: nn.Module,
    finished: None,
    rows: DataFrame,
) -> np.ndarray:
    """Return probabilities or numbers, float64, as `targets.predictions` says."""
    paths, device = tuple(rows["path"]), next(model.parameters()).device
    parts = []
    for _, chunk in samples.chunks(params, pixels, gray, paths, device):
        views = make_views(chunk, params.views)
        parts.append(torch.stack([targets.probabilities(model(view).cpu().double()) for view in views]).mean(0))
    return targets.predictions(torch.cat(parts).numpy())  # in float32 probabilities near 1 would be ties


def _row_losses(
    params: ImageClassifierParams,
    pixels: Pixels,
    gray: bool,
    paths: tuple[Path, ...],
    labels: np.ndarray,
    loss: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
) -> np.ndarray:
    """Return the losses of the training rows, float64 (n,), of their images as they are."""
    device, known = next(model.parameters()).device, torch.from_numpy(labels)
    found = [
        loss(model(chunk).cpu().double(), known[part])
        for part, chunk in samples.chunks(params, pixels, gray, paths, device)
    ]
    return torch.cat(found).numpy()
