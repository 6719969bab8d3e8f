"""Lay a reference image over an image of the same object, and measure where the two differ.

The transform is the one that maximizes the enhanced correlation coefficient (ECC: Evangelidis and Psarakis, Parametric
Image Alignment Using Enhanced Correlation Coefficient Maximization, PAMI 2008), started from phase correlation. It is
bounded: one that moves a corner too far, or that does not make the images more alike, is not used.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import cv2
import numpy as np

Motion = Literal["translation", "euclidean", "affine"]

MOTIONS = {
    "translation": cv2.MOTION_TRANSLATION,
    "euclidean": cv2.MOTION_EUCLIDEAN,
    "affine": cv2.MOTION_AFFINE,
}
SIDE = 640  # pixels of the longer side at which the transform is searched
STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
SMOOTHED = 5  # pixels of the Gaussian filter within ECC
ALIKE = 0.5  # correlation of details below which two images do not show the same object; of two boards it is below 0.2
DETAILS = (1.0, 4.0)  # sigmas of the Gaussian blurs whose difference is an image's details, in pixels
GAINS = (0.5, 2.0)  # by which the contrast of a reference is changed at most
TOLERANCE = 3  # pixels: a difference counts if no pixel of a square of this side agrees
SLACK = 0.01  # by which the correlation may fall where the images lie on each other already
NOISE = 1.0  # sigma of the Gaussian blur before the comparison, in pixels


class Laid(NamedTuple):
    """A reference in the place of an image.

    pixels: uint8 (h, w, 3), those of the image itself where the reference does not reach. aligned: whether a transform
    was found; if not, the reference lies where its own pixels are.
    """

    pixels: np.ndarray
    aligned: bool


def lay_over(image: np.ndarray, reference: np.ndarray, motion: Motion | Literal["none"], largest_shift: float) -> Laid:
    """Move a reference onto an image, and fit its brightness and contrast to it.

    image, reference: uint8 (h, w, 3) of one size. largest_shift: by which a corner may move, as share of the longer
    side. motion: none: the reference stays where it is, as it does if no transform is found.

    >>> board = np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    >>> shifted = np.roll(board, 4, axis=1)
    >>> laid = lay_over(shifted, board, "translation", largest_shift=0.1)
    >>> laid.aligned, float(difference(shifted, laid.pixels).max()) < 5
    (True, True)
    """
    transform = None if motion == "none" else _transform(image, reference, motion, largest_shift)
    matrix = np.eye(2, 3) if transform is None else transform
    sides = np.array(image.shape[1::-1])
    warped = _warped(reference, matrix, sides)
    inside = _warped(np.full(image.shape[:2], 255, np.uint8), matrix, sides) == 255
    fitted = _fit_brightness(warped, image, inside)
    return Laid(np.where(inside[..., None], fitted, image), transform is not None)


def difference(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How far each pixel is from the reference around it, in gray levels of the channel that differs most.

    image, reference: uint8 (h, w, c). Returns float32 (h, w), 0 to 255: the distance of a pixel to the range of the
    other image's values in the 3 x 3 pixels there, the larger of both directions, so that neither what is missing nor
    what is added is lost, and edges that are a pixel off do not count. Both are blurred by a sigma of one pixel before.
    """
    one, other = (cv2.GaussianBlur(each.astype(np.float32), (0, 0), NOISE) for each in (image, reference))
    apart = np.maximum(_outside(one, other), _outside(other, one))
    return apart.reshape(*image.shape[:2], -1).max(axis=2)


def largest_of_cells(values: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """The largest value in each cell of a grid over an image, (h, w) -> (rows, columns) of `cells`."""
    for axis, count in enumerate(cells):
        edges = np.arange(count) * values.shape[axis] // count
        values = np.maximum.reduceat(values, edges, axis=axis)
    return values


def _transform(image: np.ndarray, reference: np.ndarray, motion: Motion, largest_shift: float) -> np.ndarray | None:
    """The matrix (2, 3) from pixels (x, y) of the image to those of the reference; None if none fits."""
    scale = min(1.0, SIDE / max(image.shape[:2]))
    target, moving = (_small_gray(each, scale) for each in (image, reference))
    sides, whole = np.array(target.shape[::-1]), np.full(target.shape, 255, np.uint8)
    bound, least = largest_shift * sides.max(), max(ALIKE, _alike(target, moving) - SLACK)
    for shift in (_phase_shift(target, moving, bound), np.zeros(2)):
        try:
            start = np.column_stack([np.eye(2), shift]).astype(np.float32)
            _, matrix = cv2.findTransformECC(target, moving, start, MOTIONS[motion], STEPS, whole, SMOOTHED)
        except cv2.error:  # no convergence, or no overlap
            continue
        if _farthest_corner(matrix, sides) <= bound and _alike(target, _warped(moving, matrix, sides)) >= least:
            return _at_full_size(matrix, sides / image.shape[1::-1])
    return None


def _small_gray(image: np.ndarray, scale: float) -> np.ndarray:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = [max(1, round(side * scale)) for side in gray.shape[::-1]]
    return gray if scale == 1 else cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of the details of two images; 0 if one has none.

    The images themselves correlate by 0.6 where two boards are dense at the same places.
    """
    fine, coarse = DETAILS
    parts = (cv2.GaussianBlur(each, (0, 0), fine) - cv2.GaussianBlur(each, (0, 0), coarse) for each in (one, other))
    first, second = (part.ravel() - part.mean() for part in parts)
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size else 0.0


def _warped(image: np.ndarray, matrix: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """An image (h, w, ...) at the pixels (x, y) that the matrix gives; 0 where there are none. sides: width, height."""
    return cv2.warpAffine(image, matrix, sides.tolist(), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _phase_shift(target: np.ndarray, moving: np.ndarray, bound: float) -> np.ndarray:
    """The translation (x, y) by phase correlation; zero if it is beyond the bound."""
    window = cv2.createHanningWindow(target.shape[::-1], cv2.CV_32F) if min(target.shape) > 1 else None
    shift = np.array(cv2.phaseCorrelate(target, moving, window)[0])
    return shift if np.hypot(*shift) <= bound else np.zeros(2)


def _farthest_corner(matrix: np.ndarray, sides: np.ndarray) -> float:
    """How far the transform moves the corner that it moves most."""
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * (sides - 1)
    return float(np.hypot(*(corners @ matrix[:, :2].T + matrix[:, 2] - corners).T).max())


def _at_full_size(matrix: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The same transform for images that are larger by 1 / scale, whose pixels have their centers at whole numbers."""
    turn, moved, center = matrix[:, :2].astype(float), matrix[:, 2].astype(float), scale / 2 - 0.5
    return np.column_stack([turn * scale / scale[:, None], (turn @ center + moved - center) / scale])


def _fit_brightness(reference: np.ndarray, image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The reference with the mean and standard deviation of the image in each channel, over the pixels inside."""
    if not inside.any():
        return reference
    (mean, sd), (wanted, spread) = (
        (each[inside].mean(axis=0), each[inside].std(axis=0)) for each in (reference, image)
    )
    gain = np.clip(spread / np.maximum(sd, 1e-6), *GAINS)
    return np.clip((reference - mean) * gain + wanted + 0.5, 0, 255).astype(np.uint8)


def _outside(values: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The distance of each value to the range of the other image's values around it."""
    square = np.ones((TOLERANCE, TOLERANCE), np.uint8)
    return np.maximum(0, np.maximum(values - cv2.dilate(other, square), cv2.erode(other, square) - values))
