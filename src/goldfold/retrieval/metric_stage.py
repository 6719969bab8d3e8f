"""The stage of an embedder that trains with a metric loss: batches, loss, optimizer, and the loss at chance level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from goldfold.nn.optimizers import SGD, AdamW
from goldfold.optional_parts import UntrainedLoss
from goldfold.retrieval import batch_samplers, two_views
from goldfold.retrieval import losses as metric_losses
from goldfold.retrieval.batch_samplers import BatchSampler
from goldfold.retrieval.inference import InputsOf
from goldfold.retrieval.network import Embedder
from goldfold.retrieval.parameters import EmbedderParams
from goldfold.retrieval.training_rows import LabeledRows, TrainingRows


def metric_stage(training: TrainingRows, labeled: LabeledRows, inputs: InputsOf) -> Stage:
    """Create the stage that trains with a metric loss on the labeled rows.

    inputs: paths -> inputs of the network, for training without augmentation.

    Raises GoldfoldError if the batch sampler cannot fill a batch.
    """
    params = training.params
    sampler = partial(_batches_of_views, training) if labeled.codes is None else _batch_sampler(training, labeled)
    sampler(0)  # fails before the training if a batch cannot be filled
    return Stage(
        name="metric",
        epochs=params.metric_epochs,
        batches=_batches(training, labeled, inputs, sampler),
        losses=partial(_losses, params.metric_loss, training.runtime.device),
        optimizer=partial(_optimizer, params),
        schedule=schedules.create(params.metric_schedule, params.metric_warmup),
        untrained_loss=partial(_untrained_loss, training, labeled, sampler),
    )


def _batches_of_views(training: TrainingRows, epoch: int) -> list[np.ndarray]:
    """Rows of each batch if every row is a label of its own."""
    params, seed = training.params, training.runtime.seed
    size = params.metric_batch_size // 2
    if not params.neighbors:
        return batch_samplers.random_batches(len(training.rows), size, seed, epoch)
    sequences, times = training.order_in_time("neighbors")
    return batch_samplers.apart_in_time(sequences, times, 2 * params.neighbors, size, seed, epoch)


def _batch_sampler(training: TrainingRows, labeled: LabeledRows) -> BatchSampler:
    """The batch sampler that the parameter `sampler` names."""
    params, seed, codes = training.params, training.runtime.seed, labeled.codes
    assert codes is not None
    size = min(params.metric_batch_size, len(codes))
    if params.sampler == "random":
        return partial(batch_samplers.random_batches, len(codes), size, seed)
    if params.sampler == "m_per_class":
        return partial(batch_samplers.m_per_class, codes, params.m_per_class, size, seed)
    if training.columns.category is None:
        raise GoldfoldError(
            "no_category_column",
            "sampler=two_category needs a column of categories, and this recipe has none: choose sampler=m_per_class",
        )
    categories, _ = pd.factorize(training.rows[training.columns.category].iloc[labeled.rows])
    return partial(batch_samplers.two_categories, codes, categories, size, seed)


def _batches(
    training: TrainingRows, labeled: LabeledRows, inputs: InputsOf, sampler: BatchSampler
) -> Callable[[int], Any]:
    """epoch -> batches of (inputs, labels), or of two views if every row is a label of its own."""
    params, runtime = training.params, training.runtime
    if params.metric_augmentation == "none":
        assert labeled.codes is not None
        values = torch.from_numpy(inputs(tuple(training.rows["path"].iloc[labeled.rows])))
        tensors = values.to(runtime.device), torch.from_numpy(labeled.codes).to(runtime.device)
        return lambda epoch: batches.InMemory(tensors, batch_samplers.own_parts(sampler(epoch)))
    views = training.random_views(params.metric_augmentation)
    if labeled.codes is None:
        near = None
        if params.neighbors:
            near = two_views.neighbors_in_time(*training.order_in_time("neighbors"), params.neighbors)
        item: Callable = two_views.TwoViews(views, neighbors=near)
    else:
        item = two_views.OneView(views, labeled.rows, labeled.codes)
    dataset = batches.from_dataset(item, len(labeled.rows), 1, runtime.seed, runtime.workers)
    return batch_samplers.sampled(dataset, sampler)


def _losses(name: str, device: torch.device, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
    """The metric loss of a batch of inputs and labels, or of two views."""
    first, second = (part.to(device, non_blocking=True) for part in batch)
    if second.ndim == 1:
        return {name: model(first, labels=second)}
    return {name: model(torch.cat([first, second]), labels=_labels_of_views(len(first)).to(device))}


def _labels_of_views(count: int) -> Tensor:
    """Labels of `count` images followed by their second views, int64 (2 count,)."""
    return torch.arange(count).repeat(2)


def _optimizer(params: EmbedderParams, model: Embedder) -> torch.optim.Optimizer:
    """Two parameter groups: the backbone; the loss's own weights, and the projector if it gives the embedding."""
    assert model.metric is not None
    backbone = [] if params.freeze_backbone else list(model.backbone.parameters())
    trains_projector = params.embedding == "projector" and not params.freeze_projector
    projector = model.projector.parameters() if trains_projector and model.projector is not None else ()
    head = [*projector, *model.metric.parameters()]
    rates = params.metric_learning_rate, params.metric_learning_rate * params.head_factor
    parts = zip(("backbone", "head"), (backbone, head), rates, strict=True)
    groups = [{"name": name, "params": part, "lr": rate} for name, part, rate in parts if part]
    if params.metric_optimizer == "sgd":
        return SGD(groups, momentum=0.9, weight_decay=params.metric_weight_decay)
    return AdamW(groups, weight_decay=params.metric_weight_decay)


def _untrained_loss(
    training: TrainingRows, labeled: LabeledRows, sampler: BatchSampler, model: Embedder
) -> dict[str, UntrainedLoss]:
    """The loss of random embeddings in the batches of the first epoch."""
    assert model.metric is not None
    device, first_epoch = training.runtime.device, batch_samplers.own_parts(sampler(0))
    codes = None if labeled.codes is None else torch.from_numpy(labeled.codes)
    labels = [(_labels_of_views(len(rows)) if codes is None else codes[rows]).to(device) for rows in first_epoch]
    seed = seeding.derive(training.runtime.seed, "random embeddings")
    loss = metric_losses.untrained_loss(model.metric, labels, model.width, seed)
    return {training.params.metric_loss: loss}
