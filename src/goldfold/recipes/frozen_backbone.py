"""Image classification with a frozen backbone: features are computed once per image, and a small head is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images.views import VIEWS, View
from goldfold.nn import backbones, batches, feature_cache, mixup, schedules
from goldfold.optional_parts import Export, Monitored
from goldfold.params import with_defaults
from goldfold.recipes.classification import optimizers, table_columns
from goldfold.recipes.classification.image_params import FrozenBackboneParams
from goldfold.recipes.classification.table_columns import StandardizedColumns, TableColumns
from goldfold.recipes.exports import images as exported
from goldfold.recipes.targets import Targets, create, kept_back

if TYPE_CHECKING:
    from pandas import DataFrame

    Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]


def recipe(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
    values: str | Sequence[str] | None = None,
    ordered: bool = False,
    group: str | None = None,
    **defaults: Any,
) -> Recipe:
    """Return the recipe for rows with a column `path` and labels in the column `target`, or in several columns.

    classes: all labels, in the order of the predictions: (n,) probabilities of the second of two classes, otherwise
        (n, classes). `ClassLossParams` are parameters, too.
    targets: instead of `target` and `classes`, columns of 0 and 1: a row may have several labels. Predictions are
        (n, labels) independent probabilities in this order; `LabelLossParams` are parameters, too.
    values: instead, a numeric column or several. Predictions are (n,) or (n, columns) numbers; `ValueLossParams`.
    ordered: whether `classes` ascend, such as grades: ordinal regression, with `OrderedLossParams`.
    group: a column whose values are not on both sides when rows are kept back, as in the competition's folds.
    defaults: defaults of `FrozenBackboneParams` for this competition.
    """
    labels = create(target, classes, targets, values=values, ordered=ordered, by_row=True)
    return Recipe(
        params=with_defaults(labels.params(FrozenBackboneParams), **defaults),
        build=partial(_build, targets=labels, group=group),
        labels=labels.declared,
        columns=("path", *labels.columns, *([group] if group else [])),
        example=lambda params, rows, classes: labels.example(rows),
        check=lambda params, train, test: table_columns.check(params, labels.columns, train, test),
        accepts=labels.accepts,
    )


def _build(
    params: FrozenBackboneParams, rows: DataFrame, runtime: Runtime, targets: Targets, group: str | None
) -> Plan:
    back = kept_back.which(targets, rows, params.monitor_share, runtime.seed, group)
    beside = table_columns.fit(params, rows[~back], runtime.seed)
    inputs_of = partial(_inputs, _views(params, runtime), beside)
    columns = beside.width if beside else 0
    plan = plan_of_features(
        params, rows, runtime, targets, inputs_of, back=back, columns=columns, export=partial(_export, params, beside)
    )
    return replace(plan, kept=table_columns.kept(beside))


def _export(params: FrozenBackboneParams, beside: TableColumns | None, targets: Targets) -> Export:
    return exported.export(
        params.image_size,
        False,
        partial(exported.Head, targets=targets),
        shared=lambda: exported.Features(_tower(params), params.views),
        refused=table_columns.not_exported(beside),
    )


def plan_of_features(
    params: Any,
    rows: DataFrame,
    runtime: Runtime,
    targets: Targets,
    inputs_of: Callable[[DataFrame], Tensor],
    *,
    back: np.ndarray | None = None,
    columns: int = 0,
    export: Callable[[Targets], Export] | None = None,
) -> Plan:
    """Return the plan of a head on frozen features.

    params: with `hidden`, `dropout`, `mixup` and the parameters of training. inputs_of: rows -> features of each view,
        (n, views, d), on the runtime's device; in training each view is a sample, and predictions are their mean.
    back: bool (n,), rows that are kept back to be monitored; None: none. columns: how many of the d, the last ones, are
        columns of the table. export: fitted targets -> `Plan.export`.
    """
    back = np.zeros(len(rows), bool) if back is None else back
    inputs, labels = inputs_of(rows), targets.labels(rows)
    known = torch.from_numpy(labels).to(runtime.device)
    samples = inputs[torch.from_numpy(~back).to(inputs.device)] if back.any() else inputs
    labels = labels[~back]
    targets = targets.fitted(labels)
    row_losses = partial(_row_losses, inputs, known, targets.row_losses(params, labels))
    return Plan(
        model=Head(samples.flatten(0, 1), params.hidden, targets.outputs, params.dropout, columns),
        stages=[replace(_stage(params, samples, labels, runtime.seed, targets), row_losses=row_losses)],
        predict=partial(_predict, inputs_of, targets),
        monitor=partial(_monitor, row_losses, back) if back.any() else None,
        export=export(targets) if export else None,
    )


def _inputs(views_of: Callable[[tuple], Tensor], beside: TableColumns | None, rows: DataFrame) -> Tensor:
    """The inputs of the head, (n, views, d): features of each view, and the columns beside the image."""
    features = views_of(tuple(rows["path"]))
    if beside is None:
        return features
    numbers = beside(rows).to(features)
    return torch.cat([features, numbers[:, None].expand(-1, features.shape[1], -1)], dim=2)


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
    )


def _row_losses(
    features: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor], model: nn.Module
) -> np.ndarray:
    """Return the losses of the training rows, float64 (n,), each a mean over its views. labels: of the rows."""
    logits = model(features).flatten(0, 1).cpu().double()
    known = labels.cpu().repeat_interleave(features.shape[1], dim=0)
    return loss(logits, known).reshape(features.shape[:2]).mean(1).numpy()


def _monitor(row_losses: Callable[[nn.Module], np.ndarray], back: np.ndarray, model: nn.Module) -> dict[str, Monitored]:
    """The loss of the rows kept back. back: which of the training rows they are, (n,)."""
    return {kept_back.MONITORED: Monitored(float(row_losses(model)[back].mean()), False)}


def _losses(model: nn.Module, batch: tuple[Any, ...], loss: Loss) -> dict[str, Tensor]:
    features, labels = mixup.mix(batch)
    return mixup.mixed_loss(loss, model(features), labels)


def _predict(
    inputs_of: Callable[[DataFrame], Tensor], targets: Targets, model: nn.Module, finished: None, rows: DataFrame
) -> np.ndarray:
    """Return probabilities averaged over views, float64, as `targets.predictions` says."""
    logits = model(inputs_of(rows)).cpu().double()  # in float32 probabilities near 1 would be ties
    return targets.predictions(targets.probabilities(logits).mean(1).numpy())


class Head(nn.Module):
    """Features (..., d) -> logits (..., classes); features are standardized by the statistics of `samples`.

    columns: how many of the features, the last ones, are of the table. They have weights of their own in the first
        layer, which start at 0, so that weights of a run without columns are a start, too.
    """

    may_start_anew = ("columns",)  # as `table_columns.WithColumns` does
    mean: Tensor
    std: Tensor

    def __init__(self, samples: Tensor, hidden: int, classes: int, dropout: float, columns: int = 0) -> None:
        super().__init__()
        samples, beside = samples.split([samples.shape[1] - columns, columns], dim=1)
        self.register_buffer("mean", samples.mean(0))
        std = samples.std(0, correction=0)
        self.register_buffer("std", torch.where(std > 1e-6, std, 1.0))  # constant features must not be amplified
        self.columns = StandardizedColumns(beside, hidden or classes, dropout) if columns else None
        width = samples.shape[1]
        layers = [nn.Dropout(dropout), nn.Linear(width, hidden), nn.GELU()] if hidden else []
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(hidden or width, classes))

    def forward(self, features: Tensor) -> Tensor:
        if self.columns is None:
            return self.layers((features - self.mean) / self.std)
        width = len(self.mean)
        image, beside = (features[..., :width] - self.mean) / self.std, features[..., width:]
        drop, first, *others = self.layers
        return nn.Sequential(*others)(first(drop(image)) + self.columns(beside))


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
            mean = values.mean((2, 3), keepdim=True)
            std = (values - mean).square().mean((2, 3)).sqrt()  # a quarter of the time of `std` on channels-last maps
            pooled += [mean.flatten(1), std]
        return torch.cat(pooled, dim=1)
