"""Photographs of the same object match, others do not."""

from __future__ import annotations

import cv2
import numpy as np

from goldfold.images import matching


def surface(seed: int) -> np.ndarray:
    """A surface of its own, (300, 240) floats in [0, 1]."""
    spots = np.random.default_rng(seed).random((300, 240)).astype(np.float32)
    spots = cv2.GaussianBlur(spots, (0, 0), 5)
    return (spots - spots.min()) / np.ptp(spots)


def photograph(thing: np.ndarray, exposure: float) -> np.ndarray:
    return (255 * thing**exposure).astype(np.uint8)


def test_exposure_crop_and_half_turn_do_not_matter():
    things = [surface(seed) for seed in (1, 2)]
    shown = [
        photograph(things[0], 1.0),
        photograph(things[1], 1.0),
        photograph(things[0][12:-4, 8:], 1.6),
        photograph(things[1][::-1, ::-1], 0.7),
    ]
    joined = matching.match(shown, np.eye(4, dtype=bool), 0.4)
    assert np.argwhere(np.triu(joined, 1)).tolist() == [[0, 2], [1, 3]]


def test_known_pairs_are_kept_and_different_sizes_are_not_compared():
    thing = surface(1)
    given = np.eye(2, dtype=bool)
    assert not matching.match([photograph(thing, 1.0), photograph(thing[:200], 1.0)], given, 0.4)[0, 1]
    given[0, 1] = True
    assert matching.match([photograph(thing, 1.0), photograph(surface(2), 1.0)], given, 0.4)[0, 1]
