"""Which class an image belongs to, told without its label by what the training images of each class look like.

An image of a class that training never saw is routed to the nearest as any other; nothing here can know it.
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

SIDE = 32  # pixels a side at which whole images are compared
BINS = 8  # levels of each of red, green and blue in a histogram
WIDTH = 64  # characters of a class name, the same in each fold: numpy cuts off what a narrower array has no room for


@dataclass(frozen=True, kw_only=True)
class Routed:
    """The classes that n images were routed to.

    positions: int64 (n,), into `classes`, which are sorted. Folds may have seen different ones: keep `names` instead.
    scores: float64 (n,), the distance to the chosen class, at least 0, in the unit of the comparison that decided.
    margins: float64 (n,) in [0, 1], how much nearer that class is than the runner-up: 1 - distance / runner-up's. 0:
        two are equally near; 1: the image is at distance 0, or there is no other class. Small ones are doubtful.
    """

    classes: tuple[str, ...]
    positions: np.ndarray
    scores: np.ndarray
    margins: np.ndarray

    @property
    def names(self) -> np.ndarray:
        """The chosen classes themselves, <U64 (n,): the field `routed` of predictions."""
        return names(self.classes)[self.positions]


@dataclass(frozen=True, kw_only=True)
class Prototypes:
    """What the training images of each class look like on average.

    classes: sorted. images: float64 (classes, 32, 32, 3) in [0, 1], RGB. histograms: float64 (classes, 512), each of
    sum 1. textures: int64 (t,), positions of the classes that colours tell apart better than places do.
    """

    classes: tuple[str, ...]
    images: np.ndarray
    histograms: np.ndarray
    textures: np.ndarray


def names(labels: Iterable[str]) -> np.ndarray:
    """Class names in any script as <U64, (n,), which files and records hold without pickle.

    Raises GoldfoldError where there is none, and for what is no name: None, NaN, numbers, the empty string, more than
    64 characters.
    """
    found = list(labels)
    if not found:
        raise GoldfoldError("there must be at least one class and there is none; look at what was loaded")
    bad = [name for name in found if not (isinstance(name, str) and 0 < len(name) <= WIDTH)]
    if bad:
        raise GoldfoldError(
            f"a class is named by a string of 1 to {WIDTH} characters, and {len(bad)} of {len(found)} are not, first "
            f"{bad[0]!r}; look at how images and class names were matched, and make strings of numbers"
        )
    return np.array(found, f"<U{WIDTH}")


def prototypes(images: Iterable[np.ndarray], labels: Iterable[str], textures: Collection[str] = ()) -> Prototypes:
    """The mean image and mean colour histogram of each class.

    images: n uint8 (h, w, 3) in RGB order, of any sizes; an iterator keeps one in memory at a time. Each is shrunk to
        32 x 32, aspect ratio not kept. labels: the n class names.
    textures: names of the classes to choose among by colours.

    Raises GoldfoldError for no images, other images, as many labels as there are no images for, a label that is no name
    (see `names`) and a texture that is no class.
    """
    classes, codes, sizes = np.unique(names(labels), return_inverse=True, return_counts=True)
    known = classes.tolist()
    for name in textures:
        if name not in known:
            raise errors.unknown("texture class", str(name), known)
    means, histograms = np.zeros((len(known), SIDE, SIDE, 3)), np.zeros((len(known), BINS**3))
    for code, image in zip(codes, _counted(images, len(codes)), strict=True):
        means[code] += _small(image) / sizes[code]
        histograms[code] += histogram(image) / sizes[code]
    positions = np.flatnonzero(np.isin(classes, list(textures)))
    return Prototypes(classes=tuple(known), images=means, histograms=histograms, textures=positions)


def by_prototype(images: Iterable[np.ndarray], known: Prototypes) -> Routed:
    """Route images to the nearest mean image; those that look like a texture, to the texture of the nearest colours.

    images: as for `prototypes`; there may be none. Whole images are compared by mean squared difference of pixels in
    [0, 1]. Where the winner is one of two or more textures, the nearest histogram among these decides, by chi-square
    distance, and the margin is the smaller of two: over the nearest class that is none, and over the next texture.
    """
    pixels, colours = [], []
    for image in images:
        pixels.append(np.square(known.images - _small(image)).mean((1, 2, 3)))
        colours.append(chi_square(histogram(image), known.histograms[known.textures]))
    pixels = np.reshape(pixels, (-1, len(known.classes)))
    if len(known.textures) < 2:
        return _nearest(pixels, known.classes)
    return _textures_apart(pixels, np.reshape(colours, (-1, len(known.textures))), known)


def by_library(features: Tensor, of_classes: Mapping[str, Tensor]) -> Routed:
    """Route images to the class whose library of normal features is nearest.

    features: float (n, d), a vector per image, or (n, p, d), its patches. of_classes: class -> float (m, d), m >= 1.

    The distance to a class is `libraries.vector_scores` for vectors. For patches it is the mean over patches of the
    distance to the nearest row, not an anomaly score such as `libraries.image_scores`: that is the distance of the
    strangest patch, and of a defective image the strangest patch is the defect, which is far from all classes alike.
    Rows make a library nearer, whatever they are: give all classes about as many.

    Raises GoldfoldError for no class, and as `libraries.nearest` does, with the name of the class.
    """
    classes = tuple(sorted(names(of_classes).tolist()))
    distances = [_to_library(features, of_classes[name], name) for name in classes]
    return _nearest(np.stack(distances, axis=1), classes)


def joined(parts: Sequence[Routed]) -> Routed:
    """Images routed among the same classes a few at a time, together; there must be at least one part."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("positions", "scores", "margins")
    }
    return Routed(classes=parts[0].classes, **columns)


