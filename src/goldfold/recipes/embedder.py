"""An embedder of images: SimSiam without labels, then FastAP or another metric loss, each stage optional.

Predictions are embeddings, float32 (n, d), to be compared by their cosines; rows of one fold share a space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.errors import GoldfoldError
from goldfold.params import mark_unused, with_defaults
from goldfold.recipes.exports import images as exported
from goldfold.retrieval import losses as metric_losses
from goldfold.retrieval.cosines import concatenate_fits
from goldfold.retrieval.inference import Inference
from goldfold.retrieval.metric_stage import metric_stage
from goldfold.retrieval.network import Embedder, create_backbone, create_embedder, feature_width
from goldfold.retrieval.parameters import EmbedderParams
from goldfold.retrieval.simsiam_stage import simsiam_stage
from goldfold.retrieval.training_rows import Columns, TrainingRows, labeled_rows

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn


def recipe(
    label: str | None = None,
    *,
    sequence: str | None = None,
    time: str | None = None,
    category: str | None = None,
    network: Callable[[], nn.Module] | None = None,
    gray: bool = False,
    **defaults: Any,
) -> Recipe:
    """The recipe for rows with a column `path`.

    label: a column whose equal values are right for one another; rows without a value are learnt from by SimSiam alone.
    sequence, time: columns that order frames, which parameters such as `neighbors` need.
    category: a column with the kind a label is of, for `sampler=two_category`.
    network: () -> a module from pixels (n, c, h, w) in [-1, 1] to features (n, f); takes timm's place.
    gray: whether images have one channel instead of three.
    defaults: of `EmbedderParams`, as the competition's baseline wants them.
    """
    defaults = {"labels": "true" if label else "views", **defaults}
    columns = Columns(label=label, sequence=sequence, time=time, category=category)
    build = partial(_build, columns=columns, network=network, gray=gray)
    params = with_defaults(EmbedderParams, **defaults)
    if network is not None:
        params = mark_unused(params, "the recipe has a network of its own", "backbone", "pretrained")
    return Recipe(
        params=params,
        build=build,
        combine=concatenate_fits,
        pooled=False,
        columns=("path", *filter(None, (label, sequence, time, category))),
        example=lambda params, rows, _: np.ones((rows, params.projector_output_dim), np.float32),
    )


def _build(
    params: EmbedderParams,
    rows: DataFrame,
    runtime: Runtime,
    *,
    columns: Columns,
    network: Callable[[], nn.Module] | None,
    gray: bool,
) -> Plan:
    if len(rows) < 2:
        raise GoldfoldError(
            "fold_too_small",
            f"an embedder compares images and this fold has {len(rows)}: add images, or use fewer folds",
        )
    training = TrainingRows(params, rows.reset_index(drop=True), runtime, columns, gray)
    labeled = labeled_rows(training) if params.metric_epochs else None
    model = _model(params, network, 1 if gray else 3, labeled.classes if labeled else 0).to(runtime.device)
    inference = Inference(params.image_size, gray, params.memory)
    if network is None and params.pretrained and not gray and not _trains_backbone(params):
        inference = inference.with_cached_backbone(model, runtime)
    stages = [simsiam_stage(training)] if params.simsiam_epochs else []
    stages += [metric_stage(training, labeled, inference.inputs)] if labeled else []
    plan = inference.plan(model, stages, rows, runtime.seed)
    export = exported.export(params.image_size, gray, lambda model: model, combine=exported.side_by_side)
    return replace(plan, export=export)


def _trains_backbone(params: EmbedderParams) -> bool:
    return params.simsiam_epochs > 0 or (params.metric_epochs > 0 and not params.freeze_backbone)


def _model(params: EmbedderParams, network: Callable[[], nn.Module] | None, channels: int, classes: int) -> Embedder:
    parts = create_backbone(network, params.backbone, params.pretrained, channels, params.image_size)
    metric = partial(_metric, params, classes) if params.metric_epochs else None
    model = create_embedder(
        parts,
        feature_width(*parts, params.image_size, channels),
        hidden=params.projector_dim,
        out=params.projector_output_dim,
        siamese=params.simsiam_epochs > 0,
        embedding=params.embedding,
        metric=metric,
    )
    if not params.simsiam_epochs:  # what no stage trains says so
        model.backbone.requires_grad_(_trains_backbone(params))
        if model.projector is not None:
            model.projector.requires_grad_(not params.freeze_projector)
    return model


def _metric(params: EmbedderParams, classes: int, width: int) -> metric_losses.MetricLoss:
    margin = {"margin": params.margin} if params.margin is not None else {}
    return metric_losses.create(
        params.metric_loss,
        classes=classes,
        width=width,
        miner=params.miner,
        bins=params.bins,
        kernel=params.kernel,
        sigma=params.sigma,
        **margin,
    )
