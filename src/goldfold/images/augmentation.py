"""Images changed at random for training, and seen in several ways for predictions.

Random changes come from (seed, epoch, sample id) alone, whatever the number of workers.

albumentations keeps its random state inside `Compose` and copies it into each worker of a DataLoader, so that workers
repeat each other and fresh workers repeat the epoch before. `Compose.set_random_seed` cures neither the copies nor a
third fault: it hands every transform the same seed, and then a horizontal flip comes with a vertical one each time.
`apply` gives one fresh generator, shared by all transforms of the pipeline, to every single call.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from goldfold import errors
from goldfold.io import seeding

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version

if TYPE_CHECKING:
    from albumentations import BasicTransform, Compose
    from torch import Tensor

Name = Literal["none", "flips", "moves", "light", "strong"]
NAMES: tuple[str, ...] = get_args(Name)
REFLECTED = 4  # cv2.BORDER_REFLECT_101

SHARE = 0.875  # of an image's side that a crop keeps: 224 of 256 pixels

Views = Literal["none", "mirrored", "flips", "turns", "crops"]
MapViews = Literal["none", "mirrored", "flips", "turns"]  # those that can be undone in a map of the image


class Turn(NamedTuple):
    """One of the eight symmetries of the square: left and right swapped or not, then quarter turns anticlockwise."""

    mirrored: bool = False
    quarters: int = 0

    def of(self, values: Tensor) -> Tensor:
        """Images or maps (n, h, w, ...) as this view shows them; an odd number of quarters swaps h and w."""
        seen = values.flip(2) if self.mirrored else values
        return seen.rot90(self.quarters, (1, 2)).contiguous() if self.quarters else seen

    def undone(self, values: Tensor) -> Tensor:
        """What `of` was given, from what it returned."""
        upright = values.rot90(-self.quarters, (1, 2)) if self.quarters else values
        return upright.flip(2) if self.mirrored else upright.contiguous()


class Crop(NamedTuple):
    """A window of a share of each side, enlarged to the whole; 0 is the top or the left edge, 1 the other one."""

    down: float
    right: float
    share: float = SHARE

    def of(self, pixels: Tensor) -> Tensor:
        """Images uint8 (n, h, w, c) -> such images of the window, bilinear."""
        from torchvision.transforms.v2 import functional as F

        height, width = pixels.shape[1:3]
        high, wide = round(self.share * height), round(self.share * width)
        top, left = round(self.down * (height - high)), round(self.right * (width - wide))
        window = (top, left, high, wide)
        return F.resized_crop(pixels.permute(0, 3, 1, 2), *window, [height, width]).permute(0, 2, 3, 1).contiguous()


_MIRRORED = (Turn(), Turn(mirrored=True))
_FLIPS = (*_MIRRORED, Turn(mirrored=True, quarters=2), Turn(quarters=2))
_QUARTERS = tuple(Turn(mirrored, quarters) for mirrored in (False, True) for quarters in (1, 3))
View = Turn | Crop
VIEWS: dict[str, tuple[View, ...]] = {
    "none": (Turn(),),
    "mirrored": _MIRRORED,
    "flips": _FLIPS,
    "turns": (*_FLIPS, *_QUARTERS),
    "crops": (Crop(0.5, 0.5), *(Crop(down, right) for down in (0, 1) for right in (0, 1))),
}


def views(pixels: Tensor, name: Views) -> list[Tensor]:
    """Images (n, h, w, c) in every view of the set called `name`.

    none: the image alone. mirrored: and left-right. flips: and up-down, and both. turns: the eight symmetries of the
    square. crops: the centre and the four corners, `SHARE` of the sides (Krizhevsky et al. 2012, section 4.1, without
    the mirrored ones), in uint8.

    Raises GoldfoldError for turns of images that are not square.
    """
    height, width = pixels.shape[1:3]
    if name == "turns" and height != width:
        raise errors.GoldfoldError(
            f"views=turns needs square images, since quarter turns swap their sides, and these are {height} x {width}: "
            "choose flips"
        )
    return [view.of(pixels) for view in VIEWS[name]]


def upright(maps: Sequence[Tensor], name: MapViews) -> list[Tensor]:
    """Maps (n, h, w), one for each view in the order of `views`, as maps of the image as it is."""
    return [view.undone(each) for view, each in zip(VIEWS[name], maps, strict=True)]


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
