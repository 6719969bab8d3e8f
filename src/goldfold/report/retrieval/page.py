"""Retrieval section of a run's record: query table, counts, scores against the best possible and of each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.competition import Metric
from goldfold.io.formatting import number
from goldfold.nn import collapse
from goldfold.optional_parts import Pairs, Retrieval
from goldfold.report.plotting.markdown import table
from goldfold.retrieval import exact_ranks
from goldfold.retrieval.cosines import normalize, normalize_tensor
from goldfold.retrieval.search import nearest

FACTS, QUERIES, SPLITS = "retrieval.json", "retrieval.csv", "retrieval_splits.csv"
PICTURES = {  # drawn by `pictures.pictures`
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


def of_first_split(measured: Retrieval | None) -> str:
    """The end of a title: that what is shown is of the first query/gallery split; empty if there is one only."""
    return ", first query/gallery split" if measured and measured.splits else ""


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


def by_split(held: Sequence[HeldOut], metrics: Sequence[Metric]) -> DataFrame:
    """The table of `retrieval_splits.csv`: fold, metric, split, score; empty if no metric is a mean over splits."""
    rows = [
        (each.fold, metric.name, split, score)
        for metric in metrics
        if metric.retrieval and metric.retrieval.splits
        for each in held
        for split, score in metric.retrieval.splits(each.rows, each.embeddings).items()
    ]
    return DataFrame(rows, columns=["fold", "metric", "split", "score"])


def facts(held: Sequence[HeldOut], queries: DataFrame, splits: DataFrame, metrics: Sequence[Metric]) -> dict[str, Any]:
    """The content of `retrieval.json`, from which `section` is made.

    queries: from `by_query`. splits: from `by_split`. metrics: the competition's own and others; only those of
    retrieval are used.
    """
    measured = {metric.name: metric.retrieval for metric in metrics if metric.retrieval}
    return {
        "protocol": next((each.protocol for each in measured.values() if each.protocol), ""),
        "folds": {str(each.fold): _facts_of(each, queries[queries["fold"] == each.fold]) for each in held},
        "metrics": list(measured),
        "splits": {name: _of_splits(own) for name, own in splits.groupby("metric", sort=False)},
    }


def _of_splits(scores: DataFrame) -> dict[str, float]:
    """Splits of a metric: mean and sample standard deviation over the splits of their means over folds; the range."""
    means = scores.groupby("split")["score"].mean()
    return {
        "count": len(means),
        "mean": float(means.mean()),
        "sd_ddof1": float(means.std(ddof=1)),
        "lowest": float(means.min()),
        "highest": float(means.max()),
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
    scores = [_score_range(found["metrics"], metrics), _split_table(found.get("splits", {}))]
    parts = [queries, _query_counts(folds), *scores, spread, _spread_table(folds)]
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


def _split_table(splits: Mapping[str, Mapping[str, float]]) -> str:
    """Table of how much the score differs between query/gallery splits; empty if there is one only."""
    rows = [
        [name, f"{own['count']}", *(number(own[key]) for key in ("mean", "sd_ddof1", "lowest", "highest"))]
        for name, own in splits.items()
    ]
    header = ["metric", "splits", "mean", "sd over splits (ddof=1)", "lowest split", "highest split"]
    note = (
        f"A split is a draw of query and gallery rows; its score is the mean over folds. `{SPLITS}` lists all. Counts, "
        "pictures and the table of queries are those of the first split."
    )
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
