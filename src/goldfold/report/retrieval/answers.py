"""Results of queries as text and as a picture: the retrieved images, and how to read their similarities and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from pandas import DataFrame

from goldfold.experiment.queries import asked as asking
from goldfold.experiment.queries import embedding_search
from goldfold.experiment.queries.asked import Asked, Query
from goldfold.experiment.queries.embedding_search import Gallery
from goldfold.io.formatting import count
from goldfold.nn import collapse
from goldfold.report.plotting import markdown
from goldfold.report.retrieval.page import of_first_split
from goldfold.report.retrieval.reply import Reply, asks, place
from goldfold.report.retrieval.strips import Answer, Strip, strips

COLUMNS = ["query", "rank", "id", "similarity", "label", "fold", "right", "note"]
DRAWN = 500  # rows whose pairs are measured for collapse
HAIR, NEAR = 0.01, 0.98  # answers whose cosines span less, and are all above
WORDS = {1: "right", 0: "wrong", -1: ""}


@dataclass(frozen=True)
class Found:
    """Embeddings of all rows and of external images by the fits of a run, with the results of some queries.

    tables: the results of each query, from `embedding_search.nearest_rows`.
    """

    asked: Asked
    gallery: Gallery
    tables: Sequence[DataFrame]


def answer(asked: Asked, title: str) -> Reply:
    """Search the rows of both tables by the mean cosine of all fits; raises as `embedding_search.gallery`."""
    top = asked.shown(len(asked.rows))
    gallery = embedding_search.gallery(asked)
    found = Found(asked, gallery, [embedding_search.nearest_rows(gallery, each, top) for each in asked.queries])
    nearest = [
        table.assign(query=query.name, right=table["right"].map(WORDS))[COLUMNS]
        for query, table in zip(asked.queries, found.tables, strict=True)
    ]
    return Reply(nearest=nearest, page=page(title, found), picture=partial(picture, title, found))


def page(title: str, found: Found) -> str:
    """Each query with its results, and how to read them."""
    asked, gallery = found.asked, found.gallery
    seen = asking.trained_rows(asked.experiment, asked.fits)
    often = seen.sum(axis=0)
    times = " to ".join(dict.fromkeys([str(often.min()), str(often.max())]))
    can = f"{title}: {len(gallery.rows):,} rows can be found by the mean cosine of {count(len(asked.fits), 'fit')}"
    known = f"each train row was trained on by {times} of {len(seen)}, so that rows seem more alike than they are"
    lines = [can, known]
    if _split(found):
        lines.append("right and wrong are those of the first query/gallery split; other splits have another gallery")
    drawn = np.random.default_rng(0).permutation(len(gallery.rows))[:DRAWN]
    cosine = collapse.measure_features(gallery.units[drawn]).median_cosine
    reference = embedding_search.best_similarities(gallery) if len(gallery.units) > len(gallery.rows) else np.empty(0)
    for query, table in zip(asked.queries, found.tables, strict=True):
        lines += ["", f"{asks(asked, query)}{_trained_on(asked, query, seen)}", _table(table)]
        lines += [_right(found, query, table), *_standing(found, query, reference), *_alike(table, cosine)]
    return "\n".join(lines)


def picture(title: str, found: Found) -> bytes:
    """A PNG of each query and the images it retrieved."""
    rows = [_strip(found, query, table) for query, table in zip(found.asked.queries, found.tables, strict=True)]
    private = found.asked.experiment.competition.private_images
    heading = f"{title}: what {count(len(rows), 'query', 'queries')} found{_split(found)}"
    return strips(heading, rows, private_images=private)


def _split(found: Found) -> str:
    return of_first_split(found.asked.experiment.competition.metric.retrieval)


def _trained_on(asked: Asked, query: Query, seen: np.ndarray) -> str:
    """Which fits were trained on the query."""
    if asked.from_elsewhere(query):
        return ""
    if not asked.of_train(query):
        return ", trained on by no fit"
    folds = sorted({fit.fold for fit, own in zip(asked.fits, seen, strict=True) if own[query.position]})
    return f"; the fits of folds {', '.join(map(str, folds))} trained on it" if folds else "; trained on by no fit"


def _table(table: DataFrame) -> str:
    header = ["rank", "id", "similarity", "label", "fold", "right", "note"]
    shown = table.assign(similarity=table["similarity"].map("{:.4f}".format), right=table["right"].map(WORDS))
    return markdown.table(header, shown[header].astype(str).to_numpy().tolist(), left=len(header))


def _right(found: Found, query: Query, table: DataFrame) -> str:
    """How many of the first results that count are relevant, beside the number expected at random."""
    right, _ = embedding_search.relevance(found.gallery, query)
    if not (right >= 0).any():
        return f"right or wrong is known of no answer: {_why_unknown(found, query)}"
    ranked = embedding_search.nearest_rows(found.gallery, query, len(right))
    first = ranked[ranked["right"] >= 0].head(len(table))
    share = len(first) * (right == 1).sum() / (right >= 0).sum()
    told = f"{(first['right'] == 1).sum()} of the first {len(first)} that count, ranks {first['rank'].iloc[0]} to "
    told += f"{first['rank'].iloc[-1]}, are right; at random {share:.1f} would be"
    notes = table.loc[table["right"] == -1, "note"].replace("", "of hidden label").value_counts()
    others = ", ".join(f"{times} {note}" for note, times in notes.items())
    return f"{told}; shown and not counted: {others}" if others else told


def _why_unknown(found: Found, query: Query) -> str:
    if found.asked.from_elsewhere(query):
        return "an image from elsewhere has no label here"
    if not found.asked.of_train(query):
        return "labels of the test table are hidden"
    asks = query.position in found.gallery.pairs.queries
    return "the metric leaves all of them out" if asks else "the metric lets this row answer and not ask"


def _standing(found: Found, query: Query, reference: np.ndarray) -> list[str]:
    """How the best cosine of an external image compares with the best cosines of the train rows.

    reference: from `embedding_search.best_similarities`.
    """
    if not found.asked.from_elsewhere(query) or not len(reference):
        return []
    own = embedding_search.best_similarity(found.gallery, query)
    below = 100 * float((reference < own).mean())
    told = (
        f"its best answer in the train table, {own:.4f}, is above {below:.0f} % of the best answers of the "
        f"{len(reference):,} rows that ask there (median {np.median(reference):.4f})"
    )
    return [f"{told}: nothing similar was found, and these are only the closest rows" if below < 5 else told]


def _alike(table: DataFrame, cosine: float) -> list[str]:
    """A warning if the order of the results carries no information. cosine: the median of all pairs of rows."""
    low, high = table["similarity"].min(), table["similarity"].max()
    within = f"these {len(table)} answers lie between {low:.4f} and {high:.4f}"
    if cosine > collapse.PARALLEL:
        return [
            f"warning  embedding_collapse: {within}, and so nearly does everything: the median cosine of all pairs of "
            f"rows is {cosine:.4f}, above {collapse.PARALLEL:g}, and ranks say nothing"
        ]
    if len(table) > 1 and low > NEAR and high - low < HAIR:
        return [f"note  near_copies: {within}, within a hair, and their order says little"]
    return []


def _strip(found: Found, query: Query, table: DataFrame) -> Strip:
    rows, verdict = found.gallery.rows, {1: True, 0: False, -1: None}
    below = place(rows.iloc[query.position]) if query.position < len(rows) else "from elsewhere"
    shown = [
        Answer(row["path"], f"{row['id']}\n{place(row)}\n{row['note']}", row["similarity"], verdict[row["right"]])
        for _, row in table.iterrows()
    ]
    assert query.path is not None, "only queries with an image are drawn"
    return Strip(query.path, f"{query.name}\n{below}", shown)
