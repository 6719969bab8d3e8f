"""Chance level of retrieval scores: expected scores of a random ranking of the gallery, in closed form.

All functions take and return arrays (q,) with one entry per query. `relevant`: R >= 1 relevant gallery rows. `gallery`:
G >= R gallery rows. H_n is the n-th harmonic number, 1 + 1/2 + ... + 1/n.
"""

from __future__ import annotations

import numpy as np


def expected_precision_sum(relevant: np.ndarray, gallery: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the expected sum of the precisions at the relevant rows of rank <= last; divided by R it is E[AP].

    last: at most G. The sum is R / G (H_last + (R - 1) / (G - 1) (last - H_last)): rank n has a relevant row with
    probability R / G, and then 1 + (n - 1) (R - 1) / (G - 1) of the n rows up to it are relevant. With last = G this is
    the expected average precision of Bestgen, Exact Expected Average Precision of the Random Baseline for System
    Evaluation, 2015; with last = k that of Manzhos, Ianevych and Melnyk, Average Precision at Cutoff k under Random
    Rankings, 2025.
    """
    others = (relevant - 1) / np.maximum(gallery - 1, 1)
    return relevant / gallery * (_harmonic(last) + others * (last - _harmonic(last)))


def hit_probability(relevant: np.ndarray, gallery: np.ndarray, k: int) -> np.ndarray:
    """Return the probability of a relevant row among the first k: 1 - C(G - R, k) / C(G, k), hypergeometric."""
    from scipy.stats import hypergeom

    return np.asarray(hypergeom.sf(0, gallery, relevant, np.minimum(k, gallery)))


def expected_reciprocal_rank(relevant: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return the expectation of 1 / rank of the first relevant row: R / (G - R + 1) (H_G - H_(R - 1)).

    The rank is f with probability C(G - f, R - 1) / C(G, R), and the sum of C(G - f, R - 1) / f over f is
    C(G, R - 1) (H_G - H_(R - 1)).
    """
    return relevant / (gallery - relevant + 1) * (_harmonic(gallery) - _harmonic(relevant - 1))


def _harmonic(n: np.ndarray) -> np.ndarray:
    """H_n."""
    from scipy.special import digamma

    return np.asarray(digamma(n + 1.0) + np.euler_gamma)
