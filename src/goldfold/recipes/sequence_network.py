"""Sequence classification on the frames themselves: a small temporal convolution or transformer with masked pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.nn import batches, schedules
from goldfold.params import Needs, with_defaults
from goldfold.recipes.classification import optimizers
from goldfold.recipes.classification.parameters import (
    PeakRate,
    SamplesPerBatch,
    Schedule,
    TrainingEpochs,
    Warmup,
    WeightDecay,
)
from goldfold.recipes.targets import Targets, create
from goldfold.sequences import inputs, windows
from goldfold.sequences.parameters import WindowParams
from goldfold.sequences.scaler import Scaler

if TYPE_CHECKING:
    from pandas import DataFrame

    Frames = Callable[[tuple[Path, ...]], list[tuple[np.ndarray, np.ndarray]]]


class SequenceNetworkParams(WindowParams):
    """Preparation of windows, network and training."""

    network: Literal["convolution", "transformer"] = Field(
        "convolution", description="dilated convolutions over time, or self-attention with sinusoidal positions"
    )
    channels: int = Field(64, ge=2, multiple_of=2, description="channels of a frame inside the network")
    layers: int = Field(3, ge=1, description="number of blocks; convolutions double their dilation from block to block")
    kernel: Annotated[int, Needs(network="convolution")] = Field(5, ge=1, description="frames of a convolution, odd")
    heads: Annotated[int, Needs(network="transformer")] = Field(
        4, ge=1, description="attention heads, a divisor of channels"
    )
    max_frames: int = Field(512, ge=1, description="longest window, in frames; longer ones are thinned evenly")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout rate in each block and before the classifier")
    epochs: TrainingEpochs = 30
    batch_size: SamplesPerBatch = 32
    learning_rate: PeakRate = 1e-3
    weight_decay: WeightDecay = 1e-4
    schedule: Schedule = "cosine"
    warmup: Warmup = 0.1


def recipe(
    target: str | None = None, classes: Sequence | None = None, *, targets: Sequence[str] | None = None, **defaults: Any
) -> Recipe:
    """Return the recipe for rows whose column `path` holds windows, and labels in `target`, or in several columns.

    classes: all labels, in the order of predictions: (n,) probabilities of the second of two, otherwise (n, classes).
        `ClassLossParams` are parameters, too.
    targets: instead of `target` and `classes`, columns of 0 and 1; predictions are (n, labels) probabilities.
    defaults: defaults of `SequenceNetworkParams` for this competition.
    """
    labels = create(target, classes, targets)
    return Recipe(
        params=with_defaults(labels.params(SequenceNetworkParams), **defaults),
        build=partial(_build, targets=labels),
        labels=labels.declared,
        columns=("path", *labels.columns),
        example=lambda params, rows, classes: labels.example(rows),
        accepts=labels.accepts,
        check=_check,
    )


def _check(params: SequenceNetworkParams, train: DataFrame, test: DataFrame) -> None:
    if params.network == "convolution" and params.kernel % 2 == 0:
        raise GoldfoldError(
            "kernel_even", f"kernel must be odd, so that a frame is in the middle, got {params.kernel}: add 1"
        )
    if params.network == "transformer" and params.channels % params.heads:
        raise GoldfoldError(
            "heads_not_a_divisor",
            f"heads must divide channels, got {params.heads} and {params.channels}: use heads=4 with channels=64, say",
        )
    inputs.check_tables(params, train, test)


def _build(params: SequenceNetworkParams, rows: DataFrame, runtime: Runtime, *, targets: Targets) -> Plan:
    paths = tuple(rows["path"])
    frames_of = _reader(params, inputs.width(paths[0], params))
    known = frames_of(paths)
    scaler = inputs.fold_scaler(params, *_moments(known), paths)
    labels = targets.labels(rows)
    values, valid = padded(known, scaler)
    samples = tuple(part.to(runtime.device) for part in (values, valid, torch.from_numpy(labels)))
    stage = Stage(
        name="fit",
        epochs=params.epochs,
        batches=batches.in_memory(samples, params.batch_size, runtime.seed, balance=targets.balance(params, labels)),
        losses=partial(_losses, loss=targets.loss(params, labels)),
        optimizer=partial(optimizers.adamw, params),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(_row_losses, params, frames_of, scaler, paths, labels, targets.row_losses(params, labels)),
    )
    return Plan(
        model=Network(values.shape[2], targets.outputs, params),
        stages=[stage],
        predict=partial(_predict, params, frames_of, scaler, targets),
        kept={"scaler": scaler.to_json()} if scaler else {},
    )


def _reader(params: SequenceNetworkParams, features: int) -> Frames:
    """Return a function: paths -> prepared features (T, F) and valid frames (T,) of each window."""

    def one(path: Path) -> tuple[np.ndarray, np.ndarray]:
        window = windows.read(path)
        values = inputs.prepare(window, params)
        inputs.check_width(values.shape[1], features, path)
        kept = _thinned(len(values), params.max_frames)
        return values[kept].astype(np.float32), window.valid[kept]

    @lru_cache(maxsize=3)  # training, validation and test rows
    def frames_of(paths: tuple[Path, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [one(path) for path in paths]

    return frames_of


def _thinned(frames: int, most: int) -> np.ndarray:
    """Positions of at most `most` frames, evenly over time."""
    return np.arange(frames) if frames <= most else np.linspace(0, frames - 1, most).round().astype(np.int64)


def _moments(known: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Valid frames (n,), means and standard deviations (n, F) of windows; 0 without a valid frame."""
    found = [(values[valid].astype(np.float64), values.shape[1]) for values, valid in known]
    means = [part.mean(0) if len(part) else np.zeros(features) for part, features in found]
    sds = [part.std(0) if len(part) else np.zeros(features) for part, features in found]
    return np.array([len(part) for part, _ in found]), np.stack(means), np.stack(sds)


