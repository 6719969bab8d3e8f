"""What a query's answer is made of, for runs of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pandas import DataFrame, Series

from goldfold.experiment.queries.asked import Asked, Query


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answers to all queries, one table for each of them.

    nearest: the nearest rows; empty if the run has neither embeddings nor codes. tags: labels with scores; empty if the
    run predicts no labels. page: both in words. picture: draws them as PNG.
    """

    nearest: Sequence[DataFrame] = ()
    tags: Sequence[DataFrame] = ()
    page: str
    picture: Callable[[], bytes]


def asks(asked: Asked, query: Query) -> str:
    """What a query is, for the line above its answers."""
    if asked.from_elsewhere(query):
        told = "" if asked.text is None else f", with the text {asked.text!r}"
        told = ", without text: TEXT='...' gives it one" if asked.text == "" else told
        return f"query {query.name}: an image from elsewhere{told}"
    row = asked.rows.iloc[query.position]
    if not asked.of_train(query):
        return f"query {query.name}: a row of the test table"
    validated = "validated in no fold" if row["fold"] == "-" else f"validated in fold {row['fold']}"
    return f"query {query.name}: {row['label'] or 'no label'}, {validated}"


def place(row: Series) -> str:
    """The label and the fold of a row, for a caption."""
    return row["label"] if row["fold"] == "-" else f"{row['label']}, fold {row['fold']}"
