"""Synthetic defects painted into normal images, to try a detector where no real defect is known.

A score on synthetic defects says nothing about real ones: a detector can find easy synthetic defects and be at chance
on real ones. Every random draw depends only on (seed, kind, sample), so all epochs and detectors see the same defects.

cutpaste_patch and cutpaste_scar are CutPaste (Li, Sohn, Yoon and Pfister, CVPR 2021, section 2.2 and appendix): a
rectangle of the image, its colors jittered, is pasted elsewhere in the same image; the scar is thin and rotated.
texture_damage blurs, shuffles, scratches or darkens one irregular region.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from goldfold import errors
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation
from goldfold.io import seeding

if TYPE_CHECKING:
    from albumentations import Compose

Kind = Literal["cutpaste_patch", "cutpaste_scar", "texture_damage"]
KINDS: tuple[str, ...] = get_args(Kind)

PATCH_AREA = (0.02, 0.15)  # of the image
PATCH_ASPECT = (0.3, 3.3)  # width / height
JITTER = 0.1  # of brightness, contrast, saturation and hue
SCAR_WIDTH, SCAR_LENGTH = (2, 16), (10, 25)  # pixels of an image whose shorter side is SCAR_SIDE
SCAR_SIDE = 256
SCAR_LEAST = (2, 4)  # pixels of width and length; a smaller scar is no rotated rectangle
SCAR_ANGLE = (-45, 45)  # degrees
REGION_AREA = (0.01, 0.10)  # of the image

SMALLEST_SIDE, LONGEST_ASPECT = 16, 10
LEAST_CHANGE = 2.0  # gray levels, mean over the mask: background pasted on the same background is no defect
DRAWS = 16
SHIFT = round(JITTER * 255)  # gray levels


def damage(image: np.ndarray, kind: str, seed: int, sample: object) -> tuple[np.ndarray, np.ndarray]:
    """A copy of the image with a synthetic defect, and the mask of the pixels that may differ.

    Returns uint8 (h, w, c) and bool (h, w).
    image: uint8 (h, w, c) with one or three channels (RGB), sides of at least 16 pixels, neither more than ten times
        the other.
    kind: one of `KINDS`.
    sample: anything with a stable `str`, such as an id or a row position.

    cutpaste_patch: area 2-15 % of the image, aspect 0.3-3.3, log-uniform (in the paper: below or above 1 equally
    often).
    cutpaste_scar: 2-16 pixels wide, 10-25 long, rotated by up to 45 degrees. The paper's images have sides of 256:
        pixels scale with the shorter side / 256, down to 2 by 4.
    texture_damage: exactly 1-10 % of the image; one connected region.

    A defect that changes the pixels of its mask by less than two gray levels on average, such as a smooth background
    pasted on itself, is drawn again, up to 16 times. After that, as on many constant images, the pixels of the last
    mask are shifted by 26 gray levels towards the farther end of the range instead. This redrawing is not in the paper.

    Raises GoldfoldError for an unknown kind and for other images.
    """
    _check(image, kind)
    drawn = np.random.default_rng(seeding.derive(seed, kind, sample))
    for _ in range(DRAWS):
        changed, mask = _DAMAGES[kind](image, drawn)
        if _mean_change(image, changed, mask) >= LEAST_CHANGE:
            return changed, mask
    changed = image.copy()
    changed[mask] = np.where(image[mask] < 128, image[mask] + SHIFT, image[mask] - SHIFT)
    return changed, mask


def damage_all(pixels: np.ndarray, samples: Sequence, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """`damage` of each image: the copies, uint8 (n, h, w, c), and the masks, bool (n, h, w).

    pixels: uint8 (n, h, w, c). samples: n of them; the seed is 0.
    """
    pairs = [damage(image, kind, 0, sample) for image, sample in zip(pixels, samples, strict=True)]
    damaged, changed = zip(*pairs, strict=True)
    return np.stack(damaged), np.stack(changed)


def _check(image: np.ndarray, kind: str) -> None:
    if kind not in KINDS:
        raise errors.unknown("kind of synthetic defect", kind, KINDS, code="unknown_defect_kind")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise GoldfoldError(
            "wrong_image_format",
            f"synthetic defects need uint8 images (h, w, 1) or (h, w, 3), got {image.dtype} {image.shape}: convert the "
            "image first",
        )
    short, long = sorted(image.shape[:2])
    if short < SMALLEST_SIDE or long > LONGEST_ASPECT * short:
        raise GoldfoldError(
            "image_too_small",
            f"synthetic defects need sides of at least {SMALLEST_SIDE} pixels, neither more than {LONGEST_ASPECT} "
            f"times the other, got {image.shape[0]} x {image.shape[1]}: "
            "enlarge or crop the image",
        )


def _mean_change(image: np.ndarray, changed: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference inside the mask, in gray levels."""
    return float(np.abs(image[mask].astype(np.int16) - changed[mask]).mean())


@cache
def _jitter() -> Compose:
    import albumentations as A

    return A.Compose([A.ColorJitter(JITTER, JITTER, JITTER, JITTER, p=1)])


