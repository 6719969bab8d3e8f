"""Retrieval section of a run's record: query table, counts, scores against the best possible, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.competition import Metric
from goldfold.experiment.queries.asked import no_such_id
from goldfold.io.formatting import number
from goldfold.nn import collapse
from goldfold.optional_parts import Pairs
from goldfold.report.plotting.markdown import table
from goldfold.report.plotting.row_labels import labels
from goldfold.report.retrieval import embedding_map, similarities
from goldfold.report.retrieval.strips import Answer, Strip, strips
from goldfold.retrieval import exact_ranks
from goldfold.retrieval.cosines import normalize, normalize_tensor, similarity_histogram
from goldfold.retrieval.search import nearest

FACTS, QUERIES = "retrieval.json", "retrieval.csv"
PICTURES = {
    "retrieval.png": "Best, median and worst query of the first fold, with the images they retrieved",
    "similarities.png": "Cosine similarity of relevant and irrelevant pairs, fold by fold",
    "embedding_map.png": "First two principal components of the embeddings of the first fold",
}
TOPS = [f"top_{rank}" for rank in range(1, 6)]  # columns with the ids that a query retrieved
DRAWN = 2000  # rows of a fold that are drawn to measure collapse


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The out-of-fold rows of a fold, with their embeddings.

    rows: with `id` and targets, and `path` if they are images. embeddings: (n, d) floats, in the order of rows. pairs:
    queries, gallery and relevance among these rows, from `Retrieval.pairs`.
    """

    fold: int
    rows: DataFrame
    embeddings: np.ndarray
    pairs: Pairs


def by_query(held: Sequence[HeldOut]) -> DataFrame:
    """The table of `retrieval.csv`: a row for each query, fold by fold.

    Columns: id, fold; average_precision (NaN) and first_right_rank (missing) if the query has no relevant row, else its
    average precision and the rank of the first relevant row; right_answers and answers, its number of relevant and of
    all gallery rows; top_1 ... top_5, the ids it retrieved.
    """
    return pd.concat([_of_fold(each) for each in held], ignore_index=True)


def _of_fold(held: HeldOut) -> DataFrame:
    pairs, ids = held.pairs, held.rows["id"].to_numpy(object)
    units = normalize_tensor(held.embeddings, pairs)
    ranked = exact_ranks.rank_relevant(pairs, units, depth=0)
    found = nearest(pairs, units, len(TOPS)).positions
    first = pd.array(ranked.first_rank, dtype="Int64")
    first[ranked.first_rank == 0] = pd.NA
    columns = {
        "id": ids[pairs.queries],
        "fold": held.fold,
        "average_precision": ranked.average_precision,
        "first_right_rank": first,
        "right_answers": ranked.relevant,
        "answers": ranked.gallery,
    }
    tops = {name: np.where(at < 0, None, ids[at]) for name, at in zip(TOPS, found.T, strict=True)}
    return DataFrame({**columns, **tops})


def facts(held: Sequence[HeldOut], queries: DataFrame, metrics: Sequence[Metric]) -> dict[str, Any]:
    """The content of `retrieval.json`, from which `section` is made.

    queries: from `by_query`. metrics: the competition's own and others; only those of retrieval are used.
    """
    measured = {metric.name: metric.retrieval for metric in metrics if metric.retrieval}
    return {
        "protocol": next((each.protocol for each in measured.values() if each.protocol), ""),
        "folds": {str(each.fold): _facts_of(each, queries[queries["fold"] == each.fold]) for each in held},
        "metrics": list(measured),
    }


def _facts_of(held: HeldOut, queries: DataFrame) -> dict[str, Any]:
    right, answers = queries["right_answers"].to_numpy(), queries["answers"].to_numpy()
    drawn = np.random.default_rng(0).permutation(len(held.embeddings))[:DRAWN]
    features = collapse.measure_features(normalize(held.embeddings)[drawn])
    return {
        "queries": len(queries),
        "gallery": len(held.pairs.gallery),
        "without_right_answer": int((right == 0).sum()),
        "right_answers": _spread(right[right > 0]),
        "left_out": _spread(len(held.pairs.gallery) - answers),
        "dimensions": held.embeddings.shape[1],
        "measured": len(drawn),
        **vars(features),
        "verdicts": list(features.verdicts),
    }


def _spread(counts: np.ndarray) -> list[float] | None:
    """Median, smallest and largest; None if there are none."""
    return [float(np.median(counts)), int(counts.min()), int(counts.max())] if len(counts) else None


