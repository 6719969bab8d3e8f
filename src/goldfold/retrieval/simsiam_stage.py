"""The stage of an embedder that trains SimSiam on all rows, without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.competition import Stage
from goldfold.errors import GoldfoldError
from goldfold.nn import batches
from goldfold.nn.optimizers import SGD
from goldfold.optional_parts import UntrainedLoss
from goldfold.retrieval import losses as metric_losses
from goldfold.retrieval import simsiam, two_views
from goldfold.retrieval.network import Embedder
from goldfold.retrieval.parameters import EmbedderParams
from goldfold.retrieval.training_rows import TrainingRows

UNTRAINED_BATCHES = 4  # batches that estimate the loss before training


def simsiam_stage(training: TrainingRows) -> Stage:
    """Create the stage that trains SimSiam on all rows.

    Raises GoldfoldError if `temporal_weight` is set and no frame has a later one.
    """
    params, runtime = training.params, training.runtime
    later = _later_frames(training) if params.temporal_weight else None
    item = two_views.TwoViews(training.random_views("simsiam"), later)
    size, n = params.simsiam_batch_size, len(training.rows)
    epoch_batches = batches.from_dataset(item, n, size, runtime.seed, runtime.workers, drop_last=n > size)
    losses = partial(_losses, params.temporal_weight, runtime.device)
    return Stage(
        name="simsiam",
        epochs=params.simsiam_epochs,
        batches=epoch_batches,
        losses=losses,
        optimizer=partial(_optimizer, params),
        schedule=partial(
            simsiam.schedule, planned=params.simsiam_schedule_epochs, fixed_predictor=params.fixed_predictor_rate
        ),
        schedule_per="epoch",
        untrained_loss=partial(_untrained_loss, epoch_batches, losses),
    )


def _later_frames(training: TrainingRows) -> np.ndarray:
    """Position of the frame `temporal_step` later than each row, int64 (n,)."""
    step = training.params.temporal_step
    later = two_views.later_frames(*training.order_in_time("temporal_weight"), step)
    if not (later >= 0).any():
        raise GoldfoldError(
            "no_later_frames",
            f"temporal_weight needs later frames, and no frame has another one {step:g} later: change temporal_step",
        )
    return later


def _losses(
    temporal_weight: float, device: torch.device, model: nn.Module, batch: Sequence[Tensor]
) -> Mapping[str, Tensor]:
    """The named losses of a batch: two views, and perhaps a later frame and whether it is known."""
    tensors = [part.to(device, non_blocking=True) for part in batch]
    views, known = (tensors, None) if len(batch) == 2 else (tensors[:-1], tensors[-1])
    return simsiam.loss_terms(model(*views), temporal_weight, known)


def _optimizer(params: EmbedderParams, model: Embedder) -> torch.optim.Optimizer:
    """SGD; the predictor is a parameter group of its own, since its learning rate may stay constant."""
    assert model.projector is not None
    assert model.predictor is not None
    groups = [
        {"name": "encoder", "params": list(chain(model.backbone.parameters(), model.projector.parameters()))},
        {"name": "predictor", "params": list(model.predictor.parameters())},
    ]
    rate = params.simsiam_learning_rate or simsiam.learning_rate(params.simsiam_batch_size)
    decay, momentum = params.simsiam_weight_decay, params.simsiam_momentum
    return SGD(groups, lr=rate, momentum=momentum, weight_decay=decay)


def _untrained_loss(
    epoch_batches: Callable[[int], Any], losses: Callable, model: nn.Module
) -> dict[str, UntrainedLoss]:
    """The losses of the model before training, estimated from the first batches."""
    with torch.no_grad():
        first = islice(chain.from_iterable(map(epoch_batches, count())), UNTRAINED_BATCHES)
        values = [losses(model, batch) for batch in first]
    batches_per_epoch = len(epoch_batches(0))
    return {
        term: metric_losses.epoch_mean(torch.stack([each[term].cpu() for each in values]), batches_per_epoch)
        for term in values[0]
    }
