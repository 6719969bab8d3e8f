"""What a random order of answers scores in the mean, in closed form: the chance level of every ranking by likeness.

All take and return arrays (q,), an entry per query: `relevant`, R >= 1 right answers among `gallery`, G >= R answers.
H_n is the n-th harmonic number, 1 + 1/2 + ... + 1/n.
"""

from __future__ import annotations

import numpy as np


def precisions(relevant: np.ndarray, gallery: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The precisions at the right answers of rank <= last (at most G) sum up to this; divided by R that is E[AP].

    R / G (H_last + (R - 1) / (G - 1) (last - H_last)): there is a right answer at rank n with probability R / G, and of
    the n answers up to it 1 + (n - 1) (R - 1) / (G - 1) are right. With last = G this is the expected average precision
    of Bestgen, Exact Expected Average Precision of the Random Baseline for System Evaluation, 2015; with last = k that
    of Manzhos, Ianevych and Melnyk, Average Precision at Cutoff k under Random Rankings, 2025.
    """
    others = (relevant - 1) / np.maximum(gallery - 1, 1)
    return relevant / gallery * (_harmonic(last) + others * (last - _harmonic(last)))


def hit(relevant: np.ndarray, gallery: np.ndarray, k: int) -> np.ndarray:
    """The probability of a right answer among the first k: 1 - C(G - R, k) / C(G, k), as the hypergeometric has it."""
    from scipy.stats import hypergeom

    return hypergeom.sf(0, gallery, relevant, np.minimum(k, gallery))


def reciprocal_rank(relevant: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """1 / the rank of the first right answer: R / (G - R + 1) (H_G - H_(R - 1)).

    That rank is f with probability C(G - f, R - 1) / C(G, R), and C(G - f, R - 1) / f summed over f is
    C(G, R - 1) (H_G - H_(R - 1)).
    """
    return relevant / (gallery - relevant + 1) * (_harmonic(gallery) - _harmonic(relevant - 1))


def _harmonic(n: np.ndarray) -> np.ndarray:
    from scipy.special import digamma

    return digamma(n + 1.0) + np.euler_gamma
