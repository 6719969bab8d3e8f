"""Two views of an image, changed at random, and the frame ahead of it: what is learnt from without labels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.data import neighbors
from goldfold.images import augmentation
from goldfold.images import reading as images
from goldfold.io import seeding

if TYPE_CHECKING:
    from albumentations import Compose

PUBLISHED_SIZE = 224  # pixels a side, for which the strength of the blur is given


def pipeline(size: int, *, crop: float = 0.2, strength: float = 1.0, flip: bool = True, grey: bool = False) -> Compose:
    """What makes a view of SimSiam, of which `size` x `size` pixels come out (Chen and He 2021, appendix A).

    A crop of `crop` to all of the area, resized; brightness, contrast and saturation by up to 0.4 and hue by up to 0.1
    with probability 0.8; grey with 0.2; a Gaussian blur of 0.1 to 2 pixels at 224 a side, in proportion at others, with
    0.5; mirrored with 0.5. strength: multiplies the changes of colour and the blur. grey: of one channel, without
    colours to change.
    """
    import albumentations as A

    light, blur = 0.4 * strength, 2 * strength * size / PUBLISHED_SIZE
    colours = [] if grey else [A.ToGray(p=0.2 * min(1.0, strength))]
    changes = [
        A.ColorJitter(_around(light), _around(light), _around(light), (-0.1 * strength, 0.1 * strength), p=0.8),
        *colours,
        A.GaussianBlur(0, (blur / 20, blur), p=0.5),
    ]
    crops = A.RandomResizedCrop((size, size), scale=(crop, 1.0), area_for_downscale="image")
    return A.Compose([crops, *(changes if strength else []), *([A.HorizontalFlip()] if flip else [])])


def _around(width: float) -> tuple[float, float]:
    return max(0.0, 1 - width), 1 + width


@dataclass(frozen=True)
class Frames:
    """Images by position, uint8 (h, w, c), decoded once where `kept` holds them.

    size: pixels a side; as their files have them where None.
    """

    paths: tuple[Path, ...]
    grey: bool
    size: int | None = None
    kept: Sequence[np.ndarray] | None = None

    def __getitem__(self, position: int) -> np.ndarray:
        return self.read(self.paths[position]) if self.kept is None else self.kept[position]

    def read(self, path: Path) -> np.ndarray:
        image = images.read(path, self.grey)
        return image if self.size is None else images.resize(image, self.size)


def frames(paths: Sequence[Path], grey: bool, memory: float, size: int | None = None) -> Frames:
    """Images to make views of; held in memory where their pixels fill at most `memory` GiB, else read each time."""
    found = Frames(tuple(paths), grey, size)
    pixels = [size**2] * len(found.paths) if size else [np.prod(images.size(path)) for path in found.paths]
    if sum(pixels) * (1 if grey else 3) > memory * 2**30:
        return found
    with ThreadPoolExecutor(images.THREADS) as pool:
        return replace(found, kept=list(pool.map(found.read, found.paths)))


@dataclass(frozen=True)
class Views:
    """Samples of an epoch, for `batches.from_dataset`: several views of a row, each drawn by itself.

    ids: of the rows, from which together with (seed, epoch, number of the view) the changes are drawn.
    """

    frames: Frames
    ids: Sequence
    change: Compose
    seed: int

    def view(self, epoch: int, position: int, number: int) -> np.ndarray:
        """uint8 (size, size, c)."""
        sample = f"view {number} of {self.ids[position]}"
        changed = augmentation.apply(self.change, self.seed, epoch, sample, image=self.frames[position])
        return np.ascontiguousarray(changed["image"])


@dataclass(frozen=True)
class TwoViews:
    """(epoch, position) -> two views of a row; `ahead` adds the frame ahead, its position or -1, and if it is known.

    near: for each row the positions of the rows that the second view is drawn from; the row itself if None.
    """

    views: Views
    ahead: np.ndarray | None = None
    near: Sequence[np.ndarray] | None = None

    def __call__(self, epoch: int, position: int) -> tuple:
        other = position if self.near is None else self._near(epoch, position)
        first, second = self.views.view(epoch, position, 0), self.views.view(epoch, other, 1)
        if self.ahead is None:
            return first, second
        after = self.ahead[position]
        known = bool(after >= 0)
        return first, second, self.views.view(epoch, int(after) if known else position, 2), known

    def _near(self, epoch: int, position: int) -> int:
        choice = self.near[position]
        return int(choice[seeding.derive(self.views.seed, "near", epoch, self.views.ids[position]) % len(choice)])


@dataclass(frozen=True)
class OneView:
    """(epoch, position) -> a view of the row at `rows[position]` and its label, `labels[position]`."""

    views: Views
    rows: np.ndarray
    labels: np.ndarray

    def __call__(self, epoch: int, position: int) -> tuple[np.ndarray, int]:
        return self.views.view(epoch, int(self.rows[position]), 0), int(self.labels[position])


def ahead(sequences: np.ndarray, times: np.ndarray, step: float) -> np.ndarray:
    """The position of the frame `step` later in the same sequence, int64 (n,); -1 where there is none.

    It is the one nearest to that time, off by less than half a step; times and `step` have one unit.
    """
    found = np.full(len(times), -1)
    for members in neighbors.timeline(sequences, times).members():
        own, wanted = times[members], times[members] + step
        order = np.argsort(own, kind="stable")
        later = np.searchsorted(own[order], wanted).clip(1, max(1, len(own) - 1))
        pair = order[np.stack([later - 1, later.clip(max=len(own) - 1)])]
        off = np.abs(own[pair] - wanted)
        nearest = np.where(off[0] <= off[1], pair[0], pair[1])
        good = off.min(axis=0) < step / 2
        found[members[good]] = members[nearest[good]]
    return found


def near(sequences: np.ndarray, times: np.ndarray, within: float) -> list[np.ndarray]:
    """For each row the positions of the rows of its sequence at most `within` away in time, itself among them."""
    found = neighbors.timeline(sequences, times).windows(within)
    return [found.of(row) for row in range(len(times))]
