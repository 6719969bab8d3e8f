"""Random views of images for training without labels: SimSiam's augmentation, two views, and later frames."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.data import neighbors
from goldfold.images import augmentation, reading
from goldfold.images.sizes import Size, area
from goldfold.io import seeding

if TYPE_CHECKING:
    from albumentations import Compose

PUBLISHED_SIZE = 224  # image side in pixels for which the strength of the blur is published


def simsiam_pipeline(
    size: int, *, crop: float = 0.2, strength: float = 1.0, flip: bool = True, gray: bool = False
) -> Compose:
    """Create SimSiam's augmentation, whose output has `size` x `size` pixels (Chen and He 2021, appendix A).

    A random resized crop of `crop` to all of the area; with probability 0.8 a change of brightness, contrast and
    saturation by up to 0.4 and of hue by up to 0.1; with 0.2 conversion to gray; with 0.5 a Gaussian blur of 0.1 to 2
    pixels for a side of 224, in proportion for others; with 0.5 a left-right flip.

    crop: smallest share of the area that a crop keeps.
    strength: multiplies the color changes and the blur; 1 is the published one.
    flip: whether to flip. gray: whether images have one channel, so that there is no conversion to gray.
    """
    import albumentations as A

    light, blur = 0.4 * strength, 2 * strength * size / PUBLISHED_SIZE
    to_gray = [] if gray else [A.ToGray(p=0.2 * min(1.0, strength))]
    changes = [
        A.ColorJitter(_around(light), _around(light), _around(light), (-0.1 * strength, 0.1 * strength), p=0.8),
        *to_gray,
        A.GaussianBlur(0, (blur / 20, blur), p=0.5),
    ]
    crops = A.RandomResizedCrop((size, size), scale=(crop, 1.0), area_for_downscale="image")
    return A.Compose([crops, *(changes if strength else []), *([A.HorizontalFlip()] if flip else [])])


def _around(width: float) -> tuple[float, float]:
    """The interval 1 - width to 1 + width, without negative numbers."""
    return max(0.0, 1 - width), 1 + width


@dataclass(frozen=True)
class SourceImages:
    """Images to make views of, uint8 (h, w, c), by position; from memory if `in_memory` has them, else from files.

    size: that images are resized to; None: their own size.
    """

    paths: tuple[Path, ...]
    gray: bool
    size: Size | None = None
    in_memory: Sequence[np.ndarray] | None = None

    def __getitem__(self, position: int) -> np.ndarray:
        return self.read(self.paths[position]) if self.in_memory is None else self.in_memory[position]

    def read(self, path: Path) -> np.ndarray:
        """Read an image from its file."""
        image = reading.read(path, self.gray)
        return image if self.size is None else reading.resize(image, self.size)


def load_sources(paths: Sequence[Path], gray: bool, memory: float, size: Size | None = None) -> SourceImages:
    """Load the images to make views of; if their pixels take more than `memory` GiB, they are read on every access."""
    sources = SourceImages(tuple(paths), gray, size)
    pixels = [area(size) if size else int(np.prod(reading.size(path))) for path in sources.paths]
    if sum(pixels) * (1 if gray else 3) > memory * 2**30:
        return sources
    with ThreadPoolExecutor(reading.THREADS) as pool:
        return replace(sources, in_memory=list(pool.map(sources.read, sources.paths)))


@dataclass(frozen=True)
class RandomViews:
    """Random views of images, each drawn from (seed, epoch, id, number of the view, occurrence in the epoch).

    images: by position. ids: of the rows. pipeline: the augmentation.
    """

    images: SourceImages
    ids: Sequence
    pipeline: Compose
    seed: int

    def view(self, epoch: int, position: int, number: int, occurrence: int = 0) -> np.ndarray:
        """Return a view of the image at `position`, uint8 (h, w, c).

        occurrence: how often the epoch had the position before.
        """
        sample_id = augmentation.repeat(f"view {number} of {self.ids[position]}", occurrence)
        augmented = augmentation.apply(self.pipeline, self.seed, epoch, sample_id, image=self.images[position])
        return np.ascontiguousarray(augmented["image"])


@dataclass(frozen=True)
class TwoViews:
    """Samples for `batches.from_dataset`: (epoch, position, its occurrence in the epoch) -> two views of a row.

    later: int64 (n,), position of the later frame of each row, or -1 if there is none. If given, samples also have a
        view of the later frame, and whether it is known; if it is not, the view is of the row itself.
    neighbors: for each row the positions that its second view is drawn from; None: the row itself.
    """

    views: RandomViews
    later: np.ndarray | None = None
    neighbors: Sequence[np.ndarray] | None = None

    def __call__(self, epoch: int, position: int, occurrence: int = 0) -> tuple:
        view = partial(self.views.view, epoch, occurrence=occurrence)
        own = augmentation.repeat(self.views.ids[position], occurrence)
        other = position if self.neighbors is None else self._draw_neighbor(self.neighbors[position], epoch, own)
        first, second = view(position, 0), view(other, 1)
        if self.later is None:
            return first, second
        later = int(self.later[position])
        known = later >= 0
        return first, second, view(later if known else position, 2), known

    def _draw_neighbor(self, neighbors: np.ndarray, epoch: int, sample_id: object) -> int:
        """One of the neighbors of a row at random."""
        drawn = seeding.derive(self.views.seed, "near", epoch, sample_id)
        return int(neighbors[drawn % len(neighbors)])


@dataclass(frozen=True)
class OneView:
    """Samples for `batches.from_dataset`: a view of `rows[position]` and `labels[position]`.

    They are called with (epoch, position, its occurrence in the epoch).
    """

    views: RandomViews
    rows: np.ndarray
    labels: np.ndarray

    def __call__(self, epoch: int, position: int, occurrence: int = 0) -> tuple[np.ndarray, int]:
        return self.views.view(epoch, int(self.rows[position]), 0, occurrence), int(self.labels[position])


def later_frames(sequences: np.ndarray, times: np.ndarray, step: float) -> np.ndarray:
    """Return the position of the frame `step` later in the same sequence, int64 (n,); -1 if there is none.

    It is the frame nearest to that time, at a distance below half a step. `step` has the unit of `times`.
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


def neighbors_in_time(sequences: np.ndarray, times: np.ndarray, within: float) -> list[np.ndarray]:
    """Return for each row the positions of the rows of its sequence at most `within` away in time, itself included."""
    windows = neighbors.timeline(sequences, times).windows(within)
    return [windows.of(row) for row in range(len(times))]
