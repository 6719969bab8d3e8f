"""Photographs that show one flat thing again, shifted, cut or exposed otherwise, or turned by half a turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

UNLIKE_SIDES = 1.25  # times as long: photographs whose sides differ by more are not compared


def alike(photographs: Sequence[np.ndarray], joined: np.ndarray, least: float) -> np.ndarray:
    """Which pairs show the same thing, bool (n, n): those `joined` already, and those that correlate by over `least`.

    photographs: uint8 (h, w) or (h, w, 1), of any sizes. Only pairs above the diagonal are compared and set.
    """
    seen = [details(photograph) for photograph in photographs]
    turned = [np.ascontiguousarray(each[::-1, ::-1]) for each in seen]
    joined = joined.copy()
    for one, other in _pairs_to_compare(seen, joined):
        joined[one, other] = max(alikeness(seen[one], seen[other]), alikeness(turned[one], seen[other])) > least
    return joined


def _pairs_to_compare(seen: Sequence[np.ndarray], joined: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs not joined yet whose sides differ by no more than two cuttings of one thing do."""
    sides = np.log([each.shape for each in seen])
    near = np.abs(sides[:, None] - sides).max(axis=2) < np.log(UNLIKE_SIDES)
    return zip(*np.triu(near & ~joined, 1).nonzero(), strict=True)


def details(photograph: np.ndarray) -> np.ndarray:
    """What is the thing's own, float32 at a quarter of the size: exposure, shading and upright streaks are removed."""
    small = cv2.resize(photograph, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= cv2.GaussianBlur(small, (0, 0), 4)
    small /= np.sqrt(cv2.GaussianBlur(small * small, (0, 0), 4)) + 1
    return small - cv2.blur(small, (1, 25))


def alikeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation, in [-1, 1], of the middle of `one` with that place of `other` where it fits best."""
    sides = np.minimum(one.shape, other.shape)
    top, left = (np.array(one.shape) - sides) // 2 + sides // 8 + 2
    height, width = sides - 2 * (sides // 8 + 2)
    middle = one[top : top + height, left : left + width]
    return cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED).max()
