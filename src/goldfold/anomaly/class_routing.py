"""Class routing: predict the class of an image from the training images of each class, without its label.

An image of a class that was not in training is routed to the nearest class like any other; this cannot be detected
here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from goldfold import errors
from goldfold.anomaly import memory_bank
from goldfold.errors import GoldfoldError
from goldfold.images.reading import resize

SIDE = 32  # pixels a side for comparing whole images
BINS = 8  # levels of each of red, green and blue in a histogram
WIDTH = 64  # characters of a class name, equal in all folds, since numpy truncates longer strings silently


@dataclass(frozen=True, kw_only=True)
class Routed:
    """The classes that n images were routed to.

    classes: the candidates, sorted.
    positions: int64 (n,), into `classes`. Folds may have different classes, so save `names` instead.
    distances: float64 (n,), the distance to the chosen class, at least 0, in the unit of the comparison that decided.
    margins: float64 (n,) in [0, 1], how much nearer that class is than the runner-up: 1 - distance / runner-up's. 0:
        two are equally near; 1: the distance is 0, or there is no other class. Small margins are doubtful.
    """

    classes: tuple[str, ...]
    positions: np.ndarray
    distances: np.ndarray
    margins: np.ndarray

    @property
    def names(self) -> np.ndarray:
        """The chosen class names, <U64 (n,): the field `routed` of predictions."""
        return class_names(self.classes)[self.positions]


@dataclass(frozen=True, kw_only=True)
class Prototypes:
    """The average appearance of the training images of each class.

    classes: sorted. images: float64 (classes, 32, 32, 3) in [0, 1], RGB. histograms: float64 (classes, 512), each with
    sum 1. textures: int64 (t,), positions of the classes that are told apart by color and not by layout.
    """

    classes: tuple[str, ...]
    images: np.ndarray
    histograms: np.ndarray
    textures: np.ndarray


def class_names(labels: Iterable[str]) -> np.ndarray:
    """Class names in any script as <U64 (n,), which files and records hold without pickle.

    Raises GoldfoldError if there are none, and for anything that is not a name: None, NaN, numbers, the empty string,
    more than 64 characters.
    """
    found = list(labels)
    if not found:
        raise GoldfoldError("no_classes", "at least one class name is needed, got none: check what was loaded")
    bad = [name for name in found if not (isinstance(name, str) and 0 < len(name) <= WIDTH)]
    if bad:
        raise GoldfoldError(
            "class_name_invalid",
            f"a class name must be a string of 1 to {WIDTH} characters, but {len(bad)} of {len(found)} are not, first "
            f"{bad[0]!r}: check how images and class names were matched, and convert numbers to strings",
        )
    return np.array(found, f"<U{WIDTH}")


def prototypes(images: Iterable[np.ndarray], labels: Iterable[str], textures: Collection[str] = ()) -> Prototypes:
    """The mean image and mean color histogram of each class.

    images: n uint8 (h, w, 3) in RGB order, of any sizes; an iterator keeps one in memory at a time. Each is shrunk to
        32 x 32 without keeping the aspect ratio. labels: the n class names.
    textures: names of the classes that are told apart by color.

    Raises GoldfoldError for no images, other images, different numbers of images and labels, a label that is no name
    (see `class_names`) and a texture that is no class.
    """
    classes, codes, sizes = np.unique(class_names(labels), return_inverse=True, return_counts=True)
    known = classes.tolist()
    for name in textures:
        if name not in known:
            raise errors.unknown("texture class", str(name), known, code="unknown_texture")
    means, histograms = np.zeros((len(known), SIDE, SIDE, 3)), np.zeros((len(known), BINS**3))
    for code, image in zip(codes, _counted(images, len(codes)), strict=True):
        means[code] += _small(image) / sizes[code]
        histograms[code] += histogram(image) / sizes[code]
    positions = np.flatnonzero(np.isin(classes, list(textures)))
    return Prototypes(classes=tuple(known), images=means, histograms=histograms, textures=positions)


def by_prototype(images: Iterable[np.ndarray], known: Prototypes) -> Routed:
    """Route images to the nearest mean image; images that look like a texture, to the texture with the nearest colors.

    images: as for `prototypes`; there may be none. Whole images are compared by the mean squared difference of pixels
    in [0, 1]. If the winner is one of two or more textures, the nearest histogram among these decides, by chi-square
    distance. The margin is then the smaller of two: to the nearest class that is no texture, and to the next texture.
    """
    by_pixels, by_color = [], []
    for image in images:
        by_pixels.append(np.square(known.images - _small(image)).mean((1, 2, 3)))
        by_color.append(chi_square(histogram(image), known.histograms[known.textures]))
    pixels = np.reshape(by_pixels, (-1, len(known.classes)))
    if len(known.textures) < 2:
        return _nearest(pixels, known.classes)
    return _textures_apart(pixels, np.reshape(by_color, (-1, len(known.textures))), known)


def by_memory_bank(features: Tensor, banks: Mapping[str, Tensor]) -> Routed:
    """Route images to the class whose memory bank of normal features is nearest.

    features: float (n, d), a vector per image, or (n, p, d), its patches. banks: class -> float (m, d), m >= 1.

    The distance to a class is `memory_bank.vector_scores` for vectors. For patches it is the mean over patches of the
    distance to the nearest row. An anomaly score such as `memory_bank.image_scores` would not do: it is the distance of
    the most anomalous patch, which in a defective image is the defect and is far from all classes alike. More rows make
    a bank nearer, so give all classes about as many.

    Raises GoldfoldError for no class, and as `memory_bank.nearest` does, with the name of the class.
    """
    classes = tuple(sorted(class_names(banks).tolist()))
    distances = [_distance_to_bank(features, banks[name], name) for name in classes]
    return _nearest(np.stack(distances, axis=1), classes)


def concatenate(parts: Sequence[Routed]) -> Routed:
    """Concatenate the results of images routed among the same classes; there must be at least one part."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("positions", "distances", "margins")
    }
    return Routed(classes=parts[0].classes, **columns)


