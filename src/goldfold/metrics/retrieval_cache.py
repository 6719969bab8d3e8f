"""Ranks of the relevant rows, cached so that metrics of one `pairs` function share one pass over the similarities.

Only the results for the last rows and predictions are kept, for each `pairs` function that asked for them.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.optional_parts import Pairs
    from goldfold.retrieval.exact_ranks import RelevantRanks
    from goldfold.retrieval.pairs import RelevantCounts

    PairsOf = Callable[[DataFrame], Pairs]

_cache: dict[str, tuple[tuple, dict[Any, Any]]] = {}


def answers(pairs: PairsOf, rows: DataFrame) -> RelevantCounts:
    """Number of relevant and of gallery rows of each query."""
    from goldfold.retrieval.pairs import count_relevant

    return _cached("answers", pairs, (_rows_digest(rows),), lambda: count_relevant(pairs(rows)))


def ranked(pairs: PairsOf, rows: DataFrame, predictions: np.ndarray, depth: int) -> tuple[np.ndarray, RelevantRanks]:
    """Row positions of the queries, and the ranks of their relevant rows, exact up to at least `depth`."""
    from goldfold.retrieval import cosines, exact_ranks

    embeddings, depth = np.asarray(predictions), max(depth, exact_ranks.DEPTH)
    if embeddings.ndim == 0 or len(embeddings) != len(rows):
        raise GoldfoldError(
            "predictions_wrong_length",
            f"{len(rows)} rows need an embedding each, got shape {embeddings.shape}: check `Plan.predict`",
        )

    def rank() -> tuple[np.ndarray, RelevantRanks]:
        made = pairs(rows)
        return made.queries, exact_ranks.rank_relevant(made, cosines.normalize_tensor(embeddings, made), depth)

    digest = embeddings.shape, embeddings.dtype.str, sha256(embeddings.tobytes()).digest()
    return _cached("ranked", pairs, (depth, _rows_digest(rows), *digest), rank)


def _cached(what: str, pairs: PairsOf, given: tuple, make: Callable[[], Any]) -> Any:
    """The cached value for the same arguments, or else a new one from `make`; None in `given` never matches."""
    last = _cache.get(what)
    if last is None or None in given or last[0] != given:
        last = _cache[what] = (given, {})
    kept = last[1]
    if pairs not in kept:
        kept[pairs] = make()
    return kept[pairs]


def _rows_digest(rows: DataFrame) -> bytes | None:
    """Digest of a table; None if a cell cannot be hashed."""
    import pandas as pd

    try:
        hashed = pd.util.hash_pandas_object(rows)
    except TypeError:
        return None
    return sha256(hashed.to_numpy().tobytes() + repr(list(rows.columns)).encode()).digest()
