"""Thresholds of several labels, learned for F1, and probabilities shifted so that each threshold is 0.5."""

from __future__ import annotations

import numpy as np

DEFAULT = 0.5


def best_f1(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The threshold in [0, 1) with the highest F1 of each label, (labels,); a label is predicted at p > threshold.

    truth: (n, labels) of 0 and 1. probabilities: (n, labels). A threshold lies in the middle between two neighboring
    probabilities; of equally good ones the highest counts. A label without a positive row keeps 0.5.
    """
    pairs = zip(truth.T, probabilities.T, strict=True)
    return np.array([_best_of_one(known > 0, scores) for known, scores in pairs])


def _best_of_one(known: np.ndarray, scores: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    ranked = np.append(scores[order], 0.0)
    cuts = np.flatnonzero(ranked[:-1] > ranked[1:])  # behind these ranks, which have a probability above 0
    if not known.any() or not len(cuts):
        return DEFAULT
    f1 = 2 * known[order].cumsum()[cuts] / (cuts + 1 + known.sum())
    at = cuts[int(f1.argmax())]
    middle = float((ranked[at] + ranked[at + 1]) / 2)
    return middle if middle < ranked[at] else float(ranked[at + 1])


def at_one_half(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Shift probabilities (n, labels) so that exactly those above their threshold are above 0.5; the order stays.

    thresholds: (labels,), in [0, 1). Below and above the threshold the shift is linear, 0 and 1 stay.
    """
    below = probabilities / np.where(thresholds > 0, 2 * thresholds, 1)
    above = 0.5 + (probabilities - thresholds) / (2 * (1 - thresholds))
    return np.where(probabilities > thresholds, np.maximum(above, np.nextafter(DEFAULT, 1)), np.minimum(below, DEFAULT))
