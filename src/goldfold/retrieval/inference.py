"""Inference with an embedder: read and embed image files, monitor collapse, picture the nearest training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from goldfold.competition import Plan, Runtime, Stage
from goldfold.images import reading
from goldfold.images.sizes import Size, area
from goldfold.io import seeding
from goldfold.nn import collapse, feature_cache
from goldfold.nn.batches import prediction_batches
from goldfold.optional_parts import Monitored
from goldfold.retrieval.cosines import normalize
from goldfold.retrieval.network import Embedder

if TYPE_CHECKING:
    from pandas import DataFrame

Paths = tuple[Path, ...]
InputsOf = Callable[[Paths], np.ndarray]
WATCHED = 200  # training rows whose embeddings are watched for collapse
NEAREST = 4  # nearest training images in a picture, two by two


@dataclass(frozen=True)
class Inference:
    """Turns image files into an embedder's inputs and outputs, without augmentation.

    size: of images. gray: whether images have one channel instead of three. memory: GiB that the pixels of
        one set of files may take; larger sets are read from their files every time.
    backbone_features: paths -> cached features (n, f) of a frozen backbone, the network's input instead of pixels.
    """

    size: Size
    gray: bool
    memory: float
    backbone_features: InputsOf | None = None
    _in_memory: InputsOf = field(init=False, repr=False)

    def __post_init__(self) -> None:
        load = partial(reading.load_resized, size=self.size, gray=self.gray)
        object.__setattr__(self, "_in_memory", lru_cache(maxsize=4)(load))  # training, monitored, validation, test rows

    def with_cached_backbone(self, model: Embedder, runtime: Runtime) -> Inference:
        """Return a copy that feeds the network features of the model's frozen backbone, cached on disk for all fits."""
        backbone = nn.Sequential(model.normalize, model.backbone)
        features = feature_cache.cached_extractor(backbone, self.size, runtime, note="embedder")
        return replace(self, backbone_features=features)

    def pixels(self, paths: Paths) -> np.ndarray:
        """Read images as uint8 (n, h, w, c); small sets stay in memory."""
        if len(paths) <= self._capacity():
            return self._in_memory(paths)
        return reading.load_resized(paths, self.size, self.gray)

    def inputs(self, paths: Paths) -> np.ndarray:
        """Return the network's inputs: pixels, or cached features float32 (n, f) if the backbone is frozen."""
        return self.backbone_features(paths) if self.backbone_features else self.pixels(paths)

    def embeddings(self, model: nn.Module, paths: Paths) -> np.ndarray:
        """Embed files, float32 (n, d); the model must be in evaluation mode."""
        block = max(1, len(paths) if self.backbone_features else self._capacity())
        parts = [paths[start : start + block] for start in range(0, len(paths), block)]
        return np.concatenate([_embed(model, self.inputs(part)) for part in parts])

    def predict(self, model: nn.Module, finished: None, rows: DataFrame) -> np.ndarray:
        """Embed rows with a column `path`, float32 (n, d); for `Plan.predict`."""
        return self.embeddings(model, tuple(rows["path"]))

    def monitor(self, paths: Paths, model: nn.Module) -> dict[str, Monitored]:
        """Measure how much of their space the embeddings of files use; a collapse is an alarm. For `Plan.monitor`."""
        statistics = collapse.measure_features(self.embeddings(model, paths))
        alarm = ", ".join(statistics.verdicts)
        return {
            "spread_to_isotropic": Monitored(statistics.spread / statistics.isotropic, alarm=alarm),
            "effective_rank": Monitored(statistics.effective_rank),
            "median_cosine": Monitored(statistics.median_cosine),
        }

    def pictures(self, train_paths: Paths, model: nn.Module, finished: None, rows: DataFrame) -> dict[str, np.ndarray]:
        """Draw the four training images nearest to each row, without the row itself; for `Plan.pictures`.

        Returns {"nearest": float32 (n, 2 h, 2 w, 3)}, the nearest at the top left, the second at its right.
        """
        paths = tuple(rows["path"])
        queries, gallery = (np.asarray(normalize(self.embeddings(model, each))) for each in (paths, train_paths))
        same = np.array(list(map(str, paths)))[:, None] == np.array(list(map(str, train_paths)))
        ranked = np.argsort(-np.where(same, -np.inf, queries @ gallery.T), axis=1, kind="stable")[:, :NEAREST]
        nearest = [[k for k in positions if not same[row, k]] for row, positions in enumerate(ranked)]
        images = [reading.load_resized([train_paths[k] for k in each], self.size, self.gray) for each in nearest]
        return {"nearest": np.stack([_montage(each) for each in images])}

    def plan(self, model: nn.Module, stages: Sequence[Stage], rows: DataFrame, seed: int) -> Plan:
        """Return the plan that trains the stages and predicts embeddings; some training rows watch for collapse."""
        watched = np.random.default_rng(seeding.derive(seed, "watched")).permutation(len(rows))[:WATCHED]
        return Plan(
            model=model,
            stages=stages,
            predict=cast(Callable[..., np.ndarray], self.predict),  # of the plan's own model
            monitor=partial(self.monitor, tuple(rows["path"].iloc[np.sort(watched)])),
            pictures=partial(self.pictures, tuple(rows["path"])),
        )

    def _capacity(self) -> int:
        """Number of images whose pixels fit into `memory`."""
        return int(self.memory * 2**30 / (area(self.size) * (1 if self.gray else 3))) or 64


def _embed(model: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """Embeddings of the network's inputs, float32 (n, d)."""
    device = next(model.parameters()).device
    batch_size = 16 if device.type == "cpu" else 256  # maps of more images do not fit into a CPU's cache
    with torch.no_grad():
        side = max(inputs.shape[1:3]) if inputs.ndim == 4 else 1  # others are features
        parts = prediction_batches(len(inputs), batch_size, side, device)
        pixels = torch.from_numpy(inputs)
        return torch.cat([model(pixels[part].to(device)).float().cpu() for part in parts]).numpy()


def _montage(images: np.ndarray) -> np.ndarray:
    """Up to four images uint8 (k, h, w, c) as one, float32 (2 h, 2 w, 3) in [0, 1]; missing images are black."""
    height, width = images.shape[1:3]
    tiles = np.zeros((NEAREST, height, width, 3), np.float32)
    tiles[: len(images)] = images / 255
    return tiles.reshape(2, 2, height, width, 3).transpose(0, 2, 1, 3, 4).reshape(2 * height, 2 * width, 3)
