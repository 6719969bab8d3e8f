"""Image embeddings by metric learning: SimSiam without labels, then FastAP or another metric loss; both are optional.

Predictions are embeddings, float32 (n, d), compared by cosine similarity. Each fold has its own embedding space.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import create_model

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.errors import GoldfoldError
from goldfold.io import seeding
from goldfold.params import with_defaults
from goldfold.recipes.embedder_params import EmbedderParams
from goldfold.retrieval import losses, metric_stage, search
from goldfold.retrieval import network as embedding_networks
from goldfold.retrieval import stages as embedding_stages
from goldfold.retrieval.network import Embedder
from goldfold.retrieval.readout import Readout
from goldfold.retrieval.stages import Columns, Fold

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

MONITORED = 200  # training rows whose embeddings are monitored for collapse


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
    """Return the recipe for rows with a column `path`.

    label: column whose equal values make positive pairs; rows without a value are used by SimSiam only.
    sequence, time: columns that order frames in time; parameters such as `neighbors` need them.
    category: column with the category of each label, for `sampler=two_category`.
    network: () -> a module from pixels (n, c, h, w) in [-1, 1] to features (n, f), used instead of a timm model.
    gray: whether images have one channel instead of three.
    defaults: defaults of `EmbedderParams` for this competition.
    """
    defaults = {"labels": "true" if label else "views", **defaults}
    columns = Columns(label=label, sequence=sequence, time=time, category=category)
    build = partial(_build, columns=columns, network=network, gray=gray)
    if network is not None:
        defaults = {"pretrained": False, **defaults}
    params = with_defaults(EmbedderParams, **defaults)
    if network is not None:  # a custom network has no pretrained weights
        params = create_model("EmbedderParams", __base__=params, pretrained=(Literal[False], False))
    return Recipe(params=params, build=build, combine=search.side_by_side, pooled=False)


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
            f"an embedder compares images, but this fold has {len(rows)}: add images, or use fewer folds",
        )
    fold = Fold(params, rows.reset_index(drop=True), runtime, columns, gray)
    labeled = embedding_stages.labelled(fold) if params.metric_epochs else None
    model = _model(params, network, 1 if gray else 3, labeled.classes if labeled else 0).to(runtime.device)
    readout = Readout(params.image_size, gray, params.memory)
    if network is None and params.pretrained and not gray and not _trains_backbone(params):
        readout = readout.through(model, runtime)
    stages = [embedding_stages.siamese(fold)] if params.simsiam_epochs else []
    stages += [metric_stage.metric(fold, labeled, readout.seen)] if labeled else []
    monitored = np.random.default_rng(seeding.derive(runtime.seed, "watched")).permutation(len(rows))[:MONITORED]
    return Plan(
        model=model,
        stages=stages,
        predict=readout.predict,
        monitor=partial(readout.monitor, tuple(rows["path"].iloc[np.sort(monitored)])),
        pictures=partial(readout.pictures, tuple(rows["path"])),
    )


def _trains_backbone(params: EmbedderParams) -> bool:
    return params.simsiam_epochs > 0 or (params.metric_epochs > 0 and not params.freeze_backbone)


def _model(params: EmbedderParams, network: Callable[[], nn.Module] | None, channels: int, classes: int) -> Embedder:
    parts = embedding_networks.towers(network, params.backbone, params.pretrained, channels)
    metric = partial(_metric, params, classes) if params.metric_epochs else None
    model = embedding_networks.network(
        parts,
        embedding_networks.features_of(*parts, params.image_size, channels),
        hidden=params.projector_dim,
        out=params.projected,
        siamese=params.simsiam_epochs > 0,
        embedding=params.embedding,
        metric=metric,
    )
    if not params.simsiam_epochs:  # weights that no stage trains need no gradients
        model.backbone.requires_grad_(_trains_backbone(params))
        if model.projector is not None:
            model.projector.requires_grad_(not params.freeze_projector)
    return model


def _metric(params: EmbedderParams, classes: int, width: int) -> losses.Loss:
    margin = {"margin": params.margin} if params.margin is not None else {}
    return losses.create(
        params.metric_loss,
        classes=classes,
        width=width,
        miner=params.miner,
        bins=params.bins,
        kernel=params.kernel,
        sigma=params.sigma,
        **margin,
    )
