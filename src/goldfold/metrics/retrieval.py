"""Metrics of rows that find each other by the cosines of their embeddings, all made of the ranks of right answers.

Predictions are embeddings (n, d); their lengths do not count. `pairs` makes queries, gallery and relevance of the rows
(`goldfold.retrieval.pairs.by_label`, `by_time`), and `protocol` says the same in words, as a part of every score.

A score is the mean over the queries that have a right answer. The others are left out, as the protocol says, and
`count_relevant(pairs(rows)).queries_without_relevant` counts them; no query with a right answer: GoldfoldError. Chance
is the mean over the same queries of what a random order of their answers scores, in closed form; ties count against
(`goldfold.retrieval.exact_ranks`). Rows drawn again (`resampled`) are queries, answered by the whole gallery.
`row_error` is 1 - AP, and 0 for rows that do not ask or have no right answer.

Metrics of one `pairs` function share one pass over the cosines: those of the last rows and predictions are remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import MetricOptions, Pairs, Retrieval
from goldfold.retrieval import random_ranking

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.retrieval.exact_ranks import RelevantRanks
    from goldfold.retrieval.pairs import RelevantCounts

    PairsOf = Callable[[DataFrame], Pairs]
    OfCounts = Callable[[np.ndarray, np.ndarray], np.ndarray]

_last: dict[str, tuple[tuple, Any]] = {}


def mean_average_precision(pairs: PairsOf, *, protocol: str) -> Metric:
    """mAP: the mean over queries of AP, itself the mean of the precision at the ranks of all right answers."""
    return _metric(
        "mAP (over all ranks)",
        pairs,
        protocol,
        lambda found: found.average_precision,
        lambda r, g: random_ranking.expected_precision_sum(r, g, g) / r,
    )


def map_at_r(pairs: PairsOf, *, protocol: str) -> Metric:
    """mAP@R: as mAP, but right answers of a rank beyond R, the number of right answers, count 0.

    Musgrave et al., A Metric Learning Reality Check, 2020, section 3.2.
    """
    return _metric(
        "mAP@R",
        pairs,
        protocol,
        lambda found: found.average_precision_at_r,
        lambda r, g: random_ranking.expected_precision_sum(r, g, r) / r,
    )


def map_at(pairs: PairsOf, k: int, *, protocol: str) -> Metric:
    """mAP@k: the precisions at the right answers among the first k, summed and divided by min(k, right answers).

    That is how Kaggle's landmark competitions define it; others divide by all right answers, or by those found.
    """
    _check(k)

    return _metric(
        f"mAP@{k} (over min({k}, right))",
        pairs,
        protocol,
        lambda found: found.precision_sums(k) / np.minimum(k, found.relevant),
        lambda r, g: random_ranking.expected_precision_sum(r, g, np.minimum(k, g)) / np.minimum(k, r),
        depth=k,
    )


def precision_at(pairs: PairsOf, k: int, *, protocol: str) -> Metric:
    """precision@k: right answers among the first k, divided by k, also where a query has less than k answers.

    The best possible score is min(k, right answers) / k, chance min(k, G) / k R / G of G answers, R of them right.
    """
    _check(k)
    return _metric(
        f"precision@{k} (hits / {k})",
        pairs,
        protocol,
        lambda found: found.hits(k) / k,
        lambda r, g: np.minimum(k, g) / k * r / g,
        lambda r, g: np.minimum(k, r) / k,
        depth=k,
    )


def recall_at(pairs: PairsOf, k: int, *, protocol: str) -> Metric:
    """recall@k: right answers among the first k, divided by all right answers.

    What papers on metric learning call so is `hit_at`. The best possible score is min(k, R) / R, chance min(k, G) / G.
    """
    _check(k)
    return _metric(
        f"recall@{k} (hits / right)",
        pairs,
        protocol,
        lambda found: found.hits(k) / found.relevant,
        lambda r, g: np.minimum(k, g) / g,
        lambda r, g: np.minimum(k, r) / r,
        depth=k,
    )


def hit_at(pairs: PairsOf, k: int, *, protocol: str) -> Metric:
    """hit@k: whether a right answer is among the first k: rank-k of the cumulative match characteristic."""
    _check(k)
    return _metric(
        f"hit@{k} (any right in {k})",
        pairs,
        protocol,
        lambda found: found.first_rank <= k,
        lambda r, g: random_ranking.hit_probability(r, g, k),
    )


def r_precision(pairs: PairsOf, *, protocol: str) -> Metric:
    """R-precision: right answers among the first R, divided by R, the number of right answers. Chance is R / G."""
    return _metric(
        "R-precision", pairs, protocol, lambda found: found.relevant_at_r / found.relevant, lambda r, g: r / g
    )


def reciprocal_rank(pairs: PairsOf, *, protocol: str) -> Metric:
    """MRR: 1 / the rank of the first right answer."""
    return _metric("MRR", pairs, protocol, lambda found: 1 / found.first_rank, random_ranking.expected_reciprocal_rank)


def _metric(
    name: str,
    pairs: PairsOf,
    protocol: str,
    values: Callable[[RelevantRanks], np.ndarray],
    by_chance: OfCounts,
    best: OfCounts | None = None,
    depth: int = 1,
) -> Metric:
    """The mean of `values` (q,) over the queries with a right answer.

    by_chance, best: (right answers, answers in all) of those queries -> (q,); best is None where it is 1. depth: the
    largest rank that `values` looks at one by one.
    """

    def by_row(rows: DataFrame, predictions: np.ndarray, values: Callable = values) -> np.ndarray:
        """Of each row; nan where it does not ask or has no right answer."""
        queries, found = _ranked(pairs, rows, predictions, depth)
        spread = np.full(len(rows), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread[queries] = np.where(found.relevant > 0, values(found), np.nan)
        return spread

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        known = by_row(rows, predictions)
        return lambda index: _mean(known[index], name)

    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return np.nan_to_num(1 - by_row(rows, predictions, lambda found: found.average_precision), nan=0.0)

    def over_queries(of: OfCounts) -> Callable[[DataFrame], float]:
        def mean(rows: DataFrame) -> float:
            found = _answers(pairs, rows)
            right = found.relevant > 0
            known = np.full(len(right), np.nan)
            known[right] = of(found.relevant[right], found.gallery[right])
            return _mean(known, name)

        return mean

    return Metric(
        name=name,
        score=lambda rows, predictions: _mean(by_row(rows, predictions), name),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=over_queries(by_chance),
        retrieval=Retrieval(
            pairs=pairs,
            protocol=f"{protocol}, queries without a right answer left out",
            best_possible=best and over_queries(best),
        ),
        options=MetricOptions(resampled=resampled, row_error=error),
    )


def _check(k: int) -> None:
    if k < 1:
        raise GoldfoldError(f"the first answers counted are at least 1, got k = {k}: 1, 5 and 10 are usual")


def _mean(values: np.ndarray, name: str) -> float:
    known = values[~np.isnan(values)]
    if not len(known):
        raise GoldfoldError(
            f"{name} is a mean over queries that have a right answer, and none of {len(values)} rows is one: split so "
            "that rows which belong together fall together"
        )
    return float(known.mean())


def _answers(pairs: PairsOf, rows: DataFrame) -> RelevantCounts:
    from goldfold.retrieval.pairs import count_relevant

    return _remembered("answers", pairs, (_of_rows(rows),), lambda: count_relevant(pairs(rows)))


def _ranked(pairs: PairsOf, rows: DataFrame, predictions: np.ndarray, depth: int) -> tuple[np.ndarray, RelevantRanks]:
    """The positions of the rows that ask, and the ranks of their right answers, `depth` or more of them one by one."""
    from goldfold.retrieval import cosines, exact_ranks

    embeddings, depth = np.asarray(predictions), max(depth, exact_ranks.DEPTH)
    if embeddings.ndim == 0 or len(embeddings) != len(rows):
        raise GoldfoldError(
            f"{len(rows)} rows need an embedding each, got shape {embeddings.shape}: look at `Plan.predict`"
        )

    def rank() -> tuple[np.ndarray, RelevantRanks]:
        asked = pairs(rows)
        return asked.queries, exact_ranks.rank_relevant(asked, cosines.normalize_tensor(embeddings, asked), depth)

    known = embeddings.shape, embeddings.dtype.str, sha256(embeddings.tobytes()).digest()
    return _remembered("ranked", pairs, (depth, _of_rows(rows), *known), rank)


def _remembered(what: str, pairs: PairsOf, given: tuple, make: Callable[[], Any]) -> Any:
    """What was last made of the same, or else what `make` makes now; a part of None is never the same."""
    last = _last.get(what)
    if last is not None and None not in given and last[0] == (pairs, *given):
        return last[1]
    made = make()
    _last[what] = (pairs, *given), made
    return made


def _of_rows(rows: DataFrame) -> bytes | None:
    """A digest of a table; None where a cell cannot be hashed."""
    import pandas as pd

    try:
        hashed = pd.util.hash_pandas_object(rows)
    except TypeError:
        return None
    return sha256(hashed.to_numpy().tobytes() + repr(list(rows.columns)).encode()).digest()