def histogram(image: np.ndarray) -> np.ndarray:
    """Color histogram of an image uint8 (h, w, 3): shares of 8 x 8 x 8 bins of red, green and blue, (512,)."""
    counts = cv2.calcHist([_checked(image)], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3).ravel()
    return counts.astype(np.float64) / counts.sum()


def chi_square(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Chi-square distance of one histogram (bins,) to several (k, bins): (k,) in [0, 1].

    It is 1/2 sum of (a - b)² / (a + b) over the bins.
    """
    both = one + others
    return np.divide(np.square(one - others), both, out=np.zeros_like(both), where=both > 0).sum(1) / 2


def _textures_apart(pixels: np.ndarray, colors: np.ndarray, known: Prototypes) -> Routed:
    """Route by pixels with all textures as one class, then among the textures by color."""
    objects = np.setdiff1d(np.arange(len(known.classes)), known.textures)
    together = np.column_stack([pixels[:, known.textures].min(1), pixels[:, objects]])  # textures as if one class
    first, among = _nearest(together, known.classes), _nearest(colors, known.classes)
    textured = first.positions == 0
    places = np.append(-1, objects)
    return Routed(
        classes=known.classes,
        positions=np.where(textured, known.textures[among.positions], places[first.positions]),
        distances=np.where(textured, among.distances, first.distances),
        margins=np.where(textured, np.minimum(first.margins, among.margins), first.margins),
    )


def _nearest(distances: np.ndarray, classes: tuple[str, ...]) -> Routed:
    """The nearest class of each image, from distances (n, classes)."""
    ordered = np.sort(np.pad(distances, ((0, 0), (0, 1)), constant_values=np.inf), axis=1)  # a runner-up for one class
    nearest, second = ordered[:, 0], ordered[:, 1]
    share = np.divide(nearest, second, out=np.ones(len(ordered)), where=second > 0)
    return Routed(classes=classes, positions=distances.argmin(1), distances=nearest, margins=1 - share)


def _distance_to_bank(features: Tensor, bank: Tensor, name: str) -> np.ndarray:
    """Distance of each image to one class's memory bank, float64 (n,)."""
    try:
        if features.ndim == 3 and features.shape[1]:
            found, _ = memory_bank.nearest(features.flatten(0, 1), bank, 1)
            distances = found.view(features.shape[:2]).mean(1)
        else:
            distances = memory_bank.vector_scores(features, bank)
    except GoldfoldError as error:
        raise GoldfoldError(error.code, f"class '{name}': {error}") from None
    return distances.cpu().numpy().astype(np.float64)


def _counted(images: Iterable[np.ndarray], count: int) -> Iterable[np.ndarray]:
    """Yield the images; GoldfoldError unless there are `count`."""
    seen = 0
    for seen, image in enumerate(images, 1):
        if seen > count:
            break
        yield image
    if seen != count:
        more = "more" if seen > count else seen
        raise GoldfoldError(
            "lengths_differ",
            f"each image needs one class, got {count} classes and {more} images: give one class per image",
        )


def _small(image: np.ndarray) -> np.ndarray:
    """The image at 32 x 32, in [0, 1]."""
    return resize(_checked(image), SIDE) / 255


def _checked(image: np.ndarray) -> np.ndarray:
    """The image, if it is uint8 (h, w, 3), else GoldfoldError."""
    shape: tuple[int, ...] = getattr(image, "shape", ())
    kind = getattr(image, "dtype", type(image).__name__)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or kind != np.uint8:
        raise GoldfoldError(
            "wrong_image_format",
            f"an image must be uint8 (height, width, 3), got {kind} {shape}: read it with goldfold.images.reading",
        )
    return image
