"""Precision and recall of retrieval within every Hamming radius."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RadiusCurve(NamedTuple):
    """Means over the queries with a relevant row, at the radii 0 to bits, float64 (bits + 1,) each.

    precision: share of relevant rows among those within the radius; 0 for a query with none, as in `hash_precision`.
    recall: share of the relevant rows that are within it. empty: share of the queries with no row within it.
    Whole radii hold all tied rows, so no order of ties matters. The last precision is the chance level, the prevalence
    of relevant rows.
    """

    precision: np.ndarray
    recall: np.ndarray
    empty: np.ndarray


def radius_curve(items: np.ndarray, relevant: np.ndarray) -> RadiusCurve:
    """The curve of q queries; items, relevant: int64 (q, bits + 1), see `codes.counts_by_distance`."""
    scored = relevant.any(axis=1)
    within, hits = items[scored].cumsum(axis=1), relevant[scored].cumsum(axis=1)
    precision = hits / np.maximum(within, 1)
    recall = hits / hits[:, -1:]
    return RadiusCurve(precision.mean(axis=0), recall.mean(axis=0), (within == 0).mean(axis=0))
