"""Random changes of images whose randomness comes from (seed, epoch, sample id) alone, whatever the number of workers.

albumentations keeps its random state inside `Compose` and copies it into each worker of a DataLoader, so that workers
repeat each other and fresh workers repeat the epoch before. `Compose.set_random_seed` cures neither the copies nor a
third fault: it hands every transform the same seed, and then a horizontal flip comes with a vertical one each time.
`apply` gives one fresh generator, shared by all transforms of the pipeline, to every single call.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from goldfold import errors, seeding

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version

if TYPE_CHECKING:
    from albumentations import BasicTransform, Compose
    from torch import Tensor

Name = Literal["none", "flips", "moves", "light", "strong"]
NAMES: tuple[str, ...] = get_args(Name)
REFLECTED = 4  # cv2.BORDER_REFLECT_101

Flips = Literal["none", "horizontal", "both"]
FLIPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "none": ((),),
    "horizontal": ((), (2,)),
    "both": ((), (2,), (1,), (1, 2)),
}


def views(pixels: Tensor, flips: Flips) -> list[Tensor]:
    """Images (n, h, w, c) as they are and mirrored: one view of them all, two or four."""
    return [pixels.flip(axes) if axes else pixels for axes in FLIPS[flips]]


def apply(pipeline: Compose, seed: int, epoch: int, sample: object, **targets: Any) -> dict[str, Any]:
    """`pipeline(**targets)` as drawn for this sample in this epoch; costs about 20 µs beside the transforms themselves.

    targets: what albumentations takes, such as image=uint8 (h, w, c) and mask=(h, w).
    sample: anything with a stable `str`: an id, a row position.
    """
    drawn = seeding.derive(seed, "augmentation", epoch, sample)
    pipeline.set_random_state(np.random.default_rng(drawn), random.Random(drawn))
    return pipeline(**targets)


def pipeline(name: str, size: int) -> Compose:
    """The albumentations pipeline called `name`, for images of which `size` x `size` pixels come out.

    none: resized where the size differs, nothing else. flips: left-right and up-down. moves: shifts, scales and turns
    of a few percent and degrees. light: flips, moves, brightness and contrast. strong: flips, quarter turns, random
    resized crops, larger turns, brightness, contrast, noise or blur, one hole.
    """
    import albumentations as A

    if name not in NAMES:
        raise errors.unknown("augmentation", name, NAMES)
    steps = {"none": list, "flips": _flips, "moves": _moves, "light": _light, "strong": lambda: _strong(size)}
    return A.Compose([A.Resize(size, size), *steps[name]()])


def _flips() -> list[BasicTransform]:
    import albumentations as A

    return [A.HorizontalFlip(), A.VerticalFlip()]


def _moves() -> list[BasicTransform]:
    import albumentations as A

    return [A.Affine(translate_percent=(-0.06, 0.06), scale=(0.9, 1.1), rotate=(-10, 10), border_mode=REFLECTED, p=0.8)]


def _light() -> list[BasicTransform]:
    import albumentations as A

    return [*_flips(), *_moves(), A.RandomBrightnessContrast(0.15, 0.15)]


def _strong(size: int) -> list[BasicTransform]:
    import albumentations as A

    return [
        A.RandomResizedCrop((size, size), scale=(0.6, 1.0), ratio=(0.8, 1.25)),
        *_flips(),
        A.RandomRotate90(),
        A.Affine(rotate=(-20, 20), shear=(-6, 6), border_mode=REFLECTED, p=0.5),
        A.RandomBrightnessContrast(0.3, 0.3, p=0.7),
        A.OneOf([A.GaussNoise((0.02, 0.1)), A.GaussianBlur((3, 5))], p=0.3),
        A.CoarseDropout((1, 1), (0.1, 0.3), (0.1, 0.3), p=0.3),
    ]
