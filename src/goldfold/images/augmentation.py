"""Random image augmentation for training, drawn from (seed, epoch, sample id) whatever the number of workers.

albumentations keeps its random state inside `Compose` and copies it into each worker of a DataLoader, so workers repeat
each other, and new workers repeat the previous epoch. `Compose.set_random_seed` does not prevent the copies. It also
gives every transform the same seed, so a horizontal flip always comes with a vertical one. `apply` therefore gives
every call a new generator, which all transforms of the pipeline share.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
import pandas as pd

from goldfold.errors import unknown
from goldfold.images.sizes import Size, height_and_width
from goldfold.io import seeding
from goldfold.params import Role

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise the import asks the network for a newer version

if TYPE_CHECKING:
    from albumentations import BasicTransform, Compose

AugmentationName = Literal["none", "flips", "moves", "light", "strong", "crop_erase"]
Augmentation = Annotated[AugmentationName, Role.MIRRORS]  # as the type of a parameter
NAMES: tuple[str, ...] = get_args(AugmentationName)
MIRRORING = frozenset({"flips", "light", "strong"})  # those that show an image mirrored
REFLECT_101 = 4  # cv2.BORDER_REFLECT_101


def apply(pipeline: Compose, seed: int, epoch: int, sample_id: object, **targets: Any) -> dict[str, Any]:
    """Run `pipeline(**targets)` with the random state of this sample and epoch; setting it takes about 20 µs.

    sample_id: anything with a stable `str`: an id, a row position. Equal ones get equal results: see `distinct_ids`.
    targets: the inputs of albumentations, such as image=uint8 (h, w, c) and mask=(h, w).
    """
    own_seed = seeding.derive(seed, "augmentation", epoch, sample_id)
    pipeline.set_random_state(np.random.default_rng(own_seed), random.Random(own_seed))
    return pipeline(**targets)


def occurrences(values: Iterable) -> np.ndarray:
    """Return how often the text of each value occurred before it, int64 (n,).

    >>> occurrences(["a", "b", "a", "a"]).tolist()
    [0, 0, 1, 2]
    """
    text = pd.Series([str(value) for value in values])
    return text.groupby(text).cumcount().to_numpy(np.int64)


def distinct_ids(ids: Iterable) -> list:
    """Return an id for `apply` for each row: copies of a row (oversampling) are augmented differently.

    The first row of an id keeps it.
    """
    known = list(ids)
    return [repeat(each, number) for each, number in zip(known, occurrences(known).tolist(), strict=True)]


def repeat(sample_id: object, occurrence: int) -> object:
    """Return the id for `apply` of an occurrence of a sample in an epoch; 0, the first, is the id itself."""
    return f"{sample_id}\x1e{occurrence}" if occurrence else sample_id


def pipeline(name: str, size: Size, flip: bool = False) -> Compose:
    """Create the albumentations pipeline `name`, whose output has the height and width of `size`.

    none: resizing only. flips: left-right and up-down. moves: shifts, scaling and rotations of a few percent and
    degrees. light: flips, moves, brightness and contrast. strong: flips, quarter turns, random resized crops, larger
    rotations, brightness, contrast, noise or blur, one hole. crop_erase: a black margin of 4 % of the longer side, a
    random crop of the old size, and one rectangle of noise in half of the images, as in re-identification (Luo et al.
    2019).

    flip: whether half of the images are also flipped left-right.

    Raises GoldfoldError for an unknown name.
    """
    import albumentations as A

    if name not in NAMES:
        raise unknown("augmentation", name, NAMES, code="unknown_augmentation")
    steps = {"none": list, "flips": _flips, "moves": _moves, "light": _light, "strong": lambda: _strong(size)}
    steps["crop_erase"] = lambda: _crop_erase(size)
    return A.Compose([A.Resize(*height_and_width(size)), *steps[name](), *([A.HorizontalFlip()] if flip else [])])


def _flips() -> list[BasicTransform]:
    import albumentations as A

    return [A.HorizontalFlip(), A.VerticalFlip()]


def _moves() -> list[BasicTransform]:
    import albumentations as A

    return [
        A.Affine(translate_percent=(-0.06, 0.06), scale=(0.9, 1.1), rotate=(-10, 10), border_mode=REFLECT_101, p=0.8)
    ]


def _light() -> list[BasicTransform]:
    import albumentations as A

    return [*_flips(), *_moves(), A.RandomBrightnessContrast(0.15, 0.15)]


def _strong(size: Size) -> list[BasicTransform]:
    import albumentations as A

    height, width = height_and_width(size)
    upright = [A.Resize(height, width)] if height != width else []  # after quarter turns
    return [
        A.RandomResizedCrop((height, width), scale=(0.6, 1.0), ratio=(0.8, 1.25)),
        *_flips(),
        A.RandomRotate90(),
        *upright,
        A.Affine(rotate=(-20, 20), shear=(-6, 6), border_mode=REFLECT_101, p=0.5),
        A.RandomBrightnessContrast(0.3, 0.3, p=0.7),
        A.OneOf([A.GaussNoise((0.02, 0.1)), A.GaussianBlur((3, 5))], p=0.3),
        A.CoarseDropout((1, 1), (0.1, 0.3), (0.1, 0.3), p=0.3),
    ]


def _crop_erase(size: Size) -> list[BasicTransform]:
    import albumentations as A

    height, width = height_and_width(size)
    margin = max(1, round(max(height, width) * 0.04))  # 10 of 256 pixels
    return [
        A.Pad(margin),
        A.RandomCrop(height, width),
        A.Erasing(scale=(0.02, 0.4), ratio=(0.3, 3.33), fill="random", p=0.5),
    ]
