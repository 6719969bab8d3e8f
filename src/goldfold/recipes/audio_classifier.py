"""Sound classification: log-mel spectrograms of windows of a recording, and an image network fine-tuned on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.audio import augmentation, windows
from goldfold.audio.log_mel import LogMel
from goldfold.audio.waveforms import Recordings
from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.images.augmentation import distinct_ids
from goldfold.nn import backbones, batches, mixup, schedules
from goldfold.params import mark_unused, with_defaults
from goldfold.recipes.classification import optimizers
from goldfold.recipes.parameters.audio_classifier import AudioClassifierParams, check
from goldfold.recipes.targets import Targets, create

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

    Network = Callable[[int], nn.Module]
    Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]

MEASURED = 64  # training recordings whose first windows give the mean and standard deviation of the decibels


def recipe(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
    values: str | Sequence[str] | None = None,
    ordered: bool = False,
    network: Network | None = None,
    **defaults: Any,
) -> Recipe:
    """Return the recipe for rows with audio files in `path`, and labels in the column `target` or in several columns.

    classes: all labels, in the order of predictions: (n,) probabilities of the second of two, otherwise (n, classes).
        `ClassLossParams` are parameters, too.
    targets: instead of `target` and `classes`, columns of 0 and 1: a recording may have several labels. Predictions are
        (n, labels) independent probabilities in this order; `LabelLossParams` are parameters, too.
    values: instead, a numeric column or several. Predictions are (n,) or (n, columns) numbers; `ValueLossParams`.
    ordered: whether `classes` ascend: ordinal regression, with `OrderedLossParams`.
    network: number of classes -> a module from standardized spectrograms (n, 1, mels, frames) to logits, used instead
        of a timm model; `head_factor` applies to its `get_classifier()`, if it has one.
    defaults: defaults of `AudioClassifierParams` for this competition.
    """
    labels = create(target, classes, targets, values=values, ordered=ordered)
    params = with_defaults(labels.params(AudioClassifierParams), **defaults)
    if network is not None:
        params = mark_unused(
            params, "the recipe has a network of its own", "backbone", "pretrained", "weights", "drop_rate"
        )
    return Recipe(
        params=params,
        build=partial(_build, targets=labels, network=network),
        labels=labels.declared,
        columns=("path", *labels.columns),
        example=lambda params, rows, classes: labels.example(rows),
        check=check,
        accepts=labels.accepts,
    )


class SoundNetwork(nn.Module):
    """Waves float (n, samples), one window each -> logits (n, classes).

    Decibels are standardized by one mean and one standard deviation, which are kept with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, log_mel: LogMel, network: nn.Module) -> None:
        super().__init__()
        self.log_mel, self.network = log_mel, network
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def forward(self, waves: Tensor, bands: Tensor | None = None, frames: Tensor | None = None) -> Tensor:
        """bands, frames: masks of `augmentation.masks`, int64 (n, count, 2)."""
        decibels = self.log_mel(waves)[..., : max(1, waves.shape[-1] // self.log_mel.hop)]  # without its half frame
        spectrograms = (decibels - self.mean) / self.std
        if bands is not None and frames is not None:
            spectrograms = augmentation.hide(spectrograms, bands, frames)
        return self.network(spectrograms[:, None])

    @torch.no_grad()
    def measure(self, waves: Tensor) -> None:
        """Take mean and standard deviation from the spectrograms of waves (n, samples); those of silence stay 0, 1."""
        decibels = self.log_mel(waves)
        self.mean.copy_(decibels.mean())
        self.std.copy_(decibels.std(correction=0).clamp(min=1.0))


def _build(
    params: AudioClassifierParams, rows: DataFrame, runtime: Runtime, *, targets: Targets, network: Network | None
) -> Plan:
    recordings = Recordings(rows["path"], params.sample_rate)
    recordings.decode(runtime.progress)
    model = _model(params, targets.outputs, network)
    measured = np.unique(np.linspace(0, len(rows) - 1, MEASURED).astype(int)).tolist()
    model.measure(torch.from_numpy(np.stack([_window(params, recordings, row, 0) for row in measured])))
    labels = targets.labels(rows)
    targets = targets.fitted(labels)
    item = partial(
        _sample,
        params=params,
        recordings=recordings,
        seed=runtime.seed,
        ids=distinct_ids(rows["id"]),
        labels=labels,
    )
    of_epoch = batches.from_dataset(
        item,
        len(rows),
        params.batch_size,
        runtime.seed,
        runtime.workers,
        drop_last=len(rows) > params.batch_size,  # statistics of batch norm suffer from a small last batch
        balance=targets.balance(params, labels),
    )
    stage = Stage(
        name="fit",
        epochs=params.epochs,
        batches=mixup.batches(of_epoch, params.mixup, runtime.seed),
        losses=partial(_losses, loss=targets.loss(params, labels)),
        optimizer=lambda model: optimizers.fine_tuning(params, model.get_submodule("network")),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(_row_losses, params, recordings, labels, targets.row_losses(params, labels)),
    )
    return Plan(model=model, stages=[stage], predict=partial(_predict, params, targets))


def _model(params: AudioClassifierParams, classes: int, network: Network | None) -> SoundNetwork:
    log_mel = LogMel(
        params.sample_rate,
        fft=params.n_fft,
        hop=params.hop,
        bands=params.mels,
        low=params.low,
        high=params.highest,
        dynamic_range=params.dynamic_range,
    )
    if network is not None:
        return SoundNetwork(log_mel, network(classes))
    try:
        net, _, _ = backbones.create(  # spectrograms are standardized, as the weights expect of pixels
            params.backbone,
            params.pretrained,
            in_chans=1,
            num_classes=classes,
            image_size=(params.mels, params.frames),
            weights=params.weights,
            drop_rate=params.drop_rate,
        )
    except GoldfoldError as error:
        if error.code != "image_size_unsuitable":
            raise
        raise GoldfoldError(
            "spectrogram_size_unsuitable",
            f"backbone '{params.backbone}' cannot take spectrograms of mels={params.mels} bands and {params.frames} "
            "frames (seconds x sample_rate / hop): make both a multiple of its patch size or of 32",
        ) from error
    return SoundNetwork(log_mel, net)


def _window(params: AudioClassifierParams, recordings: Recordings, row: int, start: int) -> np.ndarray:
    """A window as it is predicted, float32 (params.samples,)."""
    wave = windows.leveled(recordings.read(row, start, params.samples), params.loudness)
    return windows.padded(wave, params.samples, params.padding, 0.0)


def _sample(
    epoch: int,
    position: int,
    *,
    params: AudioClassifierParams,
    recordings: Recordings,
    seed: int,
    ids: Sequence,
    labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """A random crop of a recording in an epoch, float32 (samples,), its masks of bands and frames, and its label."""
    random = augmentation.draws(seed, epoch, ids[position])
    place = random.random()
    start = windows.crop_start(int(recordings.lengths[position]), params.samples, place)
    wave = windows.leveled(recordings.read(position, start, params.samples), params.loudness)
    wave = windows.padded(wave, params.samples, params.padding, place)
    wave = augmentation.changed(wave, random, params.gain, params.noise)
    bands = augmentation.masks(random, params.band_masks, params.band_mask, params.mels)
    frames = augmentation.masks(random, params.time_masks, params.time_mask, params.frames)
    return wave, bands, frames, labels[position]


def _losses(model: nn.Module, batch: tuple[Any, ...], loss: Loss) -> dict[str, Tensor]:
    """Waves are mixed before their spectrograms; each mixture has the masks of its first sample."""
    device = next(model.parameters()).device
    waves, bands, frames, labels, *mixing = batch
    waves, bands, frames, labels = (part.to(device, non_blocking=True) for part in (waves, bands, frames, labels))
    inputs, known = mixup.mix((waves, labels, *mixing))
    return mixup.mixed_loss(loss, model(inputs, bands, frames), known)


def _windows(
    params: AudioClassifierParams, recordings: Recordings, device: torch.device
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield rows and waves (n, samples) of successive windows on the device, as many as a forward pass takes."""
    stride = max(1, round(params.samples * (1 - params.overlap)))
    side = max(1, round((params.mels * params.frames) ** 0.5))
    most = batches.rows_at_once(params.batch_size, side, device)
    rows: list[int] = []
    waves: list[np.ndarray] = []
    for row, length in enumerate(recordings.lengths.tolist()):
        for start in windows.starts(length, params.samples, stride).tolist():
            rows.append(row)
            waves.append(_window(params, recordings, row, start))
            if len(rows) == most:
                yield rows, torch.from_numpy(np.stack(waves)).to(device)
                rows, waves = [], []
    if rows:
        yield rows, torch.from_numpy(np.stack(waves)).to(device)


def _predict(
    params: AudioClassifierParams, targets: Targets, model: nn.Module, finished: None, rows: DataFrame
) -> np.ndarray:
    """Return probabilities or numbers of recordings, float64, the mean or maximum over their windows."""
    recordings = Recordings(rows["path"], params.sample_rate)
    pooled, counts = None, np.zeros(len(rows), np.int64)
    for owners, waves in _windows(params, recordings, next(model.parameters()).device):
        found = targets.probabilities(model(waves).cpu().double()).numpy()
        if pooled is None:
            pooled = np.zeros((len(rows), *found.shape[1:])) if params.pool == "mean" else _lowest(rows, found)
        (np.add if params.pool == "mean" else np.maximum).at(pooled, owners, found)
        np.add.at(counts, owners, 1)
    assert pooled is not None, "every recording has a window"
    return targets.predictions(pooled / counts[:, None] if params.pool == "mean" else pooled)


def _lowest(rows: DataFrame, found: np.ndarray) -> np.ndarray:
    return np.full((len(rows), *found.shape[1:]), -np.inf)


def _row_losses(
    params: AudioClassifierParams,
    recordings: Recordings,
    labels: np.ndarray,
    loss: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
) -> np.ndarray:
    """Return the losses of the training rows, float64 (n,), each a mean over the windows of its recording."""
    sums, counts, known = np.zeros(len(labels)), np.zeros(len(labels)), torch.from_numpy(labels)
    for owners, waves in _windows(params, recordings, next(model.parameters()).device):
        np.add.at(sums, owners, loss(model(waves).cpu().double(), known[owners]).numpy())
        np.add.at(counts, owners, 1)
    return sums / counts
