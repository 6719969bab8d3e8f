"""Image classification trained end to end: a fine-tuned timm model, or a custom network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation, reading
from goldfold.images.augmentation import Augmentation
from goldfold.images.views import ViewSet, make_views
from goldfold.nn import backbones, batches, mixup, schedules
from goldfold.nn.optimizers import AdamW
from goldfold.params import (
    BackboneName,
    BatchSize,
    Epochs,
    LearningRate,
    Needs,
    Not,
    Params,
    Pretrained,
    Role,
    mark_unused,
    with_defaults,
)
from goldfold.recipes.targets import Targets, create

if TYPE_CHECKING:
    from albumentations import Compose
    from pandas import DataFrame

    Network = Callable[[int], nn.Module]
    Pixels = Callable[[tuple[Path, ...]], np.ndarray | None]


class ImageClassifierParams(Params):
    """Network, input images and training."""

    backbone: BackboneName = Field("efficientnet_lite0", description="timm name of the network")
    pretrained: Pretrained = Field(True, description="start from pretrained weights")
    drop_rate: float = Field(0.2, ge=0, lt=1, description="dropout rate before the classifier")
    image_size: int = Field(224, ge=8, description="side of the network's input, in pixels")
    augmentation: Augmentation = Field("light", description="random changes of training images")
    views: Annotated[ViewSet, Role.VIEWS] = Field(
        "none", description="views of an image over which predictions are averaged (TTA); none: the image itself"
    )
    mixup: float = Field(
        0.0,
        ge=0,
        description="mix each image with another one of its batch, by a share from Beta(mixup, mixup); 0: none",
    )
    epochs: Epochs = Field(10, ge=1, description="number of training epochs")
    batch_size: BatchSize = Field(16, ge=1, description="images per batch")
    learning_rate: LearningRate = Field(3e-4, gt=0, description="peak learning rate of AdamW")
    head_factor: float = Field(
        3.0, gt=0, description="learning rate of the classifier layer, as a multiple of learning_rate"
    )
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of AdamW")
    schedule: schedules.Name = Field("cosine", description="learning-rate schedule")
    warmup: Annotated[float, Needs(schedule=Not("constant"))] = Field(
        0.1, ge=0, lt=1, description="share of all steps in which the learning rate rises"
    )
    memory: float = Field(
        2.0, ge=0, description="GiB of pixels to hold in memory; larger tables are read from disk in every epoch"
    )


def recipe(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
    network: Network | None = None,
    gray: bool = False,
    **defaults: Any,
) -> Recipe:
    """Return the recipe for rows with a column `path` and labels in the column `target`, or in several columns.

    classes: all labels, in the order of predictions: (n,) probabilities of the second of two, otherwise (n, classes).
        `ClassLossParams` are parameters, too.
    targets: instead of `target` and `classes`, columns of 0 and 1: a row may have several labels. Predictions are
        (n, labels) independent probabilities in this order; `LabelLossParams` are parameters, too.
    network: number of classes -> a module from pixels (n, c, h, w) in [-1, 1] to logits, used instead of a timm model;
        `head_factor` applies to its `get_classifier()`, if it has one.
    gray: whether images have one channel instead of three.
    defaults: defaults of `ImageClassifierParams` for this competition.
    """
    labels = create(target, classes, targets)
    build = partial(_build, targets=labels, network=network, gray=gray)
    params = with_defaults(labels.params(ImageClassifierParams), **defaults)
    if network is not None:
        params = mark_unused(params, "the recipe has a network of its own", "backbone", "pretrained", "drop_rate")
    return Recipe(
        params=params,
        build=build,
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
    gray: bool,
) -> Plan:
    model = _model(params, targets.outputs, network, channels=1 if gray else 3)
    if params.head_factor != type(params).model_fields["head_factor"].default and not _head(model):
        raise GoldfoldError(
            "parameter_without_effect",
            f"head_factor={params.head_factor} has no effect, since the recipe's network has no get_classifier(): "
            "give the network that method or leave head_factor out",
        )
    labels = targets.labels(rows)
    pixels = _pixels(params, gray)
    stage = Stage(
        name="fit",
        epochs=params.epochs,
        batches=mixup.batches(
            _batches(params, rows, labels, pixels, gray, runtime, targets.balance(params, labels)),
            params.mixup,
            runtime.seed,
        ),
        losses=partial(_losses, loss=targets.loss(params, labels)),
        optimizer=partial(_optimizer, params),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(
            _row_losses, params, pixels, gray, tuple(rows["path"]), labels, targets.row_losses(params, labels)
        ),
    )
    return Plan(model=model, stages=[stage], predict=partial(_predict, params, pixels, gray, targets))


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
            drop_rate=params.drop_rate,
        )
    return nn.Sequential(OrderedDict(normalize=backbones.Normalize(mean, std), network=net))


def _pixels(params: ImageClassifierParams, gray: bool) -> Pixels:
    """Return a function: paths -> pixels, uint8 (n, size, size, c), or None if they exceed the allowed memory."""

    @lru_cache(maxsize=3)  # training, validation and test rows
    def pixels(paths: tuple[Path, ...]) -> np.ndarray | None:
        needed = len(paths) * params.image_size**2 * (1 if gray else 3)
        return reading.load_resized(paths, params.image_size, gray) if needed <= params.memory * 2**30 else None

    return pixels


def _batches(
    params: ImageClassifierParams,
    rows: DataFrame,
    labels: np.ndarray,
    pixels: Pixels,
    gray: bool,
    runtime: Runtime,
    balance: np.ndarray | None,
) -> Callable[[int], Any]:
    paths = tuple(rows["path"])
    kept = pixels(paths)
    drop_last = len(rows) > params.batch_size  # statistics of batch norm suffer from a small last batch
    if kept is not None and params.augmentation == "none":
        tensors = torch.from_numpy(kept).to(runtime.device), torch.from_numpy(labels).to(runtime.device)
        return batches.in_memory(tensors, params.batch_size, runtime.seed, drop_last=drop_last, balance=balance)
    image_of: Callable[[int], np.ndarray] = (
        partial(_read, paths, params.image_size, gray) if kept is None else partial(_in_memory, kept)
    )
    item = partial(
        _sample,
        image_of=image_of,
        pipeline=augmentation.pipeline(params.augmentation, params.image_size),
        seed=runtime.seed,
        ids=augmentation.distinct_ids(rows["id"]),
        labels=labels,
    )
    return batches.from_dataset(
        item, len(rows), params.batch_size, runtime.seed, runtime.workers, drop_last=drop_last, balance=balance
    )


def _sample(
    epoch: int,
    position: int,
    *,
    image_of: Callable[[int], np.ndarray],
    pipeline: Compose,
    seed: int,
    ids: Sequence,
    labels: np.ndarray,
) -> tuple[np.ndarray, Any]:
    """Return one augmented image of an epoch, uint8 (size, size, c), and its label or labels."""
    changed = augmentation.apply(pipeline, seed, epoch, ids[position], image=image_of(position))
    return changed["image"], labels[position]


def _in_memory(pixels: np.ndarray, position: int) -> np.ndarray:
    return pixels[position]


def _read(paths: Sequence[Path], size: int, gray: bool, position: int) -> np.ndarray:
    return reading.load_resized([paths[position]], size, gray)[0]


def _losses(
    model: nn.Module, batch: tuple[Any, ...], loss: Callable[[Tensor, Tensor], dict[str, Tensor]]
) -> dict[str, Tensor]:
    device = next(model.parameters()).device
    pixels, labels, *mixing = batch
    on_device = (part.to(device, non_blocking=True) for part in (pixels, labels))
    inputs, known = mixup.mix((*on_device, *mixing))
    return mixup.mixed_loss(loss, model(inputs), known)


def _head(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of the classifier; none if the network has no `get_classifier`."""
    classifiers = getattr(model.network, "get_classifier", nn.Identity)()
    classifiers = classifiers if isinstance(classifiers, tuple) else (classifiers,)  # distilled models have two
    return [value for classifier in classifiers for value in classifier.parameters()]


