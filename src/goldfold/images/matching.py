"""Match photographs of the same flat object, whatever their crop, shift, exposure, or rotation by 180 degrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

MAX_SIDE_RATIO = 1.25  # photographs whose heights or widths differ by a larger factor are not compared


def match(photographs: Sequence[np.ndarray], known: np.ndarray, min_correlation: float) -> np.ndarray:
    """Return which pairs show the same object, bool (n, n): the `known` pairs and those that correlate enough.

    photographs: uint8 (h, w) or (h, w, 1), of any sizes. known: bool (n, n). min_correlation: pairs with a larger
    correlation match. Only pairs above the diagonal are compared and set.
    """
    textures = [texture(photograph) for photograph in photographs]
    turned = [np.ascontiguousarray(each[::-1, ::-1]) for each in textures]
    matches = known.copy()
    for one, other in _pairs_to_compare(textures, matches):
        best = max(correlation(textures[one], textures[other]), correlation(turned[one], textures[other]))
        matches[one, other] = best > min_correlation
    return matches


def _pairs_to_compare(textures: Sequence[np.ndarray], known: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs not known yet whose sides differ by no more than those of two crops of one object."""
    sides = np.log([each.shape for each in textures])
    similar_size = np.abs(sides[:, None] - sides).max(axis=2) < np.log(MAX_SIDE_RATIO)
    return zip(*np.triu(similar_size & ~known, 1).nonzero(), strict=True)


def texture(photograph: np.ndarray) -> np.ndarray:
    """Return the object's own texture, float32 at 1/4 of the size, without exposure, shading and vertical streaks."""
    small = cv2.resize(photograph, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= cv2.GaussianBlur(small, (0, 0), 4)
    small /= np.sqrt(cv2.GaussianBlur(small * small, (0, 0), 4)) + 1
    return small - cv2.blur(small, (1, 25))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest correlation, in [-1, 1], of the center of `one` with any place of `other`."""
    sides = np.minimum(one.shape, other.shape)
    top, left = (np.array(one.shape) - sides) // 2 + sides // 8 + 2
    height, width = sides - 2 * (sides // 8 + 2)
    center = one[top : top + height, left : left + width]
    return float(cv2.matchTemplate(other, center, cv2.TM_CCOEFF_NORMED).max())