def histogram(image: np.ndarray) -> np.ndarray:
    """The share of an image's pixels, uint8 (h, w, 3), in each of 8 x 8 x 8 bins of red, green and blue: (512,)."""
    counts = cv2.calcHist([_checked(image)], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3).ravel()
    return counts.astype(np.float64) / counts.sum()


def chi_square(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1/2 sum of (a - b)² / (a + b) over bins, between one histogram (bins,) and several (k, bins): (k,) in [0, 1]."""
    both = one + others
    return np.divide(np.square(one - others), both, out=np.zeros_like(both), where=both > 0).sum(1) / 2


def _textures_apart(pixels: np.ndarray, colours: np.ndarray, known: Prototypes) -> Routed:
    objects = np.setdiff1d(np.arange(len(known.classes)), known.textures)
    together = np.column_stack([pixels[:, known.textures].min(1), pixels[:, objects]])  # textures as if one class
    first, among = _nearest(together, known.classes), _nearest(colours, known.classes)
    textured = first.positions == 0
    places = np.append(-1, objects)
    return Routed(
        classes=known.classes,
        positions=np.where(textured, known.textures[among.positions], places[first.positions]),
        scores=np.where(textured, among.scores, first.scores),
        margins=np.where(textured, np.minimum(first.margins, among.margins), first.margins),
    )


def _nearest(distances: np.ndarray, classes: tuple[str, ...]) -> Routed:
    """distances: (n, classes)."""
    ordered = np.sort(np.pad(distances, ((0, 0), (0, 1)), constant_values=np.inf), axis=1)  # a runner-up for one class
    nearest, second = ordered[:, 0], ordered[:, 1]
    share = np.divide(nearest, second, out=np.ones(len(ordered)), where=second > 0)
    return Routed(classes=classes, positions=distances.argmin(1), scores=nearest, margins=1 - share)


def _to_library(features: Tensor, library: Tensor, name: str) -> np.ndarray:
    try:
        if features.ndim == 3 and features.shape[1]:
            found, _ = memory_bank.nearest(features.flatten(0, 1), library, 1)
            distances = found.view(features.shape[:2]).mean(1)
        else:
            distances = memory_bank.vector_scores(features, library)
    except GoldfoldError as error:
        raise GoldfoldError(f"class '{name}': {error}") from None
    return distances.cpu().numpy().astype(np.float64)


def _counted(images: Iterable[np.ndarray], count: int) -> Iterable[np.ndarray]:
    """The images, which must be `count`."""
    seen = 0
    for seen, image in enumerate(images, 1):
        if seen > count:
            break
        yield image
    if seen != count:
        more = "more" if seen > count else seen
        raise GoldfoldError(f"each image needs one class, got {count} classes and {more} images; give one for each")


def _small(image: np.ndarray) -> np.ndarray:
    return resize(_checked(image), SIDE) / 255


def _checked(image: np.ndarray) -> np.ndarray:
    shape, kind = getattr(image, "shape", ()), getattr(image, "dtype", type(image).__name__)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or kind != np.uint8:
        raise GoldfoldError(
            f"an image is uint8 (height, width, 3), got {kind} {shape}; read it with goldfold.images.reading"
        )
    return image