def _optimizer(params: ImageClassifierParams, model: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW with a separate group for the parameters of the classifier, if there are any."""
    head = _head(model)
    known = set(map(id, head))
    backbone = [value for value in model.parameters() if id(value) not in known]
    groups = [
        {"name": "backbone", "params": backbone, "lr": params.learning_rate},
        {"name": "head", "params": head, "lr": params.learning_rate * params.head_factor},
    ]
    filled = [group for group in groups if group["params"]]
    return AdamW(filled, weight_decay=params.weight_decay, fused=True)


def _predict(
    params: ImageClassifierParams,
    pixels: Pixels,
    gray: bool,
    targets: Targets,
    model: nn.Module,
    finished: None,
    rows: DataFrame,
) -> np.ndarray:
    """Return probabilities, float64, as `targets.predictions` says."""
    paths, device = tuple(rows["path"]), next(model.parameters()).device
    parts = []
    for _, chunk in _chunks(params, pixels, gray, paths, device):
        views = make_views(chunk, params.views)
        parts.append(torch.stack([targets.probabilities(model(view).cpu().double()) for view in views]).mean(0))
    return targets.predictions(torch.cat(parts).numpy())  # in float32 probabilities near 1 would be ties


def _chunks(
    params: ImageClassifierParams, pixels: Pixels, gray: bool, paths: tuple[Path, ...], device: torch.device
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the pixels of successive rows on the device, as many as a forward pass takes."""
    kept = pixels(paths)
    for part in batches.prediction_batches(len(paths), params.batch_size, params.image_size, device):
        chunk = reading.load_resized(paths[part], params.image_size, gray) if kept is None else kept[part]
        yield part, torch.from_numpy(chunk).to(device)


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
        loss(model(chunk).cpu().double(), known[part]) for part, chunk in _chunks(params, pixels, gray, paths, device)
    ]
    return torch.cat(found).numpy()
