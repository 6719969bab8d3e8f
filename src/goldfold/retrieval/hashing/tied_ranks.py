"""Average precision of rankings with many ties, as those by Hamming distance: expected over random orders of ties.

All functions take, for q queries, the gallery rows at each of d distances, ascending: `items`, int64 (q, d), and how
many of them are relevant: `relevant`, int64 (q, d). They return `Tied`: three float64 (q,), nan for queries without a
relevant row. The expectation over all orders of tied rows is exact, in closed form (McSherry and Najork, Computing
Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores, 2008).

Four definitions of the literature are called mAP of hash codes; their values differ, so a score names its definition:

- `average_precision`: over the whole ranking, divided by all relevant rows.
- `first_relevant`, (a): mean over the first min(k, relevant) relevant rows, wherever they rank.
- `cut_by_hits`, (b): ranks up to k, divided by the relevant rows among them; 0 if there are none.
- `cut_by_relevant`, (c): ranks up to k, divided by min(k, relevant).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Counts = np.ndarray | int


class Tied(NamedTuple):
    """A value of each query, float64 (q,): expected over orders of ties, in the worst and in the best order."""

    expected: np.ndarray
    worst: np.ndarray
    best: np.ndarray


def average_precision(items: np.ndarray, relevant: np.ndarray) -> Tied:
    """Average precision over the whole ranking."""
    return cut_by_relevant(items, relevant, int(items.sum(axis=1).max(initial=1)))


def cut_by_relevant(items: np.ndarray, relevant: np.ndarray, k: int) -> Tied:
    """Definition (c): the sum of the precisions at relevant rows of rank <= k, divided by min(k, relevant)."""
    total = relevant.sum(axis=1)
    return _of_found(
        total, [sums / np.maximum(np.minimum(total, k), 1) for sums in _precision_sums(items, relevant, k)]
    )


def cut_by_hits(items: np.ndarray, relevant: np.ndarray, k: int) -> Tied:
    """Definition (b): the sum of the precisions at relevant rows of rank <= k, divided by their number.

    The expectation is over the number of relevant rows among those of the last distance that are within rank k, which
    is hypergeometric. Worst and best are the orders with all irrelevant and all relevant rows of a distance first.
    """
    found = np.zeros((3, len(items)))
    for query, (n, r) in enumerate(zip(items, relevant, strict=True)):
        level, before, hits = _level(n, r, n.cumsum(), k)
        sums = _precision_sums(n[None, :level], r[None, :level], k)
        places = min(k - before, int(n[level]))
        inside = np.arange(max(0, places - (n[level] - r[level])), min(places, r[level]) + 1)
        chance = np.exp(
            _log_choose(r[level], inside)
            + _log_choose(n[level] - r[level], places - inside)
            - _log_choose(n[level], places)
        )
        share = _expected_sums(before, hits, places, places, inside)
        found[0, query] = (chance * (sums.expected + share) / np.maximum(hits + inside, 1)).sum()
        ends = (sums.worst[0], inside[0], before + places - inside[0]), (sums.best[0], inside[-1], before)
        for row, (own, count, start) in enumerate(ends, 1):
            found[row, query] = (own + _run_sums(hits, start, count)) / max(hits + count, 1)
    return _of_found(relevant.sum(axis=1), found)


def first_relevant(items: np.ndarray, relevant: np.ndarray, k: int) -> Tied:
    """Definition (a): the mean of the precisions at the first min(k, relevant) relevant rows, wherever they rank.

    Among n rows of one distance, r of them relevant, the i-th relevant row is the j-th of all with probability
    C(j - 1, i - 1) C(n - j, r - i) / C(n, r).
    """
    total = relevant.sum(axis=1)
    found = np.zeros((3, len(items)))
    for query in np.flatnonzero(total):
        n, r, wanted = items[query], relevant[query], min(k, int(total[query]))
        level, before, hits = _level(n, r, r.cumsum(), wanted)
        sums = np.concatenate(_precision_sums(n[None, :level], r[None, :level], before))
        i, j = np.arange(1, wanted - hits + 1)[:, None], np.arange(1, n[level] + 1)
        ways = _log_choose(j - 1, i - 1) + _log_choose(n[level] - j, r[level] - i) - _log_choose(n[level], r[level])
        sums[0] += (np.exp(ways) * (hits + i) / (before + j)).sum()
        sums[1] += _run_sums(hits, before + n[level] - r[level], len(i))
        sums[2] += _run_sums(hits, before, len(i))
        found[:, query] = sums / wanted
    return _of_found(total, found)


def _level(items: np.ndarray, relevant: np.ndarray, reached: np.ndarray, wanted: int) -> tuple[int, int, int]:
    """The first distance at which `reached` is `wanted`, else the last; rows and relevant rows before it."""
    level = min(int(np.searchsorted(reached, wanted)), len(items) - 1)
    return level, int(items[:level].sum()), int(relevant[:level].sum())


def _precision_sums(items: np.ndarray, relevant: np.ndarray, k: int) -> Tied:
    """Sums of the precisions at the relevant rows of rank <= k."""
    before = items.cumsum(axis=1) - items
    hits = relevant.cumsum(axis=1) - relevant
    places = np.clip(k - before, 0, items)
    others = items - relevant
    expected = _expected_sums(before, hits, places, items, relevant)
    worst = _run_sums(hits, before + others, np.clip(places - others, 0, None))
    best = _run_sums(hits, before, np.minimum(places, relevant))
    return Tied(*(each.sum(axis=1) for each in (expected, worst, best)))


def _expected_sums(before: Counts, hits: Counts, places: Counts, items: Counts, relevant: Counts) -> np.ndarray:
    """Expected sum of the precisions at the relevant rows among the first `places` of `items` tied rows.

    before, hits: rows and relevant rows before the tie. The j-th of n tied rows is relevant with probability r / n, and
    then (j - 1) (r - 1) / (n - 1) of the tied rows before it are relevant.
    """
    harmonic = _harmonic(before + places) - _harmonic(before)
    others = (relevant - 1) / np.maximum(items - 1, 1)
    return relevant / np.maximum(items, 1) * ((hits + 1) * harmonic + others * (places - (before + 1) * harmonic))


def _run_sums(hits: Counts, before: Counts, count: Counts) -> np.ndarray:
    """Sum of the precisions at `count` relevant rows that follow each other after `before` rows with `hits`."""
    return count + (hits - before) * (_harmonic(before + count) - _harmonic(before))


def _harmonic(n: Counts) -> np.ndarray:
    """H_n = 1 + 1/2 + ... + 1/n."""
    from scipy.special import digamma

    return np.asarray(digamma(np.asarray(n) + 1.0))  # without Euler's constant, since only differences are used


def _log_choose(n: Counts, k: Counts) -> np.ndarray:
    """log of the binomial coefficient; -inf where k is not in [0, n]."""
    from scipy.special import gammaln

    n, k = np.asarray(n, float), np.asarray(k, float)
    inside = (k >= 0) & (k <= n)
    kept = np.where(inside, k, 0)
    return np.where(inside, gammaln(n + 1) - gammaln(kept + 1) - gammaln(n - kept + 1), -np.inf)


def _of_found(total: np.ndarray, values: Sequence[np.ndarray] | np.ndarray) -> Tied:
    return Tied(*(np.where(total > 0, each, np.nan) for each in values))
