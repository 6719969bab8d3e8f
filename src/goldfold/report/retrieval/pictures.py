"""Pictures of a run's retrieval: results of some queries, similarities of each fold, and a map of the first fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.experiment.queries.asked import no_such_id
from goldfold.report.plotting.row_labels import labels
from goldfold.report.retrieval import embedding_map, similarities
from goldfold.report.retrieval.page import TOPS, HeldOut
from goldfold.report.retrieval.strips import Answer, Strip, strips
from goldfold.retrieval.cosines import normalize, similarity_histogram


def pictures(
    held: Sequence[HeldOut],
    queries: DataFrame,
    *,
    title: str,
    targets: Sequence[str],
    private_images: bool,
    ids: Sequence[str] = (),
    split: str = "",
) -> dict[str, bytes]:
    """File name -> PNG: results of some queries, similarities of each fold, and a map of the first fold.

    queries: from `by_query`. Shown are the best, the median and the worst query of the first fold by average precision,
    and those of `ids`, which may be of any fold. Rows without a `path` have no picture of query results.
    split: from `page.of_first_split`.

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
    if not rows:
        return drawn
    found = strips(f"Retrieval results of {title}{split}", rows, private_images=private_images)
    return {"retrieval.png": found, **drawn}


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
