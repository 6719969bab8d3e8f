"""Training samples: random crops of image and mask, some of them drawn so that they hold a rare class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from goldfold.images import augmentation
from goldfold.images.sizes import area, height_and_width
from goldfold.io import seeding
from goldfold.recipes.segmentation import inputs, truths
from goldfold.recipes.segmentation.inputs import Inputs
from goldfold.recipes.segmentation.params import SegmenterParams
from goldfold.recipes.segmentation.truths import PixelLabels, Rows

if TYPE_CHECKING:
    from albumentations import Compose
    from pandas import DataFrame

    from goldfold.recipes.segmentation.truths import Masks


@dataclass(frozen=True)
class OnDisk:
    """Images or truth that do not fit into memory: each row is read when it is asked for.

    count: number of rows. load: position -> the row.
    """

    count: int
    load: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> np.ndarray:
        return self.load(position)


@dataclass(frozen=True)
class Stacked:
    """Gray images in memory, of which each row shows several as channels.

    gray: uint8 (n, h, w). beside: int64 (n, channels), positions in `gray`.
    """

    gray: np.ndarray
    beside: np.ndarray

    def __len__(self) -> int:
        return len(self.beside)

    def __getitem__(self, position: int) -> np.ndarray:
        return inputs.stacked(self.gray, self.beside[position][None])[0]


def read(masks: Masks, rows: DataFrame, labels: PixelLabels, images: Inputs) -> tuple[Rows, Rows]:
    """Return images, uint8 (n, h, w, c), and truth, as `truths.load`, both in memory or both on disk."""
    params, everyone = images.params, range(len(rows))
    load = partial(truths.load, masks, labels=labels, size=params.image_size, boxed=params.fit == "letterbox")
    channels = (3 if images.beside is None else 1) + (labels.maps if labels.overlapping else 1)
    if len(rows) * area(params.image_size) * channels <= params.memory * 2**30:
        if images.beside is None:
            return images.load(everyone), load(rows)
        own = replace(images, beside=np.arange(len(rows))[:, None])
        return Stacked(own.load(everyone)[..., 0], images.beside), load(rows)
    return OnDisk(len(rows), partial(_image, images)), OnDisk(len(rows), partial(_truth, load, rows))


def _image(images: Inputs, position: int) -> np.ndarray:
    return images.load([position])[0]


def _truth(load: Callable[[DataFrame], np.ndarray], rows: DataFrame, position: int) -> np.ndarray:
    return load(rows.iloc[[position]])[0]


@dataclass(frozen=True)
class Samples:
    """One random crop per call, a function of (seed, epoch, position).

    pixels: uint8 (n, h, w, c). truths: uint8 (n, h, w), or (n, classes, h, w). ids: (n,), distinct.
    rarity: weight of each class in the draw of a crop around it, (maps,); binary: (1,).
    """

    pixels: Rows
    truths: Rows
    ids: list
    params: SegmenterParams
    pipeline: Compose
    rarity: np.ndarray
    exclusive: bool
    seed: int

    def __call__(self, epoch: int, position: int) -> tuple[Tensor, Tensor]:
        """Return a crop, uint8 (h, w, c), and its truth, uint8 (h, w) or (classes, h, w)."""
        pixels, truth = self.pixels[position], self.truths[position]
        if self.params.rare_crops:
            rows, columns = self._window(truth, epoch, position)
            pixels, truth = pixels[rows, columns], truth[..., rows, columns]
        channels_last = truth if truth.ndim == 2 else np.ascontiguousarray(np.moveaxis(truth, 0, 2))
        drawn = augmentation.apply(
            self.pipeline, self.seed, epoch, self.ids[position], image=pixels, mask=channels_last
        )
        mask = drawn["mask"] if truth.ndim == 2 else np.moveaxis(drawn["mask"], 2, 0)
        return torch.from_numpy(drawn["image"].copy()), torch.from_numpy(mask.copy())

    def _window(self, truth: np.ndarray, epoch: int, position: int) -> tuple[slice, slice]:
        """The whole image, or a window of the size of a crop around a random pixel of a class drawn by its rarity."""
        random = np.random.default_rng(seeding.derive(self.seed, "rare_crops", epoch, self.ids[position]))
        masks = self._masks(truth) if random.random() < self.params.rare_crops else []
        weights = np.array([weight * bool(mask.any()) for weight, mask in zip(self.rarity, masks, strict=False)])
        if not weights.sum():
            return slice(None), slice(None)
        mask = masks[random.choice(len(weights), p=weights / weights.sum())]
        place = np.unravel_index(random.choice(np.flatnonzero(mask)), mask.shape)
        sides = zip(place, height_and_width(self.params.crop), mask.shape, strict=True)
        rows, columns = (_around(int(at), crop, side, random) for at, crop, side in sides)
        return rows, columns

    def _masks(self, truth: np.ndarray) -> list[np.ndarray]:
        """A bool (h, w) mask of each class."""
        if truth.ndim == 3:
            return [part == 1 for part in truth]
        return [truth == number for number in range(len(self.rarity))] if self.exclusive else [truth == 1]


def _around(at: int, crop: int, side: int, random: np.random.Generator) -> slice:
    """A random interval of `crop` pixels in range(side) that holds `at`."""
    start = int(random.integers(max(0, at - crop + 1), min(at, side - crop) + 1))
    return slice(start, start + crop)


def pipeline(params: SegmenterParams) -> Compose:
    """Create the albumentations pipeline: a random crop, then the augmentation."""
    import albumentations as A

    crop = height_and_width(params.crop)
    return A.Compose([A.RandomCrop(*crop), augmentation.pipeline(params.augmentation, crop, params.flip)])
