"""Image classification trained end to end: a fine-tuned timm model, or a custom network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images.views import make_views
from goldfold.nn import backbones, mixup, schedules
from goldfold.optional_parts import Monitored
from goldfold.params import mark_unused, with_defaults
from goldfold.recipes.classification import optimizers, samples, table_columns
from goldfold.recipes.classification.image_params import ImageClassifierParams
from goldfold.recipes.exports import images as exported
from goldfold.recipes.targets import Targets, create, kept_back

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.recipes.classification.samples import Pipeline, Pixels

    Network = Callable[[int], nn.Module]
    Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]


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
    group: str | None = None,
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
    group: a column whose values are not on both sides when rows are kept back, as in the competition's folds.
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
        build=partial(_build, targets=labels, network=network, pipeline=pipeline, gray=gray, group=group),
        labels=labels.declared,
        columns=("path", *labels.columns, *([group] if group else [])),
        example=lambda params, rows, classes: labels.example(rows),
        check=lambda params, train, test: table_columns.check(params, labels.columns, train, test),
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
    group: str | None,
) -> Plan:
    back = kept_back.which(targets, rows, params.monitor_share, runtime.seed, group)
    fit, kept = rows[~back].reset_index(drop=True), rows[back].reset_index(drop=True)
    beside = table_columns.fit(params, fit, runtime.seed)
    model = _model(params, targets.outputs, network, 1 if gray else 3, beside)
    _check_head(params, model)
    labels = targets.labels(fit)
    targets = targets.fitted(labels)
    images = Images(params, samples.pixels_reader(params, gray), gray, beside)
    of_epoch = samples.of_epochs(
        params,
        fit,
        (labels, targets.balance(params, labels)),
        images.pixels,
        runtime,
        gray=gray,
        pipeline=pipeline,
        beside=beside(fit).numpy() if beside else None,
    )
    row_losses = partial(_row_losses, images, targets, targets.row_losses(params, labels))
    stage = Stage(
        name="fit",
        epochs=params.epochs,
        batches=mixup.batches(of_epoch, params.mixup, runtime.seed, params.cutmix),
        losses=partial(_losses, loss=targets.loss(params, labels)),
        optimizer=lambda model: optimizers.fine_tuning(params, model.get_submodule("network"), _columns_of(model)),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(row_losses, rows),
    )
    return Plan(
        model=model,
        stages=[*_head_stage(params, stage), stage],
        predict=partial(_predict, images, targets),
        monitor=partial(_monitor, row_losses, kept) if len(kept) else None,
        export=exported.export(
            params.image_size,
            gray,
            partial(exported.Classifier, views=params.views, targets=targets),
            refused=table_columns.not_exported(beside),
        ),
        kept=table_columns.kept(beside),
    )


@dataclass(frozen=True)
class Images:
    """Images of rows as inputs of a model, with the columns beside them, if there are any."""

    params: ImageClassifierParams
    pixels: Pixels
    gray: bool
    beside: table_columns.TableColumns | None

    def chunks(self, rows: DataFrame, device: torch.device) -> Iterator[tuple[slice, Tensor, Callable[[Tensor], Any]]]:
        """Yield pixels of successive rows on the device, and what makes inputs of them, or of another view."""
        numbers = self.beside(rows).to(device) if self.beside else None
        for part, pixels in samples.chunks(self.params, self.pixels, self.gray, tuple(rows["path"]), device):
            own = None if numbers is None else numbers[part]
            yield part, pixels, partial(_with_columns, own)


def _with_columns(own: Tensor | None, pixels: Tensor) -> Any:
    return pixels if own is None else (pixels, own)


def _columns_of(model: nn.Module) -> list[nn.Parameter]:
    """Weights of the columns beside the image; none without columns."""
    return list(model.columns.parameters()) if isinstance(model, table_columns.WithColumns) else []


def _head_stage(params: ImageClassifierParams, stage: Stage) -> list[Stage]:
    """The stage before `stage` in which the classifier layer alone is trained, if there is one."""
    if not params.freeze_epochs:
        return []
    head = replace(
        stage,
        name="head",
        epochs=params.freeze_epochs,
        batches=lambda epoch: stage.batches(params.epochs + epoch),  # other orders and shares than those of `stage`
        optimizer=lambda model: optimizers.head_alone(params, model.get_submodule("network"), _columns_of(model)),
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


def _model(
    params: ImageClassifierParams,
    classes: int,
    network: Network | None,
    channels: int,
    beside: table_columns.TableColumns | None,
) -> nn.Module:
    """Create the module from pixels uint8 (n, h, w, c), and columns if there are any, to logits (n, classes)."""
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
    model = nn.Sequential(OrderedDict(normalize=backbones.Normalize(mean, std), network=net))
    if beside is None:
        return model
    return table_columns.WithColumns(model, beside.width, classes, params.drop_rate if network is None else 0.0)


def _losses(model: nn.Module, batch: tuple[Any, ...], loss: Loss) -> dict[str, Tensor]:
    device = next(model.parameters()).device
    inputs, labels, *mixing = batch
    parts = (inputs,) if isinstance(inputs, Tensor) else inputs
    moved = tuple(part.to(device, non_blocking=True) for part in (*parts, labels))
    inputs, known = mixup.mix((moved[0] if isinstance(inputs, Tensor) else moved[:-1], moved[-1], *mixing))
    return mixup.mixed_loss(loss, model(inputs), known)


def _predict(images: Images, targets: Targets, model: nn.Module, finished: None, rows: DataFrame) -> np.ndarray:
    """Return probabilities or numbers, float64, as `targets.predictions` says."""
    parts = []
    for _, pixels, inputs in images.chunks(rows, next(model.parameters()).device):
        views = make_views(pixels, images.params.views)
        parts.append(torch.stack([targets.probabilities(model(inputs(view)).cpu().double()) for view in views]).mean(0))
    return targets.predictions(torch.cat(parts).numpy())  # in float32 probabilities near 1 would be ties


def _row_losses(
    images: Images,
    targets: Targets,
    loss: Callable[[Tensor, Tensor], Tensor],
    rows: DataFrame,
    model: nn.Module,
) -> np.ndarray:
    """Return the losses of rows with their targets, float64 (n,), of their images as they are."""
    known, device = torch.from_numpy(targets.labels(rows)), next(model.parameters()).device
    found = [
        loss(model(inputs(pixels)).cpu().double(), known[part]) for part, pixels, inputs in images.chunks(rows, device)
    ]
    return torch.cat(found).numpy()


def _monitor(
    row_losses: Callable[[DataFrame, nn.Module], np.ndarray], kept: DataFrame, model: nn.Module
) -> dict[str, Monitored]:
    """The loss of the rows kept back."""
    return {kept_back.MONITORED: Monitored(float(row_losses(kept, model).mean()), False)}
