"""Exact ranks of the relevant gallery rows of each query by cosine, and how ties are counted; in bounded memory.

Ties count against the model: among gallery rows of equal cosine, the irrelevant ones rank before the relevant ones. A
model that gives all rows one embedding therefore finds nothing, and one that gives each label its own embedding finds
everything. Binary codes are covered, too: the cosine of +1/-1 vectors of d bits with Hamming distance h is 1 - 2 h / d,
so its ranking is that by Hamming distance, with many ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from goldfold.optional_parts import Pairs
from goldfold.retrieval.cosines import Embeddings, cosine_chunks, normalize_tensor

DEPTH = 1000
FEW = 4  # up to so many relevant rows, comparing all cosines with each is faster than sorting


@dataclass(frozen=True)
class RelevantRanks:
    """The ranks of the relevant gallery rows of each of q queries, and averages of them; the best rank is 1.

    relevant, gallery: int64 (q,), number of relevant gallery rows, and of all gallery rows that are not left out.
    first_rank: int64 (q,), best rank of a relevant row; 0 if there is none.
    relevant_at_r: int64 (q,), number of relevant rows of rank <= R, where R is `relevant`.
    average_precision: float64 (q,), mean over the relevant rows of the share of relevant rows among all rows at least
        as similar: scikit-learn's definition, ties included. nan if there is no relevant row.
    average_precision_at_r: float64 (q,), mean over the relevant rows of the precision at their rank, where ranks > R
        count 0. nan if there is no relevant row.
    average_precision_trapezoid: float64 (q,), mean over the relevant rows of (precision just before their rank +
        precision at it) / 2, where the precision before rank 1 is 1; for one relevant row of rank r > 1 this is
        1 / (2 r). nan if there is no relevant row. Source: Philbin et al., Object Retrieval with Large Vocabularies
        and Fast Spatial Matching, 2007, whose evaluation code integrates precision over recall so.
    ranks: for each query the ranks of its relevant rows up to `depth`, int32, ascending.
    """

    relevant: np.ndarray
    gallery: np.ndarray
    first_rank: np.ndarray
    relevant_at_r: np.ndarray
    average_precision: np.ndarray
    average_precision_at_r: np.ndarray
    average_precision_trapezoid: np.ndarray
    ranks: Sequence[np.ndarray]
    depth: int

    def hits(self, k: int) -> np.ndarray:
        """Return the number of relevant rows of rank <= k <= depth, int64 (q,)."""
        return np.array([_count_up_to(ranks, k) for ranks in self.ranks])

    def precision_sums(self, k: int) -> np.ndarray:
        """Return the sum of the precisions at the relevant rows of rank <= k <= depth, float64 (q,)."""
        nearest = (ranks[: _count_up_to(ranks, k)] for ranks in self.ranks)
        return np.array([_precisions(ranks).sum() for ranks in nearest])


class _QueryRanks(NamedTuple):
    """One query's part of `RelevantRanks`."""

    relevant: int
    gallery: int
    first_rank: int
    relevant_at_r: int
    average_precision: float
    average_precision_at_r: float
    average_precision_trapezoid: float
    ranks: np.ndarray


def rank_relevant(pairs: Pairs, units: Tensor, depth: int = DEPTH) -> RelevantRanks:
    """Rank the relevant gallery rows of every query; ties count against the model.

    units: float32 (n, d) of length 1 or 0, on any device; `pairs` has positions of its rows.
    depth: ranks up to this one are kept; larger ones count in the averages only.

    Cosines are computed on the units' device, and counted on the CPU in as many threads as torch has. The time is
    proportional to queries x gallery, times the logarithm of a sort. Memory, besides arguments and result, is bounded
    while the gallery has fewer than `pairs.CHUNK_CELLS` rows.
    """
    threads = torch.get_num_threads()
    found: list[_QueryRanks] = []
    with ThreadPoolExecutor(threads) as pool:
        for chunk in cosine_chunks(pairs, units):
            arrays = (chunk.cosines, chunk.relevant, chunk.left_out)
            parts = pool.map(partial(_rank_queries, depth), *(np.array_split(array, threads) for array in arrays))
            found += [query for part in parts for query in part]
    relevant, gallery, first, at_r, precision, precision_at_r, trapezoid, ranks = zip(*found, strict=True)
    return RelevantRanks(
        relevant=np.array(relevant),
        gallery=np.array(gallery),
        first_rank=np.array(first),
        relevant_at_r=np.array(at_r),
        average_precision=np.array(precision),
        average_precision_at_r=np.array(precision_at_r),
        average_precision_trapezoid=np.array(trapezoid),
        ranks=ranks,
        depth=depth,
    )


