"""What an embedder says of images: their embeddings, whether they have collapsed, and their nearest training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from goldfold.competition import Runtime
from goldfold.images import reading as images
from goldfold.nn import collapse, feature_cache
from goldfold.optional_parts import Monitored
from goldfold.retrieval import search as retrieval
from goldfold.retrieval.network import Embedder

if TYPE_CHECKING:
    from pandas import DataFrame

Paths = tuple[Path, ...]
Seen = Callable[[Paths], np.ndarray]
SHOWN = 4  # nearest training images in a picture, two by two


@dataclass(frozen=True)
class Readout:
    """How files become what the network sees: pixels of one size, without random changes.

    size: pixels a side. memory: GiB that pixels of one set of files may fill.
    tower: paths -> features (n, f) of a backbone that never changes, which the network takes in the place of pixels.
    """

    size: int
    grey: bool
    memory: float
    tower: Seen | None = None
    _kept: Seen = field(init=False, repr=False)

    def __post_init__(self) -> None:
        load = partial(images.load_resized, size=self.size, grey=self.grey)
        object.__setattr__(self, "_kept", lru_cache(maxsize=4)(load))  # training, watched, validation, test rows

    def through(self, model: Embedder, runtime: Runtime) -> Readout:
        """With features of the model's backbone, computed once for all fits and kept on disk."""
        tower = nn.Sequential(model.normalise, model.backbone)
        return replace(self, tower=feature_cache.cached_extractor(tower, self.size, runtime, note="embedder"))

    def pixels(self, paths: Paths) -> np.ndarray:
        """uint8 (n, size, size, c)."""
        if len(paths) <= self._room():
            return self._kept(paths)
        return images.load_resized(paths, self.size, self.grey)

    def seen(self, paths: Paths) -> np.ndarray:
        """What the network takes: pixels, or float32 (n, f) where the backbone never changes."""
        return self.tower(paths) if self.tower else self.pixels(paths)

    def embeddings(self, model: Embedder, paths: Paths) -> np.ndarray:
        """float32 (n, d), by a model in evaluation mode."""
        block = max(1, len(paths) if self.tower else self._room())
        parts = [paths[start : start + block] for start in range(0, len(paths), block)]
        return np.concatenate([_embedded(model, self.seen(some)) for some in parts])

    def predict(self, model: Embedder, finished: None, rows: DataFrame) -> np.ndarray:
        return self.embeddings(model, tuple(rows["path"]))

    def monitor(self, paths: Paths, model: Embedder) -> dict[str, Monitored]:
        """How much of their space some files' embeddings use; what a collapse looks like is an alarm."""
        found = collapse.measure_features(self.embeddings(model, paths))
        return {
            "spread_to_isotropic": Monitored(found.spread / found.isotropic, alarm=", ".join(found.verdicts)),
            "effective_rank": Monitored(found.effective_rank),
            "median_cosine": Monitored(found.median_cosine),
        }

    def pictures(self, learnt: Paths, model: Embedder, finished: None, rows: DataFrame) -> dict[str, np.ndarray]:
        """`nearest`: the four training images most like each row, left to right and down; never the row itself."""
        asked = tuple(rows["path"])
        units, known = (retrieval.normalised(self.embeddings(model, paths)) for paths in (asked, learnt))
        same = np.array(list(map(str, asked)))[:, None] == np.array(list(map(str, learnt)))
        best = np.argsort(-np.where(same, -np.inf, units @ known.T), axis=1, kind="stable")[:, :SHOWN]
        best = [[k for k in found if not same[row, k]] for row, found in enumerate(best)]
        shown = [images.load_resized([learnt[k] for k in found], self.size, self.grey) for found in best]
        return {"nearest": np.stack([_montage(some) for some in shown])}

    def _room(self) -> int:
        """Images that memory has room for."""
        return int(self.memory * 2**30 / (self.size**2 * (1 if self.grey else 3))) or 64


def _embedded(model: Embedder, seen: np.ndarray) -> np.ndarray:
    device = next(model.parameters()).device
    at_once = 16 if device.type == "cpu" else 256  # on a CPU maps of more images leave the cache
    with torch.no_grad():
        parts = torch.from_numpy(seen).split(at_once)
        return torch.cat([model(some.to(device)).float().cpu() for some in parts]).numpy()


def _montage(shown: np.ndarray) -> np.ndarray:
    """Up to four images uint8 (k, s, s, c) as one, float32 (2 s, 2 s, 3) in [0, 1]; what is missing is black."""
    size = shown.shape[1]
    tiles = np.zeros((SHOWN, size, size, 3), np.float32)
    tiles[: len(shown)] = shown / 255
    return tiles.reshape(2, 2, size, size, 3).transpose(0, 2, 1, 3, 4).reshape(2 * size, 2 * size, 3)
