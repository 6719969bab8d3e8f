"""Tags of queries by a classifier's fits, and the train rows whose codes are nearest; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame

from goldfold.competition import Recipe
from goldfold.errors import GoldfoldError
from goldfold.experiment import code_index
from goldfold.experiment.fits import Fit, fit_folder
from goldfold.experiment.queries import asked as asking
from goldfold.experiment.queries.asked import NEAR_DUPLICATE, SAME_FILE, Asked, Query
from goldfold.metrics.decisions.thresholds import probabilities_of
from goldfold.optional_parts import Codes
from goldfold.training.predictor import Predictor

HEAD = "head"  # the source of the tags that the recipe's own score gives
TAGS = 5  # of a query and source


@dataclass(frozen=True)
class Tagged:
    """The tags of a query, and the nearest rows.

    fits: that answered: those that validate on the query if it is a train row, else all. unseen: whether none of them
        trained on it. scores: source of the tags -> probability or score of each label, float64 (labels,). distances:
        to each train row, float64 (n,), mean over these fits, inf to itself; None without codes.
    """

    query: Query
    fits: Sequence[Fit]
    unseen: bool
    scores: Mapping[str, np.ndarray]
    distances: np.ndarray | None


@dataclass(frozen=True)
class Labels:
    """Names of all labels, and which of them each train row has, bool (n, labels)."""

    names: Sequence[str]
    known: np.ndarray


def labels_of(asked: Asked) -> Labels:
    """The labels that a run predicts."""
    declared, classes = asked.experiment.recipe.labels, asked.experiment.runtime.classes
    assert declared is not None, "only runs of labels are asked for tags"
    names = code_index.label_names(declared, classes)
    return Labels(names, code_index.label_matrix(asked.train, declared, classes))


def tag(asked: Asked) -> tuple[list[Tagged], Codes | None]:
    """Answer each query by the fits; also what the codes of the run are, None if it has none.

    Raises:
        GoldfoldError: the weights of a fit are gone, or rows lack a column.
    """
    used = [_fits_of(asked, query) for query in asked.queries]
    parts: list[dict[int, tuple[np.ndarray, np.ndarray | None]]] = [{} for _ in asked.queries]
    codes = None
    for number, (fit, load) in enumerate(asking.each_fit(asked, "tagging")):
        if not any(number in fits for fits, _ in used):
            continue
        predict = load()
        codes = predict.plan.codes
        index = None if codes is None else _codes_of_train(asked, fit, predict)
        for own, query, (fits, _) in zip(parts, asked.queries, used, strict=True):
            if number in fits:
                own[number] = _answer(predict, asked.table_row(query), index)
    asked.experiment.runtime.progress("tagging, fits", len(asked.fits), len(asked.fits))
    return [_tagged(asked, *each) for each in zip(asked.queries, used, parts, strict=True)], codes


def _fits_of(asked: Asked, query: Query) -> tuple[list[int], bool]:
    """Which fits answer a query, and whether none of them trained on it: out of fold wherever that is possible."""
    if not asked.of_train(query):
        return list(range(len(asked.fits))), True
    folds = asked.experiment.folds
    own = [at for at, fit in enumerate(asked.fits) if query.position in folds[fit.fold].validation]
    return (own, True) if own else (list(range(len(asked.fits))), False)


def _codes_of_train(asked: Asked, fit: Fit, predict: Predictor) -> np.ndarray:
    """The codes of all train rows by one fit: those it trained on from its code index, the others made now."""
    if not fit.index:
        raise GoldfoldError(
            "code_index_missing",
            f"{fit_folder(asked.run, fit.fold, fit.seed)} has no {code_index.FILE}, which holds the codes to search: "
            "train the run again",
        )
    places = code_index.positions(fit.index, asked.train)
    codes = np.empty((len(asked.train), fit.index["codes"].shape[1]), np.uint8)
    codes[places] = fit.index["codes"]
    others = np.setdiff1d(np.arange(len(asked.train)), places)
    if len(others):
        codes[others] = predict.encode(asked.train.iloc[others].reset_index(drop=True))
    return codes


def _answer(predict: Predictor, row: DataFrame, index: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The predictions for a table of one row, and its distances to the codes of an index."""
    predictions = asking.predicted(predict, row)
    return predictions, None if index is None else predict.distances(row, index)[0].astype(np.float64)


