"""Metrics of retrieval: mAP, mAP@R, mAP@k, precision@k, recall@k, hit@k, R-precision and MRR, from cosine similarity.

Predictions are embeddings (n, d); their lengths do not matter. `pairs` makes queries, gallery and relevance from the
rows (`goldfold.retrieval.search.by_label`, `by_time`). `protocol` says the same in words and belongs to every score.

A score is the mean over the queries with at least one relevant gallery row. The other queries are left out, as the
protocol says; `goldfold.retrieval.search.answers(pairs(rows)).unanswered` counts them. GoldfoldError if no query has a
relevant row. Chance is the mean over the same queries of the expected score of a random ranking, in closed form. R is
the number of relevant rows of a query and G the number of its gallery rows. Ties count against the model: of rows with
equal similarity the irrelevant ones rank first, except in mAP (`goldfold.retrieval.exact_ranks`).

Bootstrap draws (`resampled`) draw queries; the gallery stays whole. `row_error` is 1 - AP, and 0 for rows that are no
query or have no relevant row.

Metrics of one `pairs` function share one pass over the similarities (`retrieval_cache`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.metrics import retrieval_cache
from goldfold.optional_parts import MetricOptions, Pairs, Retrieval
from goldfold.retrieval import random_ranking

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.retrieval.exact_ranks import RelevantRanks

    PairsOf = Callable[[DataFrame], Pairs]
    OfCounts = Callable[[np.ndarray, np.ndarray], np.ndarray]


def mean_average_precision(pairs: PairsOf, *, protocol: str) -> Metric:
    """mAP: the mean over queries of AP, which is the mean of the precision at the ranks of all relevant rows.

    Range: [0, 1], higher is better. Chance: the expected AP of a random ranking, in closed form.
    Ties: tied rows share one threshold, as in scikit-learn. Empty classes: queries without a relevant row are left out.
    """
    return per_query(
        "mAP (over all ranks)",
        pairs,
        protocol,
        lambda found: found.average_precision,
        lambda r, g: random_ranking.expected_precision_sum(r, g, g) / r,
    )


def map_at_r(pairs: PairsOf, *, protocol: str) -> Metric:
    """mAP@R: as mAP, but relevant rows at ranks beyond R count 0, where R is the query's number of relevant rows.

    Range: [0, 1], higher is better. Chance: the expected value of a random ranking, in closed form.
    Ties: irrelevant rows rank first. Empty classes: queries without a relevant row are left out.

    Source: Musgrave et al., A Metric Learning Reality Check, 2020, section 3.2.
    """
    return per_query(
        "mAP@R",
        pairs,
        protocol,
        lambda found: found.average_precision_at_r,
        lambda r, g: random_ranking.expected_precision_sum(r, g, r) / r,
    )


def map_at(pairs: PairsOf, k: int, *, protocol: str) -> Metric:
    """mAP@k: the sum of the precisions at the relevant rows among the first k, divided by min(k, R).

    Range: [0, 1], higher is better. Chance: the expected value of a random ranking, in closed form.
    Ties: irrelevant rows rank first. Empty classes: queries without a relevant row are left out.

    R is the query's number of relevant rows. Kaggle's landmark competitions define it so; others divide by R, or by the
    number of relevant rows found. GoldfoldError for k < 1.
    """
    _check_k(k)
    return per_query(
        f"mAP@{k} (over min({k}, right))",
        pairs,
        protocol,
        lambda found: found.precision_sums(k) / np.minimum(k, found.relevant),
        lambda r, g: random_ranking.expected_precision_sum(r, g, np.minimum(k, g)) / np.minimum(k, r),
        depth=k,
    )


def precision_at(pairs: PairsOf, k: int, *, protocol: str) -> Metric:
    """precision@k: relevant rows among the first k, divided by k, also if a query has fewer than k gallery rows.

    Range: [0, 1], higher is better. Chance: min(k, G) / k x R / G, for R relevant rows among G gallery rows.
    Ties: irrelevant rows rank first. Empty classes: queries without a relevant row are left out.

    The best possible score is min(k, R) / k. GoldfoldError for k < 1.
    """
    _check_k(k)
    return per_query(
        f"precision@{k} (hits / {k})",
        pairs,
        protocol,
        lambda found: found.hits(k) / k,
        lambda r, g: np.minimum(k, g) / k * r / g,
        lambda r, g: np.minimum(k, r) / k,
        depth=k,
    )


def recall_at(pairs: PairsOf, k: int, *, protocol: str) -> Metric:
    """recall@k: relevant rows among the first k, divided by R, the query's number of relevant rows.

    Range: [0, 1], higher is better. Chance: min(k, G) / G, for G gallery rows.
    Ties: irrelevant rows rank first. Empty classes: queries without a relevant row are left out.

    Papers on metric learning call `hit_at` recall@k. The best possible score is min(k, R) / R. GoldfoldError for k < 1.
    """
    _check_k(k)
    return per_query(
        f"recall@{k} (hits / right)",
        pairs,
        protocol,
        lambda found: found.hits(k) / found.relevant,
        lambda r, g: np.minimum(k, g) / g,
        lambda r, g: np.minimum(k, r) / r,
        depth=k,
    )


def hit_at(pairs: PairsOf, k: int, *, protocol: str) -> Metric:
    """hit@k: whether a relevant row is among the first k, which is rank-k of the cumulative match characteristic.

    Range: [0, 1], higher is better. Chance: the probability that a random ranking has a relevant row among its first k.
    Ties: irrelevant rows rank first. Empty classes: queries without a relevant row are left out.

    GoldfoldError for k < 1.
    """
    _check_k(k)
    return per_query(
        f"hit@{k} (any right in {k})",
        pairs,
        protocol,
        lambda found: found.first_rank <= k,
        lambda r, g: random_ranking.hit_probability(r, g, k),
    )


def r_precision(pairs: PairsOf, *, protocol: str) -> Metric:
    """R-precision: relevant rows among the first R, divided by R, the query's number of relevant rows.

    Range: [0, 1], higher is better. Chance: R / G, for G gallery rows.
    Ties: irrelevant rows rank first. Empty classes: queries without a relevant row are left out.
    """
    return per_query(
        "R-precision", pairs, protocol, lambda found: found.relevant_at_r / found.relevant, lambda r, g: r / g
    )


def reciprocal_rank(pairs: PairsOf, *, protocol: str) -> Metric:
    """MRR: the mean over queries of 1 / the rank of the first relevant row.

    Range: [0, 1], higher is better. Chance: the expected value of a random ranking, in closed form.
    Ties: irrelevant rows rank first. Empty classes: queries without a relevant row are left out.
    """
    return per_query(
        "MRR", pairs, protocol, lambda found: 1 / found.first_rank, random_ranking.expected_reciprocal_rank
    )


def per_query(
    name: str,
    pairs: PairsOf,
    protocol: str,
    values: Callable[[RelevantRanks], np.ndarray],
    chance: OfCounts,
    best: OfCounts | None = None,
    depth: int = 1,
) -> Metric:
    """Return the metric that is the mean of `values` (q,) over the queries with a relevant row.

    chance, best: (R, G) of those queries -> (q,); best is None if it is 1. depth: the largest rank that `values` needs
    exactly.
    """

    def by_row(rows: DataFrame, predictions: np.ndarray, values: Callable = values) -> np.ndarray:
        """Value of each row; nan if it is no query or has no relevant row."""
        queries, found = retrieval_cache.ranked(pairs, rows, predictions, depth)
        of_rows = np.full(len(rows), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            of_rows[queries] = np.where(found.relevant > 0, values(found), np.nan)
        return of_rows

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        of_rows = by_row(rows, predictions)
        return lambda index: mean_over_queries(of_rows[index], name)

    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return np.nan_to_num(1 - by_row(rows, predictions, lambda found: found.average_precision), nan=0.0)

    def over_queries(of: OfCounts) -> Callable[[DataFrame], float]:
        def mean(rows: DataFrame) -> float:
            found = retrieval_cache.answers(pairs, rows)
            scored = found.relevant > 0
            values = np.full(len(scored), np.nan)
            values[scored] = of(found.relevant[scored], found.gallery[scored])
            return mean_over_queries(values, name)

        return mean

    return Metric(
        name=name,
        score=lambda rows, predictions: mean_over_queries(by_row(rows, predictions), name),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=over_queries(chance),
        retrieval=Retrieval(
            pairs=pairs,
            protocol=f"{protocol}, queries without a right answer left out",
            best_possible=best and over_queries(best),
        ),
        options=MetricOptions(resampled=resampled, row_error=error),
    )


def _check_k(k: int) -> None:
    if k < 1:
        raise GoldfoldError("k_too_small", f"k must be at least 1, got {k}: 1, 5 and 10 are usual")


def mean_over_queries(values: np.ndarray, name: str) -> float:
    """Mean over the queries with a relevant row; GoldfoldError if there are none."""
    scored = values[~np.isnan(values)]
    if not len(scored):
        raise GoldfoldError(
            "no_relevant_rows",
            f"{name} needs queries with a relevant row, but none of {len(values)} rows is one: split so that rows of "
            "one label stay together",
        )
    return float(scored.mean())
