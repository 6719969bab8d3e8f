"""Rows and images from elsewhere embedded by every fit of a finished run, and what each finds; nothing is trained."""

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
from goldfold.experiment.fits import Experiment, Fit, planned
from goldfold.images import reading as images
from goldfold.optional_parts import Neighbors, Pairs
from goldfold.retrieval import search as retrieval
from goldfold.training.predicting import Predictor, finished

NEAR_DUPLICATE, LEFT_OUT, SAME_FILE = "near-duplicate", "left out by the metric", "the same file"


@dataclass(frozen=True)
class Gallery:
    """What a query is compared with.

    rows: of the train table and then of the test table, with `id`, `path` where they are images, and the columns of
    `neighbors`. units: float32 (rows and then images from elsewhere, fits * d), as `of_tables` makes them. pairs: of
    the train table.
    """

    rows: DataFrame
    units: np.ndarray
    pairs: Pairs
    neighbors: Neighbors | None


@dataclass(frozen=True)
class Query:
    """What asks: its name, its image where it is one, and its position among the units of a gallery."""

    name: str
    path: Path | None
    position: int


def check(competition: Competition) -> None:
    """Refuse a competition whose predictions are no embeddings.

    Raises:
        GoldfoldError: its metric has no `pairs`.
    """
    if competition.metric.retrieval is None:
        raise GoldfoldError(
            f"rows are found by embeddings, and the metric {competition.metric.name} of '{competition.slug}' does not "
            "compare any: query a run of a competition whose metric has pairs, one from goldfold.metrics.retrieval"
        )


def of_tables(experiment: Experiment, run: Path, fits: Sequence[Fit], tables: Sequence[DataFrame]) -> list[np.ndarray]:
    """Each table's rows, (n, fits * d) float32: their inner product is the mean of the fits' cosines.

    tables: rows with the columns the recipe reads; of images from elsewhere `id` and `path`. fits: of the run.

    Raises:
        GoldfoldError: a fit's weights are gone, rows lack a column, or predictions are no embeddings (n, d).
    """
    by_fit = []
    for done, fit in enumerate(fits):
        experiment.runtime.progress("embedding, fits", done, len(fits))
        predict = _predictor(experiment, run, fit)
        by_fit.append([_embedded(predict, rows) for rows in tables])
    experiment.runtime.progress("embedding, fits", len(fits), len(fits))
    return [retrieval.side_by_side(np.stack(parts)) for parts in zip(*by_fit, strict=True)]


def _predictor(experiment: Experiment, run: Path, fit: Fit) -> Predictor:
    """A fit as it predicted; one without stages was never saved and is built again."""
    if fit.epoch is not None:
        return views_and_seeds.again(experiment, run, fit)[0]
    plan, _ = planned(experiment, fit.fold, fit.seed)
    return finished(plan, plan.model, experiment.competition.targets, experiment.loop.precision)


def _embedded(predict: Predictor, rows: DataFrame) -> np.ndarray:
    if rows.empty:
        return np.empty((0, 1), np.float32)
    try:
        embeddings = predict(rows)
    except KeyError as error:
        if error.args[0] in rows:
            raise
        raise GoldfoldError(
            f"the recipe reads column {error} and {len(rows)} of the rows, {rows['id'].iloc[0]!r} first, have "
            f"{', '.join(map(str, rows.columns))} alone: ask for ids of the tables instead"
        ) from error
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
        raise GoldfoldError(
            f"rows are found by embeddings (n, d), and the run predicts {embeddings.dtype} {embeddings.shape}: query a "
            "run whose recipe is an embedder"
        )
    return embeddings


def trained_on(experiment: Experiment, fits: Sequence[Fit]) -> np.ndarray:
    """Which fit saw which row of the train table while it was trained, bool (fits, train rows)."""
    seen = np.zeros((len(fits), len(experiment.tables.train)), bool)
    for own, fit in zip(seen, fits, strict=True):
        own[experiment.folds[fit.fold].train] = True
    return seen


def answers(gallery: Gallery, query: Query, top: int) -> DataFrame:
    """The `top` rows nearest to a query, all there are where these are fewer, itself never among them.

    Columns of the gallery's rows, and: rank, from 1; similarity, the mean of the fits' cosines; right, 1, 0, or -1
    where nobody knows and where it does not count; note, why it does not, or what else is to be known.
    """
    count = len(gallery.rows)
    found = retrieval.nearest(_alone(query, np.arange(count)), gallery.units, min(top, count))
    there = found.positions[0] >= 0
    places = found.positions[0][there]
    right, notes = verdicts(gallery, query)
    table = gallery.rows.iloc[places].reset_index(drop=True)
    notes = notes[places]
    if query.position >= count:
        own = images.content_hash(query.path)
        notes[[images.content_hash(path) == own for path in table["path"]]] = SAME_FILE
    columns = {"similarity": found.similarities[0][there], "right": right[places], "note": notes}
    return table.assign(rank=np.arange(1, len(table) + 1), **columns)


def _alone(query: Query, positions: np.ndarray) -> Pairs:
    """One query that asks the rows at `positions`, but for itself."""
    itself = (positions == query.position)[None]
    return Pairs(
        queries=np.array([query.position]),
        gallery=positions,
        relevant=lambda _: np.zeros_like(itself),
        left_out=lambda _: itself,
    )


def verdicts(gallery: Gallery, query: Query) -> tuple[np.ndarray, np.ndarray]:
    """For each row of the gallery 1 for right, 0 for wrong, -1 for not known or not counted; and why it does not count.

    Only for queries of the train table that the metric lets ask is anything known.
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


def highest(gallery: Gallery, query: Query) -> float:
    """The cosine of a query with its nearest row among those the metric lets answer."""
    return float(retrieval.nearest(_alone(query, gallery.pairs.gallery), gallery.units, 1).similarities[0, 0])


def highest_of_rows(gallery: Gallery) -> np.ndarray:
    """The same of every row of the train table that the metric lets ask, (q,), left-out answers never among them."""
    found = retrieval.nearest(gallery.pairs, gallery.units, 1).similarities[:, 0]
    return found[np.isfinite(found)]


def near_duplicates(rows: DataFrame, position: int, close: Neighbors | None) -> np.ndarray:
    """Which rows are near-duplicates of the one at `position`, bool (n,): same sequence, times within the guard.

    The row itself is none; no row is one if `close` is None.
    """
    if close is None:
        return np.zeros(len(rows), bool)
    return neighbors.of_table(rows, close).near_duplicates(close.guard, position)


def no_such_id(name: str, known: Collection[str], what: str) -> GoldfoldError:
    """The error for an id that is not there; of the known ones, which may be many, it lists the nearest.

    >>> str(no_such_id("frame_12", ["frame_1", "frame_2", "other"], "rows of 'frames'"))
    "there is no id 'frame_12' among the 3 rows of 'frames'; nearest: frame_2, frame_1, other"
    """
    nearest = difflib.get_close_matches(name, known, n=5, cutoff=0)
    return GoldfoldError(f"there is no id '{name}' among the {len(known):,} {what}; nearest: {', '.join(nearest)}")
