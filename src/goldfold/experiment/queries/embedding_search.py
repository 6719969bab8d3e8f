"""Search the rows of the tables by embeddings of each fold's model; nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pandas import DataFrame

from goldfold.errors import GoldfoldError
from goldfold.experiment.queries import asked as asking
from goldfold.experiment.queries.asked import LEFT_OUT, NEAR_DUPLICATE, QUERY_ONLY, SAME_FILE, Asked, Query
from goldfold.optional_parts import Neighbors, Pairs
from goldfold.retrieval.cosines import concatenate_fits
from goldfold.retrieval.search import nearest
from goldfold.training.predictor import Predictor


@dataclass(frozen=True)
class Gallery:
    """The rows that queries are compared with.

    rows: see `Asked.rows`. units: float32 (table rows, then external images; fits * d), made by `gallery`. pairs: of
        the train table.
    """

    rows: DataFrame
    units: np.ndarray
    pairs: Pairs
    neighbors: Neighbors | None


def gallery(asked: Asked) -> Gallery:
    """Embed all rows, and images from elsewhere, by every fit.

    Raises:
        GoldfoldError: the weights of a fit are gone, rows lack a column, or predictions are not embeddings (n, d).
    """
    competition = asked.experiment.competition
    assert competition.metric.retrieval is not None, "only runs of embeddings are searched by them"
    tables = [table for table in (asked.train, asked.test, asked.images) if len(table)]
    by_fit = []
    for _, load in asking.each_fit(asked, "embedding"):
        predict = load()
        by_fit.append([_embedded(predict, rows) for rows in tables])
    asked.experiment.runtime.progress("embedding, fits", len(asked.fits), len(asked.fits))
    units = np.concatenate([concatenate_fits(np.stack(parts)) for parts in zip(*by_fit, strict=True)])
    return Gallery(asked.rows, units, competition.metric.retrieval.pairs(asked.train), competition.neighbors)


def _embedded(predict: Predictor, rows: DataFrame) -> np.ndarray:
    embeddings = asking.predicted(predict, rows)
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
        raise GoldfoldError(
            "predictions_not_embeddings",
            f"a query needs embeddings of shape (n, d), and the run predicts {embeddings.dtype} {embeddings.shape}: "
            "query a run whose recipe is an embedder",
        )
    return embeddings


def nearest_rows(gallery: Gallery, query: Query, top: int) -> DataFrame:
    """Return the `top` rows nearest to a query, fewer if there are fewer, never the query itself.

    Columns: those of the gallery's rows, and rank (from 1), similarity (mean cosine over fits), right (1 relevant, 0
        not relevant, -1 unknown or not counted), note (why it is not counted, or that it is the same file).
    """
    count = len(gallery.rows)
    found = nearest(_alone(query, np.arange(count)), gallery.units, min(top, count))
    there = found.positions[0] >= 0
    places = found.positions[0][there]
    right, notes = relevance(gallery, query)
    table = gallery.rows.iloc[places].reset_index(drop=True)
    notes = notes[places]
    if query.position >= count:
        notes[asking.same_file(query, table)] = SAME_FILE
    columns = {"similarity": found.similarities[0][there], "right": right[places], "note": notes}
    return table.assign(rank=np.arange(1, len(table) + 1), **columns)


def _alone(query: Query, positions: np.ndarray) -> Pairs:
    """Pairs with one query and the rows at `positions`, without the query itself, as its gallery."""
    itself = (positions == query.position)[None]
    return Pairs(
        queries=np.array([query.position]),
        gallery=positions,
        relevant=lambda _: np.zeros_like(itself),
        left_out=lambda _: itself,
    )


def relevance(gallery: Gallery, query: Query) -> tuple[np.ndarray, np.ndarray]:
    """Relevance of each gallery row for a query: 1 relevant, 0 not, -1 unknown or not counted; and why not counted.

    It is known only for queries of the train table that the metric uses.
    """
    right, notes = np.full(len(gallery.rows), -1), np.full(len(gallery.rows), "", object)
    if query.position >= len(gallery.rows):
        return right, notes
    pairs = gallery.pairs
    for place in np.flatnonzero(pairs.queries == query.position).tolist():
        some = slice(place, place + 1)
        right[pairs.gallery] = pairs.relevant(some)[0]
        notes[pairs.gallery[pairs.left_out(some)[0]]] = LEFT_OUT
        notes[np.setdiff1d(pairs.queries, pairs.gallery)] = QUERY_ONLY
    notes[asking.near_duplicates(gallery.rows, query.position, gallery.neighbors)] = NEAR_DUPLICATE
    right[(notes != "") | (np.arange(len(right)) == query.position)] = -1
    return right, notes


def best_similarity(gallery: Gallery, query: Query) -> float:
    """The cosine similarity of a query and its nearest row in the metric's gallery."""
    return float(nearest(_alone(query, gallery.pairs.gallery), gallery.units, 1).similarities[0, 0])


def best_similarities(gallery: Gallery) -> np.ndarray:
    """The cosine similarity of every query of the metric and its nearest gallery row, (q,); left-out rows excluded."""
    found = nearest(gallery.pairs, gallery.units, 1).similarities[:, 0]
    return found[np.isfinite(found)]
