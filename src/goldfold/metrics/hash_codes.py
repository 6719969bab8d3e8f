"""Metrics of binary hash codes: mAP by Hamming distance under four public definitions, and precision within a radius.

Predictions are outputs of a hash layer (n, bits), whose signs are the bits, or records with such a field (`field`).
`pairs` makes queries, gallery and relevance from the rows, such as `retrieval.pairs.by_shared_label`; codes of training
rows never belong to a gallery of validation rows, so scores are lower than in papers whose database has them.

Hamming distances tie all the time, and public code breaks ties by an unstable sort. Here a score is the expectation
over all orders of tied rows, in closed form; `order="worst"` and `"best"` tell how far such a sort can move it. A score
is the mean over the queries with a relevant row. Chance is the expected score of a random ranking: all rows tied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.data.fields import field as field_of
from goldfold.errors import GoldfoldError
from goldfold.metrics.retrieval import mean_over_queries
from goldfold.optional_parts import MetricOptions, Pairs

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.retrieval.hashing.tied_ranks import Tied

    PairsOf = Callable[[DataFrame], Pairs]
    Counted = Callable[[np.ndarray, np.ndarray], np.ndarray]

Definition = Literal["all_ranks", "first_relevant", "cut_by_hits", "cut_by_relevant"]
Order = Literal["expected", "worst", "best"]
LETTERS = {"first_relevant": "a", "cut_by_hits": "b", "cut_by_relevant": "c"}


def hash_map(
    pairs: PairsOf,
    *,
    definition: Definition = "all_ranks",
    k: int = 50,
    order: Order = "expected",
    field: str | None = None,
) -> Metric:
    """mAP of hash codes ranked by Hamming distance, expected over all orders of tied rows.

    Range: [0, 1], higher is better. Chance: the expected value of a random ranking, in closed form.
    Ties: the expectation, or the score of the worst or the best `order`.
    Empty classes: queries without a relevant row are left out.

    definition: all_ranks is the usual AP. The others are called mAP@k in the literature, and their letter is in the
    name: first_relevant (a) averages over the first min(k, R) relevant rows, wherever they rank; cut_by_hits (b) cuts
    at rank k and divides by the relevant rows among those; cut_by_relevant (c) divides by min(k, R).
    """
    if k < 1:
        raise GoldfoldError("k_too_small", f"k must be at least 1, got {k}: 50 is usual")

    def values(items: np.ndarray, relevant: np.ndarray, order: Order = order) -> np.ndarray:
        from goldfold.retrieval.hashing import tied_ranks

        if definition == "all_ranks":
            return getattr(tied_ranks.average_precision(items, relevant), order)
        found: Tied = getattr(tied_ranks, definition)(items, relevant, k)
        return getattr(found, order)

    name = "hash mAP" if definition == "all_ranks" else f"hash mAP@{k} ({LETTERS[definition]})"
    name += "" if order == "expected" else f", {order} ties"
    return _metric(name, pairs, values, lambda items, relevant: values(items, relevant, "expected"), field)


def hash_precision(pairs: PairsOf, *, radius: int = 2, field: str | None = None) -> Metric:
    """Share of relevant rows among the gallery rows within a Hamming distance of `radius`; 0 where there are none.

    Range: [0, 1], higher is better. Chance: the share of relevant rows in the gallery.
    Ties: none. Empty classes: queries without a relevant row are left out.
    """
    return _metric(
        f"hash precision within {radius}",
        pairs,
        lambda items, relevant: _share(items[:, : radius + 1], relevant[:, : radius + 1]),
        _share,
        field,
    )


def _share(items: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    return relevant.sum(axis=1) / np.maximum(items.sum(axis=1), 1)


def _metric(name: str, pairs: PairsOf, values: Counted, chance: Counted, field: str | None) -> Metric:
    """values, chance: (rows, relevant rows) at each distance of each query -> (q,)."""

    def by_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        """Value of each row; nan if it is no query or has no relevant row."""
        from goldfold.retrieval.hashing import codes

        own = pairs(rows)
        outputs = field_of(predictions, field) if field else predictions
        items, relevant = codes.counts_by_distance(own, codes.pack(outputs))
        of_rows = np.full(len(rows), np.nan)
        of_rows[own.queries] = np.where(relevant.any(axis=1), values(items, relevant), np.nan)
        return of_rows

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        of_rows = by_row(rows, predictions)
        return lambda index: mean_over_queries(of_rows[index], name)

    def expected(rows: DataFrame) -> float:
        from goldfold.retrieval.pairs import count_relevant

        found = count_relevant(pairs(rows))
        scored = found.relevant > 0
        return mean_over_queries(chance(found.gallery[scored, None], found.relevant[scored, None]), name)

    return Metric(
        name=name,
        score=lambda rows, predictions: mean_over_queries(by_row(rows, predictions), name),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=expected,
        options=MetricOptions(
            resampled=resampled,
            row_error=lambda rows, predictions: np.nan_to_num(1 - by_row(rows, predictions), nan=0.0),
            field=field,
        ),
    )
