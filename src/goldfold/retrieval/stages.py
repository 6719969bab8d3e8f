"""What the stages of an embedder are built from, SimSiam's stage, and what a metric loss takes as right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, count, islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from goldfold.competition import Runtime, Stage
from goldfold.data import neighbors
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation
from goldfold.images import reading as images
from goldfold.nn import batches
from goldfold.optional_parts import UntrainedLoss
from goldfold.retrieval import losses as metric_losses
from goldfold.retrieval import pseudo_labels, simsiam, two_views
from goldfold.retrieval.network import Embedder
from goldfold.retrieval.parameters import EmbedderParams

FIRST_BATCHES = 4  # by which the loss of the network as it was built is known


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table that say more than `path`; None where there is none."""

    label: str | None
    sequence: str | None
    time: str | None
    category: str | None


@dataclass(frozen=True)
class Fold:
    """What the stages of one fit are built from; rows are numbered from 0."""

    params: EmbedderParams
    rows: pd.DataFrame
    runtime: Runtime
    columns: Columns
    grey: bool

    def order(self, reason: str) -> tuple[np.ndarray, np.ndarray]:
        """Which sequence each row is of, int64 (n,), and its time, float64 (n,)."""
        if self.columns.sequence is None or self.columns.time is None:
            raise GoldfoldError(
                f"{reason} needs to know how frames follow each other, and this recipe names no sequence and time: "
                "give it the columns, or leave it out"
            )
        line = neighbors.timeline(self.rows[self.columns.sequence], self.rows[self.columns.time])
        return line.sequences, line.times

    @cached_property
    def frames(self) -> two_views.Frames:
        """The images as their files have them, decoded once for both stages."""
        return two_views.frames(self.rows["path"], self.grey, self.params.memory)

    def views(self, change: str) -> two_views.Views:
        """Views of the rows under the augmentation called `change`."""
        params, size, ids = self.params, self.params.image_size, self.rows["id"].tolist()
        if change == "simsiam":
            drawn = {"crop": params.crop, "strength": params.strength, "flip": params.flip, "grey": self.grey}
            return two_views.Views(self.frames, ids, two_views.pipeline(size, **drawn), self.runtime.seed)
        resized = two_views.frames(self.rows["path"], self.grey, params.memory, size)
        return two_views.Views(resized, ids, augmentation.pipeline(change, size), self.runtime.seed)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Rows of a fold that a metric loss learns from, and what is right for one another; all (m,).

    rows: int64 positions; codes: int64 from 0, None where each row's own views are right for one another alone.
    """

    rows: np.ndarray
    codes: np.ndarray | None

    @property
    def classes(self) -> int:
        return 0 if self.codes is None else int(self.codes.max()) + 1


def siamese(fold: Fold) -> Stage:
    """SimSiam on all rows."""
    params, runtime = fold.params, fold.runtime
    ahead = two_views.ahead(*fold.order("temporal_weight"), params.temporal_step) if params.temporal_weight else None
    if ahead is not None and not (ahead >= 0).any():
        raise GoldfoldError(
            f"temporal_weight needs frames that are followed, and none has another {params.temporal_step:g} later: "
            "change temporal_step"
        )
    item = two_views.TwoViews(fold.views("simsiam"), ahead)
    size, n = params.simsiam_batch_size, len(fold.rows)
    drawn = batches.from_dataset(item, n, size, runtime.seed, runtime.workers, drop_last=n > size)
    losses = partial(_siamese_losses, params.temporal_weight, runtime.device)
    return Stage(
        name="simsiam",
        epochs=params.simsiam_epochs,
        batches=drawn,
        losses=losses,
        optimizer=partial(_siamese_optimizer, params),
        schedule=partial(
            simsiam.schedule, planned=params.simsiam_schedule_epochs, fixed_predictor=params.fixed_predictor_rate
        ),
        schedule_per="epoch",
        untrained_loss=partial(_as_built, drawn, losses),
    )


def _siamese_losses(
    temporal_weight: float, device: torch.device, model: nn.Module, batch: Sequence[Tensor]
) -> Mapping[str, Tensor]:
    *views, known = [part.to(device, non_blocking=True) for part in batch] + ([None] if len(batch) == 2 else [])
    return simsiam.terms(model(*views), temporal_weight, known)


def _siamese_optimizer(params: EmbedderParams, model: Embedder) -> torch.optim.Optimizer:
    """The predictor is a group of its own: its rate may stay where the others fall."""
    groups = [
        {"params": list(chain(model.backbone.parameters(), model.projector.parameters()))},
        {"params": list(model.predictor.parameters())},
    ]
    rate = params.simsiam_learning_rate or simsiam.learning_rate(params.simsiam_batch_size)
    decay, momentum = params.simsiam_weight_decay, params.simsiam_momentum
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, weight_decay=decay)


def _as_built(drawn: Callable[[int], Any], losses: Callable, model: nn.Module) -> dict[str, UntrainedLoss]:
    """The losses of a network that nobody has trained yet, on the first batches."""
    with torch.no_grad():
        some = islice(chain.from_iterable(map(drawn, count())), FIRST_BATCHES)
        values = [losses(model, batch) for batch in some]
    batches_an_epoch = len(drawn(0))
    return {
        term: metric_losses.of_epoch(torch.stack([each[term].cpu() for each in values]), batches_an_epoch)
        for term in values[0]
    }


def labelled(fold: Fold) -> Labelled:
    """What the metric loss takes as right; refused where no two rows are right for one another."""
    if fold.params.labels == "views":
        return Labelled(rows=np.arange(len(fold.rows)), codes=None)
    if fold.params.labels == "pseudo":
        return Labelled(rows=np.arange(len(fold.rows)), codes=_pseudo(fold))
    if fold.columns.label is None:
        raise GoldfoldError("labels=true needs labels, and this recipe names no column with them: choose labels=views")
    codes, known = pd.factorize(fold.rows[fold.columns.label])
    counts = np.bincount(codes[codes >= 0], minlength=1)
    if len(known) < 2 or counts.max() < 2:
        raise GoldfoldError(
            f"a metric loss needs two labels, one of them twice, and the column '{fold.columns.label}' has "
            f"{len(known)} labels, each at most {counts.max()} times: choose labels=views or metric_epochs=0"
        )
    return Labelled(rows=np.flatnonzero(codes >= 0), codes=codes[codes >= 0].astype(np.int64))


def _pseudo(fold: Fold) -> np.ndarray:
    params, size = fold.params, fold.params.image_size
    frames = images.load_resized(list(fold.rows["path"]), size, gray=True)[..., 0]
    reference = images.resize(images.read(params.reference, gray=True), size)[..., 0]
    return pseudo_labels.find(
        frames,
        *fold.order("labels=pseudo"),
        reference,
        smooth=params.motion_smooth,
        motion_percentile=params.motion_percentile,
        shortest=params.stable_frames,
        likeness_percentile=params.likeness_percentile,
        side=params.likeness_side,
    ).labels