def _jittered(patch: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
    return augmentation.apply(_jitter(), int(drawn.integers(2**32)), 0, "patch", image=patch)["image"]


def _patch(image: np.ndarray, drawn: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """CutPaste: a rectangle pasted elsewhere."""
    height, width = _patch_sides(image.shape[0], image.shape[1], drawn)
    room = image.shape[0] - height + 1, image.shape[1] - width + 1
    (row, column), (to_row, to_column) = drawn.integers(room), drawn.integers(room)
    changed, mask = image.copy(), np.zeros(image.shape[:2], bool)
    place = np.s_[to_row : to_row + height, to_column : to_column + width]
    changed[place] = _jittered(image[row : row + height, column : column + width], drawn)
    mask[place] = True
    return changed, mask


def _patch_sides(rows: int, columns: int, drawn: np.random.Generator) -> tuple[int, int]:
    """Height and width in whole pixels, inside both ranges and the image; what rounding moves outside is redrawn."""
    while True:
        area = drawn.uniform(*PATCH_AREA) * rows * columns
        aspect = np.exp(drawn.uniform(*np.log(PATCH_ASPECT)))
        height, width = round(np.sqrt(area / aspect)), round(np.sqrt(area * aspect))
        fits = 1 <= height <= rows and 1 <= width <= columns
        if fits and _inside(height * width / (rows * columns), PATCH_AREA) and _inside(width / height, PATCH_ASPECT):
            return height, width


def _inside(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _scar(image: np.ndarray, drawn: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """CutPaste scar. Coordinates are (x, y), pixel centers are integers; only the bounding box is computed."""
    import cv2

    size = np.array(image.shape[1::-1])
    scale = size.min() / SCAR_SIDE
    ranges = zip((SCAR_WIDTH, SCAR_LENGTH), SCAR_LEAST, strict=True)
    sides = np.array([drawn.uniform(*np.maximum(np.multiply(pixels, scale), least)) for pixels, least in ranges])
    radians = np.deg2rad(drawn.uniform(*SCAR_ANGLE))
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    extent = np.abs(turn) @ sides
    source, target = _center(sides, size, drawn), _center(extent, size, drawn)
    left, top = np.maximum(np.floor(target - extent / 2), 0).astype(int)
    right, bottom = np.minimum(np.ceil(target + extent / 2) + 1, size).astype(int)
    place = np.s_[top:bottom, left:right]

    offsets = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=-1) - target
    within = (np.abs(offsets @ turn) <= sides / 2).all(axis=-1)
    matrix = np.column_stack([turn, target - (left, top) - turn @ source])
    turned = cv2.warpAffine(image, matrix, within.shape[::-1], borderMode=cv2.BORDER_REFLECT_101)
    changed, mask = image.copy(), np.zeros(image.shape[:2], bool)
    mask[place] = within
    changed[mask] = _jittered(turned.reshape(*within.shape, -1)[within][None], drawn)[0]
    return changed, mask


def _center(extent: np.ndarray, size: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
    """Random center of a box of `extent` that lies within an image of `size`."""
    return drawn.uniform(extent / 2 - 0.5, size - extent / 2 - 0.5)


def _texture(image: np.ndarray, drawn: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One effect on one irregular region."""
    mask = _region(image.shape[0], image.shape[1], drawn)
    effect = _EFFECTS[drawn.integers(len(_EFFECTS))]
    changed = image.copy()
    changed[mask] = effect(image, mask, drawn)
    return changed, mask


def _region(rows: int, columns: int, drawn: np.random.Generator) -> np.ndarray:
    """A star-shaped region around a random center, bool (rows, columns), with exactly the drawn number of pixels.

    Its outline is a circle bent by waves of 2 to 6 periods; it holds the pixels nearest to the center in that measure.
    """
    grid = np.indices((rows, columns), np.float32) - drawn.uniform((0, 0), (rows, columns)).reshape(2, 1, 1)
    angle, distance = np.arctan2(*grid), np.hypot(*grid)
    waves = [0.3 * drawn.normal() / n * np.cos(n * angle + drawn.uniform(0, 2 * np.pi)) for n in range(2, 7)]
    nearness = (distance * np.exp(2 * sum(waves))).ravel()
    size = int(np.ceil(drawn.uniform(*REGION_AREA) * rows * columns))
    mask = np.zeros(rows * columns, bool)
    mask[np.argpartition(nearness, size)[:size]] = True
    return mask.reshape(rows, columns)


def _blurred(image: np.ndarray, mask: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
    import cv2

    sigma = max(1.0, drawn.uniform(0.01, 0.03) * min(image.shape[:2]))
    return cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape)[mask]


def _shuffled(image: np.ndarray, mask: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
    return drawn.permutation(image[mask])


def _scratched(image: np.ndarray, mask: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
    """Parallel light and dark streaks: noise averaged along one direction."""
    import cv2

    length = max(7, round(min(image.shape[:2]) * 0.12)) | 1
    line = cv2.getRotationMatrix2D((length // 2, length // 2), drawn.uniform(0, 180), 1)
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    kernel = cv2.warpAffine(kernel, line, (length, length))
    streaks = cv2.filter2D(drawn.normal(size=mask.shape).astype(np.float32), -1, kernel)[mask, None]
    streaks *= drawn.uniform(20, 45) / streaks.std()
    return np.clip(image[mask] + streaks, 0, 255).astype(np.uint8)


def _darkened(image: np.ndarray, mask: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
    return (image[mask] * drawn.uniform(0.3, 0.7)).astype(np.uint8)


_EFFECTS = (_blurred, _shuffled, _scratched, _darkened)
_DAMAGES: dict[str, Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]] = {
    "cutpaste_patch": _patch,
    "cutpaste_scar": _scar,
    "texture_damage": _texture,
}
