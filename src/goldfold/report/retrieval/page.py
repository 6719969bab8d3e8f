"""What a run's embeddings find, fold by fold: who asked for what, scores between chance and ceiling, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.competition import Metric
from goldfold.experiment.embedding_search import no_such_id
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
    "retrieval.png": "What the best, the median and the worst query of the first fold found",
    "similarities.png": "Cosines of right and of wrong answers to their queries, fold by fold",
    "embedding_map.png": "Two principal components of the first fold's embeddings",
}
TOPS = [f"top_{rank}" for rank in range(1, 6)]  # answers a query is shown and written with
DRAWN = 2000  # rows of a fold whose pairs are measured for collapse


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A fold's rows that no fit of the fold was trained on, and what these made of them.

    rows: with `id` and targets, and `path` where they are images. embeddings: (n, d) floats, in their order. pairs: who
    asks and what is right among these rows, as `Metric.pairs` says it.
    """

    fold: int
    rows: DataFrame
    embeddings: np.ndarray
    pairs: Pairs


def by_query(held: Sequence[HeldOut]) -> DataFrame:
    """A row for each query, fold by fold: what `retrieval.csv` holds.

    Columns: id, fold, average_precision (nan where there is no right answer), first_right_rank (missing there),
    right_answers and answers that it has, top_1 ... top_5 with the ids it found.
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
    """What `section` tells, as `retrieval.json` holds it.

    queries: of `by_query`. metrics: the competition's own and others, of which those with pairs are told.
    """
    told = [metric for metric in metrics if metric.retrieval]
    return {
        "protocol": next((each.retrieval.protocol for each in told if each.retrieval.protocol), ""),
        "folds": {str(each.fold): _facts_of(each, queries[queries["fold"] == each.fold]) for each in held},
        "metrics": [metric.name for metric in told],
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
    """Median, smallest and largest; None of nothing."""
    return [float(np.median(counts)), int(counts.min()), int(counts.max())] if len(counts) else None


def section(found: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The record's section in Markdown.

    found: as `facts` made it. metrics: as `metrics.json` holds them, name -> its summary with mean and chance.
    """
    protocol = f"Protocol: {found['protocol']}. " if found["protocol"] else ""
    asked = (
        f"{protocol}Each fold's queries ask the gallery of the same fold, embedded by fits that were trained on "
        "neither. Queries without a right answer count in no score."
    )
    spaces = (
        "Embeddings, normalised: without collapse their spread is near 1/√d (the standard deviation of a dimension, "
        "mean over dimensions) and the median cosine of all pairs is far from 1."
    )
    parts = [asked, _asked(found["folds"]), _reached(found["metrics"], metrics), spaces, _spaces(found["folds"])]
    return "\n\n".join(part for part in parts if part)


def _asked(folds: Mapping[str, Mapping[str, Any]]) -> str:
    header = [
        "fold",
        "queries",
        "gallery",
        "right answers a query",
        "left out a query, itself too",
        "without any right",
    ]
    rows = []
    for fold, own in folds.items():
        counts = [_median(own["right_answers"]), _median(own["left_out"]), f"{own['without_right_answer']:,}"]
        rows.append([fold, f"{own['queries']:,}", f"{own['gallery']:,}", *counts])
    return table(header, rows)


def _median(counts: Sequence[float] | None) -> str:
    """Median and range in words."""
    if counts is None:
        return "-"
    middle, low, high = counts
    return f"{middle:g}" if low == high else f"{middle:g} ({low:,} to {high:,})"


def _reached(names: Sequence[str], metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Each metric's mean beside what knowing nothing and knowing everything give."""
    rows = []
    for name in (name for name in names if name in metrics):
        mean, chance = metrics[name]["mean"], metrics[name]["chance"]
        ceiling = metrics[name].get("best_possible", metrics[name]["bounds"][metrics[name]["higher_is_better"]])
        way = f"{100 * (mean - chance) / (ceiling - chance):.0f} %" if ceiling != chance else "-"
        rows.append([name, number(mean), number(chance), number(ceiling), way])
    return table(["metric", "mean", "chance", "ceiling", "way from chance to ceiling"], rows) if rows else ""


def _spaces(folds: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["fold", "spread", "1/√d", "effective rank", "median cosine", "verdict"]
    rows = []
    for fold, own in folds.items():
        rank = f"{own['effective_rank']:.1f} of {min(own['dimensions'], own['measured'])}"
        values = [f"{own['spread']:.4f}", f"{own['isotropic']:.4f}", rank, f"{own['median_cosine']:.3f}"]
        rows.append([fold, *values, ", ".join(own["verdicts"]) or "no collapse"])
    return table(header, rows)


def pictures(
    held: Sequence[HeldOut], queries: DataFrame, *, title: str, targets: Sequence[str], ids: Sequence[str] = ()
) -> dict[str, bytes]:
    """File name -> PNG: what chosen queries found, similarities of each fold, a map of the first fold.

    queries: of `by_query`. Shown are the best, the median and the worst of the first fold by average precision, and
    those of `ids`, which may be of any fold. Rows without a `path` have no strips.

    Raises:
        GoldfoldError: an id asks for nothing, or an image cannot be read.
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
    shown = {**chosen(queries), **_asked_for(queries, ids)}
    rows = [strip(held, queries.loc[at], why, targets) for at, why in shown.items()]
    return {"retrieval.png": strips(f"{title}: what queries found", rows), **drawn} if rows else drawn


def chosen(queries: DataFrame) -> dict[int, str]:
    """Index in `queries` -> why it is shown: the best, the median and the worst of the first fold, each once."""
    own = queries[queries["fold"] == queries["fold"].iloc[0]].dropna(subset="average_precision")
    order = own.sort_values("average_precision", ascending=False, kind="stable").index.tolist()
    if not order:
        return {}
    places = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    return {at: " and ".join(why for why, place in places.items() if place == at) for at in places.values()}


def _asked_for(queries: DataFrame, ids: Sequence[str]) -> dict[int, str]:
    known = {str(name): at for at, name in queries["id"].items()}
    for name in ids:
        if str(name) not in known:
            raise no_such_id(str(name), known, "queries of this run")
    return {known[str(name)]: "asked for" for name in ids}


def strip(held: Sequence[HeldOut], query: pd.Series, why: str, targets: Sequence[str]) -> Strip:
    """One query with the nearest answers of its fold."""
    own = next(each for each in held if each.fold == query["fold"])
    words, units = labels(own.rows, targets), normalize(own.embeddings)
    places = {name: place for place, name in enumerate(own.rows["id"])}
    at = int(np.flatnonzero(own.pairs.queries == places[query["id"]])[0])
    right = set(own.pairs.gallery[own.pairs.relevant(slice(at, at + 1))[0]].tolist())
    position = own.pairs.queries[at]
    answers = [
        Answer(
            own.rows["path"].iloc[place],
            f"{name}\n{words[place]}",
            float(units[place] @ units[position]),
            place in right,
        )
        for name in query[TOPS].dropna()
        for place in [places[name]]
    ]
    score = "no right answer" if pd.isna(query["average_precision"]) else f"AP {query['average_precision']:.3f}"
    caption = f"{query['id']}\n{words[position]}\n{why}, {score}, fold {own.fold}"
    return Strip(own.rows["path"].iloc[position], caption, answers)
