"""An embedder's stage of metric learning: which images meet in a batch, the loss, and what it is by chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from goldfold.competition import Stage
from goldfold.errors import GoldfoldError
from goldfold.io import seeding
from goldfold.nn import batches, schedules
from goldfold.optional_parts import UntrainedLoss
from goldfold.retrieval import batch_samplers, two_views
from goldfold.retrieval import losses as metric_losses
from goldfold.retrieval.network import Embedder
from goldfold.retrieval.parameters import EmbedderParams
from goldfold.retrieval.readout import Seen
from goldfold.retrieval.stages import Fold, Labelled

Sampled = Callable[[int], list[np.ndarray]]


def metric(fold: Fold, labelled: Labelled, seen: Seen) -> Stage:
    """A metric loss on the labelled rows; `seen` makes what the network sees of paths."""
    params = fold.params
    sampled = partial(_of_views, fold) if labelled.codes is None else _sampler(fold, labelled)
    sampled(0)  # what cannot fill a batch is refused before anything is trained
    return Stage(
        name="metric",
        epochs=params.metric_epochs,
        batches=_metric_batches(fold, labelled, seen, sampled),
        losses=partial(_metric_losses, params.metric_loss, fold.runtime.device),
        optimizer=partial(_metric_optimizer, params),
        schedule=schedules.create(params.metric_schedule, params.metric_warmup),
        untrained_loss=partial(_random_embeddings, fold, labelled, sampled),
    )


def _of_views(fold: Fold, epoch: int) -> list[np.ndarray]:
    """Rows of each batch where every one is to be told from the others."""
    params, size, seed = fold.params, fold.params.metric_batch_size // 2, fold.runtime.seed
    if not params.neighbors:
        return batch_samplers.at_random(len(fold.rows), size, seed, epoch)
    sequences, times = fold.order("neighbors")
    return batch_samplers.apart(sequences, times, 2 * params.neighbors, size, seed, epoch)


def _sampler(fold: Fold, labelled: Labelled) -> Sampled:
    """epoch -> positions among the labelled rows, batch by batch."""
    params, seed, codes = fold.params, fold.runtime.seed, labelled.codes
    size = min(params.metric_batch_size, len(codes))
    if params.sampler == "random":
        return partial(batch_samplers.at_random, len(codes), size, seed)
    if params.sampler == "m_per_class":
        return partial(batch_samplers.m_per_class, codes, params.m_per_class, size, seed)
    if fold.columns.category is None:
        raise GoldfoldError("sampler two_category needs categories and this recipe names no column: choose m_per_class")
    categories, _ = pd.factorize(fold.rows[fold.columns.category].iloc[labelled.rows])
    return partial(batch_samplers.two_categories, codes, categories, size, seed)


def _metric_batches(
    fold: Fold,
    labelled: Labelled,
    seen: Seen,
    sampled: Sampled,
) -> Callable[[int], Any]:
    params, runtime = fold.params, fold.runtime
    shares = partial(_shares, sampled)
    if params.metric_augmentation == "none":
        shown = torch.from_numpy(seen(tuple(fold.rows["path"].iloc[labelled.rows])))
        tensors = shown.to(runtime.device), torch.from_numpy(labelled.codes).to(runtime.device)
        return lambda epoch: batches.InMemory(tensors, shares(epoch))
    views = fold.views(params.metric_augmentation)
    if labelled.codes is None:
        near = two_views.near(*fold.order("neighbors"), params.neighbors) if params.neighbors else None
        item: Callable = two_views.TwoViews(views, near=near)
    else:
        item = two_views.OneView(views, labelled.rows, labelled.codes)
    drawn = batches.from_dataset(item, len(labelled.rows), 1, runtime.seed, runtime.workers)
    return lambda epoch: replace(drawn(epoch), batches=[[(epoch, int(k)) for k in some] for some in shares(epoch)])


def _shares(sampled: Sampled, epoch: int) -> list[np.ndarray]:
    """This process's part of every batch."""
    rank, world = batches.rank_and_world_size()
    return [batch[: len(batch) - len(batch) % world][rank::world] for batch in sampled(epoch)]


def _metric_losses(
    name: str, device: torch.device, model: nn.Module, batch: tuple[Tensor, Tensor]
) -> Mapping[str, Tensor]:
    first, second = (part.to(device, non_blocking=True) for part in batch)
    if second.ndim == 1:
        return {name: model(first, labels=second)}
    return {name: model(torch.cat([first, second]), labels=_of_pairs(len(first)).to(device))}


def _of_pairs(images_: int) -> Tensor:
    """Labels of images and behind them their second views, int64 (2 n,)."""
    return torch.arange(images_).repeat(2)


def _metric_optimizer(params: EmbedderParams, model: Embedder) -> torch.optim.Optimizer:
    """The backbone, then the projector where it is the embedding's, and the loss's own weights."""
    backbone = [] if params.freeze_backbone else list(model.backbone.parameters())
    projects = params.embedding == "projector" and not params.freeze_projector
    head = [*(model.projector.parameters() if projects else ()), *model.metric.parameters()]
    rates = params.metric_learning_rate, params.metric_learning_rate * params.head_factor
    groups = [{"params": part, "lr": rate} for part, rate in zip((backbone, head), rates, strict=True) if part]
    if params.metric_optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, weight_decay=params.metric_weight_decay)
    return torch.optim.AdamW(groups, weight_decay=params.metric_weight_decay)


def _random_embeddings(fold: Fold, labelled: Labelled, sampled: Sampled, model: Embedder) -> dict[str, UntrainedLoss]:
    """What the loss is of random embeddings in the first epoch's batches."""
    device, drawn = fold.runtime.device, _shares(sampled, 0)
    codes = None if labelled.codes is None else torch.from_numpy(labelled.codes)
    labels = [(_of_pairs(len(rows)) if codes is None else codes[rows]).to(device) for rows in drawn]
    width, seed = model.width, seeding.derive(fold.runtime.seed, "random embeddings")
    return {fold.params.metric_loss: metric_losses.untrained_loss(model.metric, labels, width, seed)}