def average_precisions(pairs: Pairs, embeddings: Embeddings) -> np.ndarray:
    """Return the average precision of each query, float64 (q,), as `RelevantRanks` defines it; nan if it has none.

    Raises GoldfoldError as `cosines.normalize_tensor` does.
    """
    return rank_relevant(pairs, normalize_tensor(embeddings, pairs), depth=0).average_precision


def _rank_queries(depth: int, cosines: np.ndarray, relevant: np.ndarray, left_out: np.ndarray) -> list[_QueryRanks]:
    """The ranks of several queries, arrays (m, gallery)."""
    gallery = left_out.shape[1] - np.count_nonzero(left_out, axis=1)
    rows = zip(cosines, relevant, gallery.tolist(), strict=True)
    return [_rank_query(depth, *row) for row in rows]


def _rank_query(depth: int, cosines: np.ndarray, relevant: np.ndarray, gallery: int) -> _QueryRanks:
    """The ranks of one query's relevant rows: rows at least as similar, less the relevant ones among ties."""
    similar = cosines[relevant]
    count = len(similar)
    if not count:
        return _QueryRanks(0, gallery, 0, 0, np.nan, np.nan, np.nan, np.empty(0, np.int32))
    similar.sort()
    at_least_as_similar = _count_at_least(cosines, similar)[::-1]
    hits = _relevant_at_least(at_least_as_similar)
    ranks = at_least_as_similar - hits + np.arange(1, count + 1)
    in_r = _count_up_to(ranks, count)
    return _QueryRanks(
        relevant=count,
        gallery=gallery,
        first_rank=int(ranks[0]),
        relevant_at_r=in_r,
        average_precision=(hits / at_least_as_similar).sum() / count,
        average_precision_at_r=_precisions(ranks[:in_r]).sum() / count,
        average_precision_trapezoid=(_precisions(ranks) + _precisions_before(ranks)).sum() / (2 * count),
        ranks=ranks[: _count_up_to(ranks, depth)].astype(np.int32),
    )


def _count_at_least(cosines: np.ndarray, similar: np.ndarray) -> np.ndarray:
    """How many cosines are at least as large as each of `similar`, which ascends; int64, descending."""
    if len(similar) <= FEW:
        return np.array([np.count_nonzero(cosines >= each) for each in similar])
    cosines.sort()  # faster than the matrix product that computed them, since positions are not needed
    return len(cosines) - np.searchsorted(cosines, similar)


def _count_up_to(ranks: np.ndarray, k: int) -> int:
    """How many of the ascending ranks are at most k."""
    return int(np.searchsorted(ranks, k, side="right"))


def _precisions(ranks: np.ndarray) -> np.ndarray:
    """The share of relevant rows up to each of the ranks of the relevant rows."""
    return np.arange(1, len(ranks) + 1) / ranks


def _precisions_before(ranks: np.ndarray) -> np.ndarray:
    """The share of relevant rows among the rows before each of the ranks of the relevant rows; 1 before rank 1."""
    found = np.arange(len(ranks))
    return np.divide(found, ranks - 1, out=np.ones(len(ranks)), where=ranks > 1)


def _relevant_at_least(at_least_as_similar: np.ndarray) -> np.ndarray:
    """How many relevant rows are at least as similar as each, from the ascending counts of all such rows."""
    if (at_least_as_similar[1:] == at_least_as_similar[:-1]).any():
        return np.searchsorted(at_least_as_similar, at_least_as_similar, side="right")
    return np.arange(1, len(at_least_as_similar) + 1)
