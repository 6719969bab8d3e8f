"""Metrics of binary hash codes: mAP by Hamming distance under four public definitions, and precision within a radius.

Predictions are outputs of a hash layer (n, bits), whose signs are the bits, or records with such a field (`field`).
`pairs` makes queries, gallery and relevance from the rows, such as `retrieval.pairs.by_shared_label`.

Validation rows search each other (`database="held_out"`). In the public protocol of papers on hashing the queries are
held out and the database is all other rows, those the model trained on included, so its scores are higher:
`database="training_rows"` lets the validation rows of a fold search the training rows of their fit by its code index.
The name says so, and so does the finding `training_rows_in_database`.

Hamming distances tie all the time, and public code breaks ties by an unstable sort. Here a score is the expectation
over all orders of tied rows, in closed form; `order="worst"` and `"best"` tell how far such a sort can move it. A score
is the mean over the queries with a relevant row. Chance is the expected score of a random ranking: all rows tied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.data.fields import field as field_of
from goldfold.errors import GoldfoldError
from goldfold.metrics.retrieval import mean_over_queries
from goldfold.optional_parts import MetricOptions, Pairs, TrainingDatabase

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.retrieval.hashing.tied_ranks import Tied

    PairsOf = Callable[[DataFrame], Pairs]
    Counted = Callable[[np.ndarray, np.ndarray], np.ndarray]

Definition = Literal["all_ranks", "first_relevant", "cut_by_hits", "cut_by_relevant"]
Order = Literal["expected", "worst", "best"]
Database = Literal["held_out", "training_rows"]
LETTERS = {"first_relevant": "a", "cut_by_hits": "b", "cut_by_relevant": "c"}


def hash_map(
    pairs: PairsOf,
    *,
    definition: Definition = "all_ranks",
    k: int = 50,
    order: Order = "expected",
    field: str | None = None,
    database: Database = "held_out",
) -> Metric:
    """mAP of hash codes ranked by Hamming distance, expected over all orders of tied rows.

    Range: [0, 1], higher is better. Chance: the expected value of a random ranking, in closed form.
    Ties: the expectation, or the score of the worst or the best `order`.
    Empty classes: queries without a relevant row are left out.

    definition: all_ranks is the usual AP. The others are called mAP@k in the literature, and their letter is in the
    name: first_relevant (a) averages over the first min(k, R) relevant rows, wherever they rank; cut_by_hits (b) cuts
    at rank k and divides by the relevant rows among those; cut_by_relevant (c) divides by min(k, R).
    database: the rows that validation rows search: each other, or the training rows of their fit.
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

    def chance(items: np.ndarray, relevant: np.ndarray) -> np.ndarray:
        return values(items, relevant, "expected")

    return (_metric if database == "held_out" else _of_training_rows)(name, pairs, values, chance, field)


def hash_precision(
    pairs: PairsOf, *, radius: int = 2, field: str | None = None, database: Database = "held_out"
) -> Metric:
    """Share of relevant rows among the gallery rows within a Hamming distance of `radius`; 0 where there are none.

    Range: [0, 1], higher is better. Chance: the share of relevant rows in the gallery.
    Ties: none. Empty classes: queries without a relevant row are left out.

    database: as of `hash_map`.
    """

    def values(items: np.ndarray, relevant: np.ndarray) -> np.ndarray:
        return _share(items[:, : radius + 1], relevant[:, : radius + 1])

    make = _metric if database == "held_out" else _of_training_rows
    return make(f"hash precision within {radius}", pairs, values, _share, field)


def _share(items: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    return relevant.sum(axis=1) / np.maximum(items.sum(axis=1), 1)


def _metric(name: str, pairs: PairsOf, values: Counted, chance: Counted, field: str | None) -> Metric:
    """values, chance: (rows, relevant rows) at each distance of each query -> (q,)."""

    def by_distance(rows: DataFrame, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from goldfold.retrieval.hashing import codes

        return codes.counts_by_distance(pairs(rows), codes.pack(_outputs(predictions, field)))

    def by_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        """Value of each row; nan if it is no query or has no relevant row."""
        items, relevant = by_distance(rows, predictions)
        of_rows = np.full(len(rows), np.nan)
        of_rows[pairs(rows).queries] = np.where(relevant.any(axis=1), values(items, relevant), np.nan)
        return of_rows

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        of_rows = by_row(rows, predictions)
        return lambda index: mean_over_queries(of_rows[index], name)

    def expected(rows: DataFrame) -> float:
        return _expected(pairs(rows), chance, name)

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
            by_distance=by_distance,
        ),
    )


def _expected(pairs: Pairs, chance: Counted, name: str) -> float:
    """The mean over queries of the chance level, which a gallery of tied rows has."""
    from goldfold.retrieval.pairs import count_relevant

    found = count_relevant(pairs)
    scored = found.relevant > 0
    return mean_over_queries(chance(found.gallery[scored, None], found.relevant[scored, None]), name)


def _of_training_rows(name: str, pairs: PairsOf, values: Counted, chance: Counted, field: str | None) -> Metric:
    """As `_metric`, with validation rows as queries and the training rows of their fit as the database."""
    name = f"{name}, training rows in database"

    def both(rows: DataFrame, training: DataFrame) -> Pairs:
        import pandas as pd

        from goldfold.retrieval.pairs import between

        whole = pairs(pd.concat([rows, training], ignore_index=True))
        return between(whole, np.arange(len(rows)), len(rows) + np.arange(len(training)))

    def by_distance(
        rows: DataFrame, predictions: np.ndarray, training: DataFrame, index: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        from goldfold.retrieval.hashing import codes

        own = codes.pack(_outputs(predictions, field))
        words = np.concatenate([own.words, codes.from_bytes(index["codes"], own.bits).words])
        return codes.counts_by_distance(both(rows, training), codes.Codes(words, own.bits))

    def score(rows: DataFrame, predictions: np.ndarray, training: DataFrame, index: Mapping[str, np.ndarray]) -> float:
        items, relevant = by_distance(rows, predictions, training, index)
        return mean_over_queries(np.where(relevant.any(axis=1), values(items, relevant), np.nan), name)

    def alone(rows: DataFrame, predictions: np.ndarray) -> float:
        raise GoldfoldError(
            "training_rows_needed",
            f"{name} needs the training rows of a fit and its code index, which predictions do not have: list it in "
            "`also` of a competition, or use database='held_out'",
        )

    return Metric(
        name=name,
        score=alone,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: _expected(pairs(rows), chance, name),
        options=MetricOptions(
            field=field,
            training_database=TrainingDatabase(
                by_distance=by_distance,
                score=score,
                chance=lambda rows, training: _expected(both(rows, training), chance, name),
            ),
        ),
    )


def _outputs(predictions: np.ndarray, field: str | None) -> np.ndarray:
    return field_of(predictions, field) if field else predictions
