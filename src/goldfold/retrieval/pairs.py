"""Query and gallery rows, and which gallery rows are relevant to each query: by label, or by time within a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from goldfold.data import neighbors
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import Pairs

CHUNK_CELLS = 2**24  # query-gallery pairs of one chunk: 64 MiB of float32 cosines, and about as much for the masks


@dataclass(frozen=True)
class RelevantCounts:
    """How many gallery rows are relevant to each query.

    relevant: int64 (q,), relevant gallery rows. gallery: int64 (q,), gallery rows that are not left out.
    """

    relevant: np.ndarray
    gallery: np.ndarray

    @property
    def queries_without_relevant(self) -> int:
        """Number of queries without a relevant gallery row; no score counts them."""
        return int((self.relevant == 0).sum())


def by_label(
    labels: Sequence,
    *,
    queries: Sequence[bool] | None = None,
    same: Sequence | None = None,
    within: Sequence | None = None,
) -> Pairs:
    """Make pairs in which the gallery rows with the query's label are relevant.

    labels: (n,) of any hashable kind.
    queries: bool (n,), the query rows; the other rows are the gallery. None: every row is a query to all other rows.
    same: (n,), such as a camera or a session; gallery rows with the query's label and the query's value of `same` are
        left out. A query itself is always left out.
    within: (n,), such as a kind of image; gallery rows with another value than the query's are left out.

    Raises GoldfoldError for missing labels, for different lengths, and if there is no query or no gallery row.
    """
    query_rows, gallery_rows = _query_and_gallery(len(labels), queries)
    label = _codes("label", labels)
    source = None if same is None else _codes("value of `same`", same, len(labels))
    kind = None if within is None else _codes("value of `within`", within, len(labels))

    def relevant(chunk: slice) -> np.ndarray:
        return label[query_rows[chunk], None] == label[gallery_rows]

    def left_out(chunk: slice) -> np.ndarray:
        out = query_rows[chunk, None] == gallery_rows
        if source is not None:
            out |= (source[query_rows[chunk], None] == source[gallery_rows]) & relevant(chunk)
        if kind is not None:
            out |= kind[query_rows[chunk], None] != kind[gallery_rows]
        return out

    return Pairs(queries=query_rows, gallery=gallery_rows, relevant=relevant, left_out=left_out)


def by_shared_label(labels: np.ndarray, *, queries: Sequence[bool] | None = None) -> Pairs:
    """Make pairs in which the gallery rows that have one of the query's labels, or more, are relevant.

    labels: bool (n, c), or 0 and 1. queries: as in `by_label`. A query itself is always left out.

    Raises GoldfoldError for other values, and as `by_label`.
    """
    table = np.asarray(labels)
    if table.ndim != 2 or not np.isin(table, (0, 1)).all():
        raise GoldfoldError(
            "labels_not_binary",
            f"labels must be a table of 0 and 1, a row per item, got {table.dtype} {table.shape}: encode sets of "
            "labels",
        )
    table = table.astype(np.float32)
    query_rows, gallery_rows = _query_and_gallery(len(table), queries)
    return Pairs(
        queries=query_rows,
        gallery=gallery_rows,
        relevant=lambda chunk: table[query_rows[chunk]] @ table[gallery_rows].T > 0,
        left_out=lambda chunk: query_rows[chunk, None] == gallery_rows,
    )


def by_time(
    sequences: Sequence,
    times: Sequence[float],
    within: float,
    guard: float,
    *,
    queries: Sequence[bool] | None = None,
) -> Pairs:
    """Make pairs in which the gallery rows close in time, in the query's own sequence, are relevant.

    sequences: (n,) of any hashable kind. times: (n,) finite numbers.
    within, guard: in the unit of `times`. Rows of the same sequence with guard < |difference of times| <= within are
        relevant; near-duplicates, with a difference up to `guard`, are left out, and so is the query itself.
        Differences are compared up to `neighbors.rounding`: 0.3 and 0.4 are 0.1 apart.
    queries: as in `by_label`.

    Raises GoldfoldError as `by_label` and `neighbors.timeline` do, and unless 0 <= guard < within.
    """
    if not 0 <= guard < within:
        raise GoldfoldError(
            "guard_not_below_within",
            f"guard is {guard:g} and within is {within:g}, and 0 <= guard < within must hold: change them",
        )
    query_rows, gallery_rows = _query_and_gallery(len(sequences), queries)
    line = neighbors.timeline(sequences, times)
    near, far = (line.windows(limit, query_rows, gallery_rows) for limit in (guard, within))
    return Pairs(
        queries=query_rows,
        gallery=gallery_rows,
        relevant=lambda chunk: far.pairs(chunk) & ~near.pairs(chunk),
        left_out=near.pairs,  # the query itself included
    )


def between(pairs: Pairs, queries: np.ndarray, gallery: np.ndarray) -> Pairs:
    """The part of pairs whose every row is a query to all others in which some rows ask and others answer.

    queries, gallery: int64 row positions.

    Raises GoldfoldError if the pairs have rows that only ask or only answer.
    """
    every = np.arange(len(pairs.queries))
    if not (np.array_equal(pairs.queries, every) and np.array_equal(pairs.gallery, every)):
        raise GoldfoldError(
            "pairs_not_of_all_rows",
            f"queries and gallery are to be chosen here, and the pairs have {len(pairs.queries)} queries and "
            f"{len(pairs.gallery)} gallery rows already: make pairs of all rows",
        )

    def part(of: Callable[[slice], np.ndarray]) -> Callable[[slice], np.ndarray]:
        return lambda chunk: np.stack([of(slice(row, row + 1))[0, gallery] for row in queries[chunk].tolist()])

    return Pairs(queries=queries, gallery=gallery, relevant=part(pairs.relevant), left_out=part(pairs.left_out))


def count_relevant(pairs: Pairs) -> RelevantCounts:
    """Count the relevant gallery rows, and all gallery rows, of each query; rows that are left out do not count."""
    counts = []
    for chunk in query_chunks(pairs):
        ranked = ~pairs.left_out(chunk)
        masks = pairs.relevant(chunk) & ranked, ranked
        counts.append([np.count_nonzero(mask, axis=1) for mask in masks])
    return RelevantCounts(*(np.concatenate(each) for each in zip(*counts, strict=True)))


def query_chunks(pairs: Pairs) -> Iterator[slice]:
    """Yield slices of the queries such that a mask over the gallery has at most `CHUNK_CELLS` cells."""
    size = max(1, CHUNK_CELLS // len(pairs.gallery))
    return (slice(start, min(start + size, len(pairs.queries))) for start in range(0, len(pairs.queries), size))


def _query_and_gallery(count: int, queries: Sequence[bool] | None) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the query rows and of the gallery rows."""
    if queries is None:
        query_rows = gallery_rows = np.arange(count)
    else:
        is_query = np.asarray(queries)
        if is_query.dtype != bool or is_query.shape != (count,):
            raise GoldfoldError(
                "queries_not_boolean",
                f"`queries` must be {count} booleans, one per row, got {is_query.dtype} {is_query.shape}: compare a "
                "column with a value",
            )
        query_rows, gallery_rows = np.flatnonzero(is_query), np.flatnonzero(~is_query)
    if not len(query_rows) or not len(gallery_rows):
        raise GoldfoldError(
            "no_query_or_gallery",
            f"retrieval needs a query and a gallery row, got {len(query_rows)} queries and {len(gallery_rows)} gallery "
            "rows: look at the split",
        )
    return query_rows, gallery_rows


def _codes(what: str, values: Sequence, count: int | None = None) -> np.ndarray:
    """Equal values as equal int32 numbers; missing values are refused."""
    import pandas as pd

    column = pd.Series(values).reset_index(drop=True)
    if count not in (None, len(column)):
        raise GoldfoldError(
            "lengths_differ",
            f"there must be one {what} per row, got {len(column)} for {count} rows: pass a whole column",
        )
    codes, _ = pd.factorize(column)
    if (codes < 0).any():
        raise GoldfoldError(
            "missing_values",
            f"every row needs a {what}, but {(codes < 0).sum()} of {len(codes)} have none, the first of them row "
            f"{(codes < 0).argmax()}: fill them in `load`",
        )
    return codes.astype(np.int32)
