"""Tags of queries and the rows with the nearest codes, as text and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from pandas import DataFrame, Series

from goldfold.experiment.queries import tag_search
from goldfold.experiment.queries.asked import NEAR_DUPLICATE, Asked, Query
from goldfold.experiment.queries.tag_search import Labels, Tagged
from goldfold.experiment.run_folders import THRESHOLDS
from goldfold.io.formatting import count
from goldfold.optional_parts import Codes
from goldfold.report.plotting import markdown
from goldfold.report.retrieval.reply import Reply, asks
from goldfold.report.retrieval.strips import Answer, Strip, Tag, strips

TAG_COLUMNS = ["query", "source", "rank", "label", "score", "threshold", "true"]
COLUMNS = ["query", "rank", "id", "distance", "label", "shared", "fold", "note"]
DECIMALS = {"hash": 1, "product_quantization": 3}  # of a distance
MOST_LABELS = 8  # of a row, below its image


@dataclass(frozen=True)
class Found:
    """Answers to all queries; a table of tags and, with codes, one of the nearest rows for each."""

    asked: Asked
    labels: Labels
    codes: Codes | None
    answers: Sequence[Tagged]
    tags: Sequence[DataFrame]
    nearest: Sequence[DataFrame]


def answer(asked: Asked, title: str, thresholds: Mapping[str, float]) -> Reply:
    """Tag each query, and find the train rows with the nearest codes if the run has codes; raises as `tag_search.tag`.

    thresholds: label -> threshold of the head's probability, of the run; empty if it has none.
    """
    labels = tag_search.labels_of(asked)
    answers, codes = tag_search.tag(asked)
    tags = [
        tag_search.tags(each, labels, thresholds, tag_search.known_labels(asked, labels, each.query))
        for each in answers
    ]
    nearest = []
    if codes is not None:
        top = asked.shown(len(asked.train))
        nearest = [tag_search.nearest_rows(asked, each, labels, top) for each in answers]
    found = Found(asked, labels, codes, answers, tags, nearest)
    return Reply(
        tags=[table.assign(query=each.query.name)[TAG_COLUMNS] for each, table in zip(answers, tags, strict=True)],
        nearest=[
            table.assign(query=each.query.name, shared=table["shared"].replace(-1, ""))[COLUMNS]
            for each, table in zip(answers, nearest, strict=False)
        ],
        page=page(title, found),
        picture=partial(picture, title, found),
    )


def page(title: str, found: Found) -> str:
    """Each query with its tags and nearest rows, and how to read them."""
    asked, codes = found.asked, found.codes
    lines = [f"{title}: tags by {' and '.join(found.answers[0].scores)}, mean of the fits that answer a query"]
    if any((table["threshold"] != "").any() for table in found.tags):
        lines.append(f"threshold: of the head's probability, learned out of fold for the highest F1 ({THRESHOLDS})")
    if codes is None:
        lines.append("the recipe makes no codes, so no rows are searched")
    else:
        kind = codes.kind.replace("_", " ")
        lines.append(
            f"{len(asked.train):,} train rows can be found by their {kind} codes of {codes.bits} bits: "
            f"{codes.distance}, mean of the same fits"
        )
    for number, own in enumerate(found.answers):
        lines += ["", f"{asks(asked, own.query)}; {_honesty(asked, own)}", _tag_table(found.tags[number])]
        if codes is not None:
            lines += ["", _table(found.nearest[number], codes), _shared(found, own.query, found.nearest[number])]
    return "\n".join(lines)


def _honesty(asked: Asked, own: Tagged) -> str:
    """Which fits answered, and whether they know the query from training."""
    fits = count(len(own.fits), "fit")
    if asked.from_elsewhere(own.query):
        return f"answered by {fits}"
    if not asked.of_train(own.query):
        return f"answered by {fits}, none of which trained on it"
    if own.unseen:
        return f"answered out of fold by {fits} trained without it"
    told = "which validate on other rows and may have trained on it: its tags look better than they are"
    return f"answered by {fits}, {told}"


def _tag_table(tags: DataFrame) -> str:
    header = [name for name in TAG_COLUMNS[1:] if not (tags[name] == "").all()]
    shown = tags.assign(
        score=tags["score"].map("{:.3f}".format),
        threshold=[each if each == "" else f"{each:.3f}" for each in tags["threshold"]],
    )
    return markdown.table(header, shown[header].astype(str).to_numpy().tolist(), left=len(header))


def _table(nearest: DataFrame, codes: Codes) -> str:
    header = COLUMNS[1:]
    distance = nearest["distance"].map(f"{{:.{DECIMALS[codes.kind]}f}}".format)
    shown = nearest.assign(distance=distance, shared=nearest["shared"].astype(str).replace("-1", ""))
    return markdown.table(header, shown[header].astype(str).to_numpy().tolist(), left=len(header))


def _shared(found: Found, query: Query, nearest: DataFrame) -> str:
    """How many of the rows shown share a label, without near-duplicates, beside the number expected at random."""
    known = tag_search.known_labels(found.asked, found.labels, query)
    if known is None:
        what = "an image from elsewhere has no labels here" if found.asked.from_elsewhere(query) else ""
        return f"shared labels are unknown: {what or 'those of the test table are hidden'}"
    others = np.delete(found.labels.known, query.position, axis=0)
    share = (others & known).any(axis=1).mean()
    counted = nearest[nearest["note"] != NEAR_DUPLICATE]
    told = f"{(counted['shared'] > 0).sum()} of {len(counted)} share a label with the query; at random "
    return f"{told}{len(counted) * share:.1f} would"


def picture(title: str, found: Found) -> bytes:
    """A PNG of each query with its tags, and the images with the nearest codes."""
    rows = [_strip(found, number) for number in range(len(found.answers))]
    what = f"{title}: tags of {count(len(rows), 'query', 'queries')}"
    private = found.asked.experiment.competition.private_images
    if found.codes is None:
        return strips(what, rows, private_images=private)
    measure = f"{found.codes.distance} of {found.codes.bits} bits, mean of fits; relevant: shares a label"
    decimals = DECIMALS[found.codes.kind]
    return strips(f"{what}, and the nearest codes", rows, private_images=private, measure=measure, decimals=decimals)


def _strip(found: Found, number: int) -> Strip:
    query, tags = found.answers[number].query, found.tags[number]
    assert query.path is not None, "only queries with an image are drawn"
    shown = [] if not found.nearest else [_drawn(found, row) for _, row in found.nearest[number].iterrows()]
    true = {"yes": True, "no": False, "": None}
    by_source = {
        source: [Tag(row["label"], row["score"], true[row["true"]]) for _, row in own.iterrows()]
        for source, own in tags.groupby("source", sort=False)
    }
    return Strip(query.path, "\n".join([query.name, *_place(found, query)]), shown, by_source)


def _place(found: Found, query: Query) -> list[str]:
    """Lines below a query: its fold and its labels."""
    asked = found.asked
    if asked.from_elsewhere(query):
        return ["from elsewhere"] + ([f"text: {asked.text or 'none'}"] if asked.text is not None else [])
    row = asked.rows.iloc[query.position]
    return _lines(found, query.position, row) if asked.of_train(query) else [row["label"]]


def _lines(found: Found, position: int, row: Series) -> list[str]:
    """The fold of a train row, and a line for each of its labels."""
    names = [name for name, on in zip(found.labels.names, found.labels.known[position], strict=True) if on]
    more = [f"and {len(names) - MOST_LABELS + 1} more"] if len(names) > MOST_LABELS else []
    fold = [] if row["fold"] == "-" else [f"fold {row['fold']}"]
    return fold + (names[: MOST_LABELS - 1] + more if more else names)


def _drawn(found: Found, row: Series) -> Answer:
    caption = "\n".join([str(row["id"]), *_lines(found, row["position"], row), row["note"]])
    counted = row["shared"] >= 0 and row["note"] != NEAR_DUPLICATE
    return Answer(row["path"], caption, row["distance"], bool(row["shared"]) if counted else None)