def padded(known: Sequence[tuple[np.ndarray, np.ndarray]], scaler: Scaler | None) -> tuple[Tensor, Tensor]:
    """Windows behind one another, float32 (n, longest, F), and which of their frames are valid, bool (n, longest).

    Frames that are not valid, as those of the padding, are 0.
    """
    longest = max(len(valid) for _, valid in known)
    values = np.zeros((len(known), longest, known[0][0].shape[1]), np.float32)
    valid = np.zeros((len(known), longest), bool)
    mean, sd = (np.array(scaler.mean), np.array(scaler.sd)) if scaler else (0.0, 1.0)
    for place, (features, own) in enumerate(known):
        values[place, : len(own)] = np.where(own[:, None], (features - mean) / sd, 0)
        valid[place, : len(own)] = own
    return torch.from_numpy(values), torch.from_numpy(valid)


class Network(nn.Module):
    """Features (n, T, F) and valid frames (n, T) -> logits (n, outputs), whatever the padding.

    Blocks leave frames that are not valid at 0; the mean and the maximum over the others are classified. A window
    without a valid frame is classified as one frame of zeros.
    """

    def __init__(self, features: int, outputs: int, params: SequenceNetworkParams) -> None:
        super().__init__()
        width = params.channels
        self.attention = params.network == "transformer"
        self.inputs = nn.Linear(features, width)
        self.blocks = nn.ModuleList(_block(params, number) for number in range(params.layers))
        self.dropout = nn.Dropout(params.dropout)
        self.classifier = nn.Linear(2 * width, outputs)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        valid = torch.cat([valid[:, :1] | ~valid.any(1, keepdim=True), valid[:, 1:]], dim=1)
        longest = int(valid.any(0).nonzero().max()) + 1
        features, valid = features[:, :longest], valid[:, :longest]
        mask = valid[..., None]
        values = self.inputs(features)
        if self.attention:
            values = values + _positions(longest, values.shape[2]).to(values)
        values = values * mask
        for block in self.blocks:
            values = (block(values, src_key_padding_mask=~valid) if self.attention else block(values)) * mask
        mean = values.sum(1) / mask.sum(1)
        highest = values.masked_fill(~mask, -torch.inf).amax(1)
        return self.classifier(self.dropout(torch.cat([mean, highest], dim=1)))


def _block(params: SequenceNetworkParams, number: int) -> nn.Module:
    if params.network == "convolution":
        return Convolution(params.channels, params.kernel, 2**number, params.dropout)
    return nn.TransformerEncoderLayer(
        params.channels, params.heads, 2 * params.channels, params.dropout, batch_first=True, norm_first=True
    )


class Convolution(nn.Module):
    """A residual convolution over time, (n, T, channels) -> the same shape.

    It is normalized over the channels of each frame: statistics over time would depend on the padding.
    """

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        reach = dilation * (kernel // 2)
        self.convolution = nn.Conv1d(channels, channels, kernel, padding=reach, dilation=dilation)
        self.normalize = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        changed = self.convolution(values.transpose(1, 2)).transpose(1, 2)
        return values + self.dropout(torch.relu(self.normalize(changed)))


def _positions(frames: int, channels: int) -> Tensor:
    """Sinusoidal positions (frames, channels); Vaswani et al. 2017, section 3.5."""
    rates = torch.exp(torch.arange(0, channels, 2) * (-math.log(10_000) / channels))
    angles = torch.arange(frames)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def _losses(
    model: nn.Module, batch: tuple[Tensor, Tensor, Tensor], loss: Callable[[Tensor, Tensor], dict[str, Tensor]]
) -> dict[str, Tensor]:
    features, valid, labels = batch
    return loss(model(features, valid), labels)


def _predict(
    params: SequenceNetworkParams,
    frames_of: Frames,
    scaler: Scaler | None,
    targets: Targets,
    model: nn.Module,
    finished: None,
    rows: DataFrame,
) -> np.ndarray:
    """Return probabilities, float64, as `targets.predictions` says."""
    logits = _logits(params, frames_of, scaler, model, tuple(rows["path"]))
    return targets.predictions(targets.probabilities(logits).numpy())


def _logits(
    params: SequenceNetworkParams,
    frames_of: Frames,
    scaler: Scaler | None,
    model: nn.Module,
    paths: tuple[Path, ...],
) -> Tensor:
    """Return the logits of windows, float64 (n, outputs); in float32 probabilities near 1 would be ties."""
    known, device = frames_of(paths), next(model.parameters()).device
    parts = []
    for start in range(0, len(known), params.batch_size):
        features, valid = padded(known[start : start + params.batch_size], scaler)
        parts.append(model(features.to(device), valid.to(device)).cpu().double())
    return torch.cat(parts)


def _row_losses(
    params: SequenceNetworkParams,
    frames_of: Frames,
    scaler: Scaler | None,
    paths: tuple[Path, ...],
    labels: np.ndarray,
    loss: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
) -> np.ndarray:
    """Return the losses of the training windows, float64 (n,)."""
    return loss(_logits(params, frames_of, scaler, model, paths), torch.from_numpy(labels)).numpy()
