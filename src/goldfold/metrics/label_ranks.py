"""Average precision and AUROC of many labels at once, for rows with weights, so that a bootstrap sorts only once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Ranked(NamedTuple):
    """Rows ranked for each label, highest score first; all arrays are (n, labels).

    order: row positions. positive: whether the row at a rank has the label. first, last: ranks at which the tie of the
    row at a rank starts and ends.
    """

    order: np.ndarray
    positive: np.ndarray
    first: np.ndarray
    last: np.ndarray


def ranked(truth: np.ndarray, scores: np.ndarray) -> Ranked:
    """Rank the rows by the scores of each label; truth: (n, labels) of 0 and 1. scores: (n, labels)."""
    order = np.argsort(-scores, axis=0, kind="stable")
    along = np.take_along_axis(scores, order, axis=0)
    ranks = np.arange(len(scores))[:, None]
    starts, ends = np.ones(scores.shape, bool), np.ones(scores.shape, bool)
    starts[1:] = along[1:] != along[:-1]
    ends[:-1] = starts[1:]
    first = np.maximum.accumulate(np.where(starts, ranks, 0), axis=0)
    last = np.minimum.accumulate(np.where(ends, ranks, len(scores))[::-1], axis=0)[::-1]
    return Ranked(order, np.take_along_axis(truth, order, axis=0) > 0, first, last)


def average_precisions(found: Ranked, weights: np.ndarray) -> np.ndarray:
    """Step-wise average precision of each label, (labels,); NaN without a positive row.

    weights: (n,), 1 for each row, or how often it was drawn.
    """
    drawn = weights[found.order]
    hits = drawn * found.positive
    right, seen = hits.cumsum(axis=0), drawn.cumsum(axis=0)
    precision = np.divide(right, seen, out=np.zeros_like(right, dtype=float), where=seen > 0)
    return _ratio((hits * np.take_along_axis(precision, found.last, axis=0)).sum(axis=0), right[-1])


def areas(found: Ranked, weights: np.ndarray) -> np.ndarray:
    """AUROC of each label, (labels,); ties count one half; NaN unless there are positive and negative rows.

    weights: as for `average_precisions`.
    """
    drawn = weights[found.order]
    hits, misses = drawn * found.positive, drawn * ~found.positive
    above = misses.cumsum(axis=0)
    before = np.take_along_axis(above - misses, found.first, axis=0)
    wrong = (before + np.take_along_axis(above, found.last, axis=0)) / 2
    return 1 - _ratio((hits * wrong).sum(axis=0), hits.sum(axis=0) * misses.sum(axis=0))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
