"""The rows that both stages train on, their identities and prompts, and the batches of each stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from goldfold.competition import Runtime
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation
from goldfold.images.sizes import Size
from goldfold.nn import batches, feature_cache
from goldfold.retrieval import batch_samplers, two_views
from goldfold.retrieval.batch_samplers import BatchSampler
from goldfold.retrieval.prompts import templates
from goldfold.retrieval.prompts.parameters import PromptedEmbedderParams
from goldfold.retrieval.prompts.templates import Prompts
from goldfold.retrieval.prompts.towers import AnyTower


@dataclass(frozen=True)
class PromptedRows:
    """One fold's training rows that have an identity, numbered from 0.

    codes: int64 (n,), the identity of each row, from 0.
    """

    params: PromptedEmbedderParams
    rows: pd.DataFrame
    codes: np.ndarray
    prompts: Prompts
    runtime: Runtime

    def pairs(self) -> Tensor:
        """Return every identity with each of its prompts, int64 (m, 2): all templates, the values of its rows."""
        combinations = np.unique(np.stack([self.codes, self.prompts.combination], axis=1), axis=0)
        pairs = [
            (code, template * self.prompts.combinations + combination)
            for code, combination in combinations.tolist()
            for template in range(self.prompts.templates)
        ]
        return torch.tensor(pairs, dtype=torch.int64)

    def prompt_batches(self, tower: AnyTower) -> Callable[[int], batches.InMemory]:
        """Return epoch -> batches of (features (n, f), identities, numbers of prompts).

        The features are computed here, once per image for all epochs, folds and runs.
        """
        params, runtime = self.params, self.runtime
        extract = feature_cache.cached_extractor(PooledFeatures(tower), tower.image_size, runtime, note="prompts")
        known = (extract(tuple(map(Path, self.rows["path"]))), self.codes)
        features, codes = (torch.from_numpy(each).to(runtime.device) for each in known)
        ids = augmentation.distinct_ids(self.rows["id"])
        size = min(params.prompt_batch_size, len(codes))

        def epoch_batches(epoch: int) -> batches.InMemory:
            drawn = batch_samplers.random_batches(len(codes), size, runtime.seed, epoch)
            ids_of = [[ids[row] for row in batch] for batch in drawn]
            chosen = templates.draw(self.prompts.templates, params.template_draw, runtime.seed, epoch, ids_of)
            numbers = np.zeros(len(codes), np.int64)
            for batch, template in zip(drawn, chosen, strict=True):
                numbers[batch] = self.prompts.of(template, batch)
            prompts = torch.from_numpy(numbers).to(runtime.device)
            return batches.InMemory((features, codes, prompts), batch_samplers.own_parts(drawn))

        return epoch_batches

    def image_batches(self, size: Size) -> Callable[[int], batches.FromDataset]:
        """Return epoch -> batches of (pixels uint8 (n, h, w, 3), identities), augmented.

        Raises GoldfoldError if the batch sampler cannot fill a batch.
        """
        params, runtime = self.params, self.runtime
        sampler = self._sampler()
        sampler(0)  # fails before the training
        sources = two_views.load_sources(list(self.rows["path"]), False, params.memory, size)
        changes = augmentation.pipeline(params.augmentation, size, params.flip)
        ids = augmentation.distinct_ids(self.rows["id"])
        views = two_views.RandomViews(sources, ids, changes, runtime.seed)
        item = two_views.OneView(views, np.arange(len(self.codes)), self.codes)
        dataset = batches.from_dataset(item, len(self.codes), 1, runtime.seed, runtime.workers)
        return batch_samplers.sampled(dataset, sampler)

    def _sampler(self) -> BatchSampler:
        params, seed, codes = self.params, self.runtime.seed, self.codes
        size = min(params.image_batch_size, len(codes))
        if params.sampler == "random":
            return partial(batch_samplers.random_batches, len(codes), size, seed)
        counts = np.bincount(codes)
        single = np.flatnonzero(counts < 2)
        if single.size:
            row = int(np.flatnonzero(codes == single[0])[0])
            raise GoldfoldError(
                "single_image_identity",
                f"sampler=m_per_class needs two images of each identity, and that of '{self.rows['id'].iloc[row]}' has "
                f"one in this fold (so have {single.size} of {len(counts)}): set sampler=random, or leave it out",
            )
        return partial(batch_samplers.m_per_class, codes, params.m_per_class, size, seed)


class PooledFeatures(nn.Module):
    """Pixels -> the features (n, f) of a tower that are projected."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the features of pixels uint8 (n, h, w, 3)."""
        return self.tower(pixels).pooled