def section(found: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The record's section on retrieval, as Markdown.

    found: from `facts`. metrics: name -> summary, from `metrics.json`.
    """
    protocol = f"Protocol: {found['protocol']}. " if found["protocol"] else ""
    queries = (
        f"{protocol}The queries of each fold search the gallery of the same fold; the fits that embed them were "
        "trained on neither. Queries without a relevant gallery row are not scored. Counts per query are medians, with "
        "the range in brackets if they differ."
    )
    spread = (
        "Spread is the standard deviation of a dimension of the normalized embeddings, mean over dimensions. Without "
        "collapse it is near 1/√d, and the median cosine of all pairs is far from 1."
    )
    folds = found["folds"]
    parts = [queries, _query_counts(folds), _score_range(found["metrics"], metrics), spread, _spread_table(folds)]
    return "\n\n".join(part for part in parts if part)


def _query_counts(folds: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of queries, gallery and relevant rows of each fold; per query as median (smallest to largest)."""
    header = [
        "fold",
        "queries",
        "gallery rows",
        "relevant per query",
        "left out per query (incl. itself)",
        "queries without relevant",
    ]
    rows = []
    for fold, own in folds.items():
        counts = [_median(own["right_answers"]), _median(own["left_out"]), f"{own['without_right_answer']:,}"]
        rows.append([fold, f"{own['queries']:,}", f"{own['gallery']:,}", *counts])
    return table(header, rows)


def _median(counts: Sequence[float] | None) -> str:
    """Median and range as text."""
    if counts is None:
        return "-"
    middle, low, high = counts
    return f"{middle:g}" if low == high else f"{middle:g} ({low:,} to {high:,})"


def _score_range(names: Sequence[str], metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of each metric's mean between its chance level and the best possible score."""
    rows = []
    for name in (name for name in names if name in metrics):
        mean, chance = metrics[name]["mean"], metrics[name]["chance"]
        best = metrics[name].get("best_possible", metrics[name]["bounds"][metrics[name]["higher_is_better"]])
        share = f"{100 * (mean - chance) / (best - chance):.0f} %" if best != chance else "-"
        rows.append([name, number(mean), number(chance), number(best), share])
    header = ["metric", "mean", "chance level", "best possible", "chance-corrected"]
    note = "Chance-corrected: (mean - chance level) / (best possible - chance level)."
    return f"{table(header, rows)}\n\n{note}" if rows else ""


def _spread_table(folds: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of how the embeddings of each fold are spread, and whether they have collapsed."""
    header = ["fold", "spread", "1/√d", "effective rank", "median cosine", "collapse"]
    rows = []
    for fold, own in folds.items():
        rank = f"{own['effective_rank']:.1f} of {min(own['dimensions'], own['measured'])}"
        values = [f"{own['spread']:.4f}", f"{own['isotropic']:.4f}", rank, f"{own['median_cosine']:.3f}"]
        rows.append([fold, *values, ", ".join(own["verdicts"]) or "none"])
    return table(header, rows)


def pictures(
    held: Sequence[HeldOut], queries: DataFrame, *, title: str, targets: Sequence[str], ids: Sequence[str] = ()
) -> dict[str, bytes]:
    """File name -> PNG: results of some queries, similarities of each fold, and a map of the first fold.

    queries: from `by_query`. Shown are the best, the median and the worst query of the first fold by average precision,
    and those of `ids`, which may be of any fold. Rows without a `path` have no picture of query results.

    Raises:
        GoldfoldError: an id is not among the queries, or an image cannot be read.
    """
    first = held[0]
    drawn = {
        "similarities.png": similarities.histogram(
            {f"fold {each.fold}": similarity_histogram(each.pairs, each.embeddings) for each in held}
        ),
        "embedding_map.png": embedding_map.pca_map(
            first.embeddings, labels(first.rows, targets), f"{title}, fold {first.fold}"
        ),
    }
    if not all("path" in each.rows for each in held):
        return drawn
    shown = {**chosen(queries), **_requested(queries, ids)}
    rows = [strip(held, queries.iloc[at], why, targets) for at, why in shown.items()]
    return {"retrieval.png": strips(f"Retrieval results of {title}", rows), **drawn} if rows else drawn


def chosen(queries: DataFrame) -> dict[int, str]:
    """Position in `queries` -> why it is shown: best, median or worst average precision of the first fold."""
    own = queries[queries["fold"] == queries["fold"].iloc[0]].dropna(subset="average_precision")
    order = own.sort_values("average_precision", ascending=False, kind="stable").index.tolist()
    if not order:
        return {}
    picked = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    return {at: " and ".join(why for why, index in picked.items() if index == at) for at in picked.values()}


def _requested(queries: DataFrame, ids: Sequence[str]) -> dict[int, str]:
    known = {str(name): at for at, name in enumerate(queries["id"])}
    for name in ids:
        if str(name) not in known:
            raise no_such_id(str(name), known, "queries of this run")
    return {known[str(name)]: "requested" for name in ids}


def strip(held: Sequence[HeldOut], query: pd.Series, why: str, targets: Sequence[str]) -> Strip:
    """One query with the nearest gallery rows of its fold."""
    own = next(each for each in held if each.fold == query["fold"])
    captions, units = labels(own.rows, targets), normalize(own.embeddings)
    positions = {name: position for position, name in enumerate(own.rows["id"])}
    at = int(np.flatnonzero(own.pairs.queries == positions[query["id"]])[0])
    relevant = set(own.pairs.gallery[own.pairs.relevant(slice(at, at + 1))[0]].tolist())
    asking = own.pairs.queries[at]
    answers = [
        Answer(
            own.rows["path"].iloc[position],
            f"{name}\n{captions[position]}",
            float(units[position] @ units[asking]),
            position in relevant,
        )
        for name in query[TOPS].dropna()
        for position in [positions[name]]
    ]
    score = "no relevant row" if pd.isna(query["average_precision"]) else f"AP {query['average_precision']:.3f}"
    caption = f"{query['id']}\n{captions[asking]}\n{why}, {score}, fold {own.fold}"
    return Strip(own.rows["path"].iloc[asking], caption, answers)