def _tagged(
    asked: Asked,
    query: Query,
    used: tuple[list[int], bool],
    parts: Mapping[int, tuple[np.ndarray, np.ndarray | None]],
) -> Tagged:
    predictions, distances = zip(*parts.values(), strict=True)
    recipe, found = asked.experiment.recipe, None
    whole = predictions[0] if len(predictions) == 1 else recipe.combine(np.stack(predictions))
    if distances[0] is not None:
        found = np.mean(np.stack(distances), axis=0)
        if asked.of_train(query):
            found[query.position] = np.inf
    return Tagged(query, [asked.fits[number] for number in used[0]], used[1], _scores(recipe, whole), found)


def _scores(recipe: Recipe, predictions: np.ndarray) -> dict[str, np.ndarray]:
    """Source -> scores of the labels of one row: of the head, and of the recipe's other scores."""
    held = predictions.dtype.names or ()
    head = probabilities_of(predictions)[0].astype(np.float64)
    others = {name: predictions[own][0] for name, own in recipe.other_scores.items() if own in held}
    return {HEAD: np.array([1 - head, head]) if head.ndim == 0 else head, **others}


def tags(found: Tagged, labels: Labels, thresholds: Mapping[str, float], known: np.ndarray | None) -> DataFrame:
    """The first `TAGS` labels with a score above 0 by each source.

    thresholds: label -> threshold of the head's probability, of the run; empty if it has none. known: which labels the
    query has, bool (labels,); None if that is hidden.

    Columns: source, rank (from 1), label, score, threshold ("" without one), true ("yes", "no", or "" where it is
        hidden).
    """
    lines = []
    for source, scores in found.scores.items():
        first = [at for at in np.argsort(-scores, kind="stable")[:TAGS].tolist() if scores[at] > 0]
        for rank, at in enumerate(first, 1):
            threshold = thresholds.get(labels.names[at], "") if source == HEAD else ""
            true = "" if known is None else "yes" if known[at] else "no"
            lines.append((source, rank, labels.names[at], float(scores[at]), threshold, true))
    return DataFrame(lines, columns=["source", "rank", "label", "score", "threshold", "true"])


def known_labels(asked: Asked, labels: Labels, query: Query) -> np.ndarray | None:
    """Which labels a query has, bool (labels,); None where that is hidden."""
    return labels.known[query.position] if asked.of_train(query) else None


def nearest_rows(asked: Asked, found: Tagged, labels: Labels, top: int) -> DataFrame:
    """The `top` train rows whose codes are nearest, the smaller position first of equal distances; never the query.

    Columns: those of `Asked.rows`, and position in them, rank (from 1), distance (mean over fits), shared (number of
        labels that the row and the query have, -1 if those of the query are hidden), note (near-duplicate, or the same
        file).
    """
    assert found.distances is not None, "a run without codes has no nearest rows"
    places = np.argsort(found.distances, kind="stable")[:top]
    table = asked.rows.iloc[places].reset_index(drop=True)
    notes = np.full(len(asked.rows), "", object)
    if not asked.from_elsewhere(found.query):
        close = asked.experiment.competition.neighbors
        notes[asking.near_duplicates(asked.rows, found.query.position, close)] = NEAR_DUPLICATE
    notes = notes[places]
    notes[asking.same_file(found.query, table)] = SAME_FILE
    own = known_labels(asked, labels, found.query)
    shared = np.full(len(places), -1) if own is None else (labels.known[places] & own).sum(axis=1)
    ranks, distances = np.arange(1, len(table) + 1), found.distances[places]
    return table.assign(position=places, rank=ranks, distance=distances, shared=shared, note=notes)
