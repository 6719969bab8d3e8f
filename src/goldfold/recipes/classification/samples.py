"""Images of a classifier as pixels: all of them in memory, or read again, and augmented in the batches of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from goldfold.images import augmentation, reading
from goldfold.nn import batches

if TYPE_CHECKING:
    from albumentations import Compose
    from pandas import DataFrame

    from goldfold.competition import Runtime

    Pixels = Callable[[tuple[Path, ...]], np.ndarray | None]
    Pipeline = Callable[[int], Compose]


def pixels_reader(params: Any, gray: bool) -> Pixels:
    """Return a function: paths -> pixels, uint8 (n, size, size, c), or None if they exceed the allowed memory.

    params: with `image_size` and `memory`, in GiB.
    """

    @lru_cache(maxsize=3)  # training, validation and test rows
    def pixels(paths: tuple[Path, ...]) -> np.ndarray | None:
        needed = len(paths) * params.image_size**2 * (1 if gray else 3)
        return reading.load_resized(paths, params.image_size, gray) if needed <= params.memory * 2**30 else None

    return pixels


def of_epochs(
    params: Any,
    rows: DataFrame,
    labels: tuple[np.ndarray, np.ndarray | None],
    pixels: Pixels,
    runtime: Runtime,
    *,
    gray: bool,
    pipeline: Pipeline | None,
    beside: np.ndarray | None = None,
) -> Callable[[int], Any]:
    """Return the function epoch -> batches of (pixels uint8 (b, size, size, c), labels) for `Stage.batches`.

    params: with `augmentation`, `batch_size`, `image_size` and `memory`. labels: of the rows, and the classes that an
        epoch's rows are drawn by, None for every row once. pipeline: used instead of the one that params name. beside:
        numbers of the rows, float32 (n, k); the inputs of a batch are then [pixels, numbers (b, k)].
    """
    known, balance = labels
    paths = tuple(rows["path"])
    kept = pixels(paths)
    drop_last = len(rows) > params.batch_size  # statistics of batch norm suffer from a small last batch
    if kept is not None and pipeline is None and params.augmentation == "none" and beside is None:
        tensors = torch.from_numpy(kept).to(runtime.device), torch.from_numpy(known).to(runtime.device)
        return batches.in_memory(tensors, params.batch_size, runtime.seed, drop_last=drop_last, balance=balance)
    own = pipeline or partial(augmentation.pipeline, params.augmentation)
    item = partial(
        _sample,
        image_of=partial(_read, paths, params.image_size, gray) if kept is None else partial(_in_memory, kept),
        pipeline=own(params.image_size),
        seed=runtime.seed,
        ids=augmentation.distinct_ids(rows["id"]),
        labels=known,
        beside=beside,
    )
    return batches.from_dataset(
        item, len(rows), params.batch_size, runtime.seed, runtime.workers, drop_last=drop_last, balance=balance
    )


def _sample(
    epoch: int,
    position: int,
    *,
    image_of: Callable[[int], np.ndarray],
    pipeline: Compose,
    seed: int,
    ids: Sequence,
    labels: np.ndarray,
    beside: np.ndarray | None,
) -> tuple[Any, Any]:
    """Return one augmented image of an epoch, uint8 (size, size, c), what is beside it, and its label or labels."""
    image = augmentation.apply(pipeline, seed, epoch, ids[position], image=image_of(position))["image"]
    return (image if beside is None else (image, beside[position])), labels[position]


def _in_memory(pixels: np.ndarray, position: int) -> np.ndarray:
    return pixels[position]


def _read(paths: Sequence[Path], size: int, gray: bool, position: int) -> np.ndarray:
    return reading.resize(reading.read(paths[position], gray), size)


def chunks(
    params: Any, pixels: Pixels, gray: bool, paths: tuple[Path, ...], device: torch.device
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the pixels of successive rows on the device, as many as a forward pass takes."""
    kept = pixels(paths)
    for part in batches.prediction_batches(len(paths), params.batch_size, params.image_size, device):
        chunk = reading.load_resized(paths[part], params.image_size, gray) if kept is None else kept[part]
        yield part, torch.from_numpy(chunk).to(device)
