"""Embed table rows and external images with each fold's model, and search the table rows; nothing is trained."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pandas import DataFrame

from goldfold.competition import Competition
from goldfold.data import neighbors
from goldfold.errors import GoldfoldError
from goldfold.experiment import views_and_seeds
from goldfold.experiment.fits import Experiment, Fit, build_plan
from goldfold.images.reading import content_hash
from goldfold.optional_parts import Neighbors, Pairs
from goldfold.retrieval.cosines import concatenate_fits
from goldfold.retrieval.search import nearest
from goldfold.training.predictor import Predictor, finish_plan

NEAR_DUPLICATE, LEFT_OUT, SAME_FILE = "near-duplicate", "left out by the metric", "the same file"


@dataclass(frozen=True)
class Gallery:
    """The rows that queries are compared with.

    rows: of the train table, then of the test table, with `id`, `path` if they are images, and the columns of
        `neighbors`. units: float32 (table rows, then external images; fits * d), made by `embed_tables`. pairs: of the
        train table.
    """

    rows: DataFrame
    units: np.ndarray
    pairs: Pairs
    neighbors: Neighbors | None


@dataclass(frozen=True)
class Query:
    """A query: its name, its image if it is one, and its position among the units of a gallery."""

    name: str
    path: Path | None
    position: int


def check_metric(competition: Competition) -> None:
    """Check that the competition's metric compares embeddings.

    Raises:
        GoldfoldError: its metric has no `retrieval`.
    """
    if competition.metric.retrieval is None:
        raise GoldfoldError(
            "metric_without_retrieval",
            f"the metric {competition.metric.name} of '{competition.slug}' does not compare embeddings, which a query "
            "needs: query a run of a competition with a metric of goldfold.metrics.retrieval",
        )


def embed_tables(
    experiment: Experiment, run: Path, fits: Sequence[Fit], tables: Sequence[DataFrame]
) -> list[np.ndarray]:
    """Embed each table's rows with every fit: (n, fits * d) float32, whose inner product is the mean cosine over fits.

    tables: rows with the columns that the recipe reads; `id` and `path` for external images. fits: of the run.

    Raises:
        GoldfoldError: the weights of a fit are gone, rows lack a column, or predictions are not embeddings (n, d).
    """
    by_fit = []
    for done, fit in enumerate(fits):
        experiment.runtime.progress("embedding, fits", done, len(fits))
        predict = _predictor(experiment, run, fit)
        by_fit.append([_embedded(predict, rows) for rows in tables])
    experiment.runtime.progress("embedding, fits", len(fits), len(fits))
    return [concatenate_fits(np.stack(parts)) for parts in zip(*by_fit, strict=True)]


def _predictor(experiment: Experiment, run: Path, fit: Fit) -> Predictor:
    """The predictor of a fit; a fit without stages has no checkpoints and is built again."""
    if fit.epoch is not None:
        return views_and_seeds.load_predictor(experiment, run, fit)[0]
    plan, _ = build_plan(experiment, fit.fold, fit.seed)
    return finish_plan(plan, plan.model, experiment.competition.targets, experiment.loop.precision)


def _embedded(predict: Predictor, rows: DataFrame) -> np.ndarray:
    if rows.empty:
        return np.empty((0, 1), np.float32)
    try:
        embeddings = predict(rows)
    except KeyError as error:
        if error.args[0] in rows:
            raise
        raise GoldfoldError(
            "rows_lack_column",
            f"the recipe reads column {error}, and {len(rows)} of the rows, {rows['id'].iloc[0]!r} first, have only "
            f"{', '.join(map(str, rows.columns))}: query by ids of the tables instead",
        ) from error
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
        raise GoldfoldError(
            "predictions_not_embeddings",
            f"a query needs embeddings of shape (n, d), and the run predicts {embeddings.dtype} {embeddings.shape}: "
            "query a run whose recipe is an embedder",
        )
    return embeddings


def trained_rows(experiment: Experiment, fits: Sequence[Fit]) -> np.ndarray:
    """Which fit was trained on which row of the train table: bool (fits, train rows)."""
    seen = np.zeros((len(fits), len(experiment.tables.train)), bool)
    for own, fit in zip(seen, fits, strict=True):
        own[experiment.folds[fit.fold].train] = True
    return seen


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
    if query.position >= count and query.path is not None:
        own = content_hash(query.path)
        notes[[content_hash(path) == own for path in table["path"]]] = SAME_FILE
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
    notes[near_duplicates(gallery.rows, query.position, gallery.neighbors)] = NEAR_DUPLICATE
    right[(notes != "") | (np.arange(len(right)) == query.position)] = -1
    return right, notes


def best_similarity(gallery: Gallery, query: Query) -> float:
    """The cosine similarity of a query and its nearest row in the metric's gallery."""
    return float(nearest(_alone(query, gallery.pairs.gallery), gallery.units, 1).similarities[0, 0])


def best_similarities(gallery: Gallery) -> np.ndarray:
    """The cosine similarity of every query of the metric and its nearest gallery row, (q,); left-out rows excluded."""
    found = nearest(gallery.pairs, gallery.units, 1).similarities[:, 0]
    return found[np.isfinite(found)]


def near_duplicates(rows: DataFrame, position: int, close: Neighbors | None) -> np.ndarray:
    """Which rows are near-duplicates of the one at `position`, bool (n,): same sequence, times within the guard.

    The row itself is not one. No row is one if `close` is None.
    """
    if close is None:
        return np.zeros(len(rows), bool)
    return neighbors.of_table(rows, close).near_duplicates(close.guard, position)


def no_such_id(name: str, known: Collection[str], what: str) -> GoldfoldError:
    """The error for an id that does not exist, with the nearest known ids.

    >>> str(no_such_id("frame_12", ["frame_1", "frame_2", "other"], "rows of 'frames'"))
    "there is no id 'frame_12' among the 3 rows of 'frames'; nearest: frame_2, frame_1, other"
    """
    nearest = difflib.get_close_matches(name, known, n=5, cutoff=0)
    return GoldfoldError(
        "unknown_id", f"there is no id '{name}' among the {len(known):,} {what}; nearest: {', '.join(nearest)}"
    )
