"""What the pixels of masks can be, and masks at the network's size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import letterbox, reading
from goldfold.images.sizes import Size, height_and_width
from goldfold.nn.mask_losses import IGNORED, Mode

if TYPE_CHECKING:
    from pandas import DataFrame

    Masks = Callable[[DataFrame], Iterable[np.ndarray]]


class Rows(Protocol):
    """The images or the truth of all rows: an array whose first axis is the row, or what reads each row when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> np.ndarray: ...


@dataclass(frozen=True)
class PixelLabels:
    """What a pixel can be.

    classes: names in the order of the predicted maps, at most 255; None: foreground or not.
    overlapping: whether a pixel can be of several classes, or of none.
    void: the value of pixels that count nowhere; None if there are none.
    """

    classes: tuple[str, ...] | None = None
    overlapping: bool = False
    void: int | None = None

    @property
    def mode(self) -> Mode:
        """The kind of segmentation, as in `mask_losses`."""
        return "binary" if self.classes is None else "multilabel" if self.overlapping else "multiclass"

    @property
    def maps(self) -> int:
        """The number of maps that the network predicts."""
        return len(self.classes or ("foreground",))


def load(masks: Masks, rows: DataFrame, labels: PixelLabels, size: Size, boxed: bool) -> np.ndarray:
    """Read the masks of all rows at one size, uint8 (n, height, width), or (n, classes, height, width) if overlapping.

    Foreground and overlapping classes are 1 where they cover more than half of a pixel; exclusive classes are those of
    the nearest pixel. Void pixels and the padding are `IGNORED`. boxed: whether images are letterboxed.

    Raises:
        GoldfoldError: `mask_size_differs`, a mask has another size than its image; `mask_value_unknown`, it holds a
            number that is no class; `mask_shape_wrong`.
    """
    return np.stack([_fitted(each, labels, size, boxed) for each in _checked(masks(rows), rows, labels)])


def _checked(masks: Iterable[np.ndarray], rows: DataFrame, labels: PixelLabels) -> Iterator[np.ndarray]:
    """The mask of each row, after checks of its shape, size and values."""
    files = rows["mask_path"] if "mask_path" in rows else [None] * len(rows)
    for mask, id_, path, file in zip(masks, rows["id"], rows["path"], files, strict=True):
        _check_shape(mask, id_, labels)
        if mask.shape[-2:] != (wanted := reading.size(path)):
            raise GoldfoldError(
                "mask_size_differs",
                f"the mask of row {id_!r} has {mask.shape[-1]} x {mask.shape[-2]} pixels and its image {wanted[1]} x "
                f"{wanted[0]}: correct what the competition's masks() returns",
            )
        if labels.mode == "multiclass":
            _check_values(mask, id_, labels, file)
        yield mask


def _check_shape(mask: np.ndarray, id_: object, labels: PixelLabels) -> None:
    wanted = (labels.maps,) if labels.mode == "multilabel" else ()
    if mask.shape[:-2] != wanted or mask.ndim < 2:
        shape = "(classes, height, width)" if wanted else "(height, width)"
        raise GoldfoldError(
            "mask_shape_wrong",
            f"the mask of row {id_!r} has the shape {mask.shape} and must have {shape}"
            f"{f' with {labels.maps} classes' if wanted else ''}: correct what the competition's masks() returns",
        )


def _check_values(mask: np.ndarray, id_: object, labels: PixelLabels, file: object) -> None:
    """Refuse numbers that are no class: a loss would fail on them far from here, or on a GPU without a reason."""
    wrong = (mask < 0) | (mask >= labels.maps)
    if labels.void is not None:
        wrong &= mask != labels.void
    if wrong.any():
        told = "" if file is None else f" ({str(file)!r})"
        raise GoldfoldError(
            "mask_value_unknown",
            f"the mask of row {id_!r}{told} holds {mask[wrong][0]} in {int(wrong.sum()):,} pixels, which is none of "
            f"the {labels.maps} classes 0 to {labels.maps - 1}: list every class, or declare void={mask[wrong][0]} if "
            "these pixels count nowhere",
        )


def _fitted(mask: np.ndarray, labels: PixelLabels, size: Size, boxed: bool) -> np.ndarray:
    if not boxed:
        return _at_size(mask, labels, size)
    own = letterbox.window(mask.shape[-2:], size)
    padded = np.full((*mask.shape[:-2], *height_and_width(size)), IGNORED, np.uint8)
    padded[..., *own.slices] = _at_size(mask, labels, (own.height, own.width))
    return padded


def _at_size(mask: np.ndarray, labels: PixelLabels, size: Size) -> np.ndarray:
    """Resize a mask to uint8 of `size`."""
    if labels.mode == "multilabel":
        return np.stack([_binary(part, labels, size) for part in mask])
    if labels.mode == "binary":
        return _binary(mask, labels, size)
    numbers = mask if labels.void is None else np.where(mask == labels.void, IGNORED, mask)
    return _nearest(numbers.astype(np.uint8), size)


def _binary(objects: np.ndarray, labels: PixelLabels, size: Size) -> np.ndarray:
    if labels.void is None:
        return foreground(objects, size)
    void = objects == labels.void
    inside = foreground(np.where(void, 0, objects), size)
    return np.where(_nearest(void.astype(np.uint8), size), IGNORED, inside).astype(np.uint8)


def foreground(objects: np.ndarray, size: Size) -> np.ndarray:
    """Resize (h, w) objects to uint8 of `size`, 1 where objects cover more than half of a pixel."""
    rows, columns = height_and_width(size)
    shrinks = objects.shape[0] >= rows and objects.shape[1] >= columns
    covered = cv2.resize(
        (objects > 0).astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return (covered > 0.5).astype(np.uint8)


def _nearest(values: np.ndarray, size: Size) -> np.ndarray:
    """Resize by the nearest pixel, with pixel centers at half-integers; cv2.INTER_NEAREST takes their corners."""
    rows, columns = height_and_width(size)
    return cv2.resize(values, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)


def counted(count: Callable[[np.ndarray, PixelLabels], np.ndarray], rows: Rows, labels: PixelLabels) -> np.ndarray:
    """Add up `pixel_counts` or `negative_counts` of one row after the other, int64 (maps,)."""
    return np.sum([count(rows[position][None], labels) for position in range(len(rows))], axis=0)


def pixel_counts(truths: np.ndarray, labels: PixelLabels) -> np.ndarray:
    """Count the pixels of each class, int64 (maps,), of what `load` returned; without ignored ones."""
    if labels.mode == "multiclass":
        return np.bincount(truths.ravel(), minlength=IGNORED + 1)[: labels.maps]
    positive = (truths == 1).reshape(len(truths), labels.maps, -1)
    return positive.sum(axis=(0, 2))


def negative_counts(truths: np.ndarray, labels: PixelLabels) -> np.ndarray:
    """Count the pixels of each map that are 0, int64 (maps,)."""
    return (truths == 0).reshape(len(truths), labels.maps, -1).sum(axis=(0, 2))
