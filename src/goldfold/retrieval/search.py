"""Rows that find each other by the cosines of their embeddings: who asks, what is right, what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from goldfold.data import neighbors
from goldfold.errors import GoldfoldError, unknown
from goldfold.optional_parts import Pairs
from goldfold.retrieval import exact_ranks

Embeddings = np.ndarray | Tensor
Engine = Literal["torch", "faiss"]
OUTSIDE = 2.0


class Nearest(NamedTuple):
    """The answers nearest to each query, best first.

    positions: int64 (q, k) among the rows, -1 where a query has fewer answers. similarities: float32 (q, k), their
    cosines, nan there.
    """

    positions: np.ndarray
    similarities: np.ndarray


@dataclass(frozen=True)
class Answers:
    """relevant, gallery: int64 (q,), the right answers, and the answers in all, that each query has."""

    relevant: np.ndarray
    gallery: np.ndarray

    @property
    def unanswered(self) -> int:
        """Queries without a right answer: no score counts them."""
        return int((self.relevant == 0).sum())


class Similarities(NamedTuple):
    """How the cosines of right and of wrong answers are distributed, over all queries.

    edges: float64 (bins + 1,) from -1 to 1. right, wrong: int64 (bins,) counts.
    """

    edges: np.ndarray
    right: np.ndarray
    wrong: np.ndarray


def by_label(labels: Sequence, *, queries: Sequence[bool] | None = None, same: Sequence | None = None) -> Pairs:
    """Each row asks all others, and answers of its own label are right.

    labels: (n,) of any hashable kind. queries: (n,) bool, which rows ask; the others are the gallery. Without it all
    rows do both. same: (n,), a camera or a session: rows of one label and one such value do not count, neither as
    right nor as wrong; a row never answers itself.

    Raises GoldfoldError for missing labels, for lengths that differ, and where no row asks or none answers.
    """
    asking, answering = _sides(len(labels), queries)
    label = _codes("label", labels)
    source = None if same is None else _codes("value of `same`", same, len(labels))

    def relevant(some: slice) -> np.ndarray:
        return label[asking[some], None] == label[answering]

    def left_out(some: slice) -> np.ndarray:
        out = _itself(asking[some], answering)
        if source is not None:
            out |= (source[asking[some], None] == source[answering]) & relevant(some)
        return out

    return Pairs(queries=asking, gallery=answering, relevant=relevant, left_out=left_out)


def by_time(
    sequences: Sequence,
    times: Sequence[float],
    within: float,
    guard: float,
    *,
    queries: Sequence[bool] | None = None,
) -> Pairs:
    """Each row is a query to all others; relevant are those soon before or after it in its own sequence.

    sequences: (n,) of any hashable kind. times: (n,) finite numbers. Relevant are rows of the same sequence with
    guard < |difference of times| <= within; near-duplicates, up to `guard`, are left out, as is the row itself.
    queries: as in `by_label`. Differences are compared up to `neighbors.rounding`: 0.3 and 0.4 are 0.1 apart.

    Raises GoldfoldError as `by_label` and `neighbors.timeline`, and unless 0 <= guard < within.
    """
    if not 0 <= guard < within:
        raise GoldfoldError(
            f"relevant rows are from `guard` to `within` away, 0 <= guard < within, got {guard:g} and {within:g}: "
            "change them"
        )
    asking, answering = _sides(len(sequences), queries)
    line = neighbors.timeline(sequences, times)
    near, far = (line.windows(limit, asking, answering) for limit in (guard, within))
    return Pairs(
        queries=asking,
        gallery=answering,
        relevant=lambda some: far.pairs(some) & ~near.pairs(some),
        left_out=near.pairs,  # a row is near itself
    )


def normalised(embeddings: Embeddings) -> Embeddings:
    """Embeddings (n, d) of any real type as float32 rows of length 1; rows of zeros stay 0. A tensor stays one.

    Raises GoldfoldError for another shape or type, and names the first row that is not finite.
    """
    found = exact_ranks.units(embeddings)
    return found if isinstance(embeddings, Tensor) else found.numpy()


def side_by_side(embeddings: np.ndarray) -> np.ndarray:
    """The embeddings (fits, n, d) of several fits as one, float32 (n, fits * d), whose cosines are the fits' mean.

    Fits have a space each, so their embeddings are never averaged: each is normalised, all are put behind each other
    and divided by sqrt(fits). Where a fit gives a row of zeros its share of the inner product is 0.
    """
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 3 or not len(embeddings):
        raise GoldfoldError(
            f"embeddings of fits must have shape (fits, rows, width), got {embeddings.shape}: stack one (rows, width) "
            "array per fit"
        )
    return np.concatenate([normalised(each) for each in embeddings], axis=1) / np.float32(len(embeddings) ** 0.5)


def nearest(pairs: Pairs, embeddings: Embeddings, k: int, *, engine: Engine = "torch") -> Nearest:
    """The `k` answers nearest to each query; left-out answers never appear. Ties come in any order.

    engine: "faiss" searches its IndexFlatIP, where faiss-cpu is installed: the same answers but for ties.

    Raises GoldfoldError as `normalised`, for k < 1, and for an engine that is unknown or not installed.
    """
    if k < 1:
        raise GoldfoldError(f"the nearest answers are at least 1, got k = {k}: 10 is a good number to look at")
    engines = {"torch": exact_ranks.nearest_by_torch, "faiss": exact_ranks.nearest_by_faiss}
    if engine not in engines:
        raise unknown("engine", engine, engines)
    positions, cosines = engines[engine](pairs, exact_ranks.units(embeddings, pairs), min(k, len(pairs.gallery)))
    more = (0, 0), (0, k - positions.shape[1])
    return Nearest(np.pad(positions, more, constant_values=-1), np.pad(cosines, more, constant_values=np.nan))


def average_precisions(pairs: Pairs, embeddings: Embeddings) -> np.ndarray:
    """The average precision of each query, float64 (q,), nan where it has no right answer; `ranks.Ranked` defines it.

    Raises GoldfoldError as `normalised`.
    """
    return exact_ranks.of_right_answers(pairs, exact_ranks.units(embeddings, pairs), depth=0).average_precision


def answers(pairs: Pairs) -> Answers:
    """How many right answers, and answers in all, each query has."""
    counts = []
    for some in exact_ranks.chunks(pairs):
        counted = ~pairs.left_out(some)
        masks = pairs.relevant(some) & counted, counted
        counts.append([np.count_nonzero(mask, axis=1) for mask in masks])
    return Answers(*(np.concatenate(each) for each in zip(*counts, strict=True)))


def similarities(pairs: Pairs, embeddings: Embeddings, bins: int = 100) -> Similarities:
    """The cosines of all queries with all their answers, counted in `bins` equal bins over [-1, 1], right and wrong.

    Raises GoldfoldError as `normalised`.
    """
    right, both = np.zeros((2, bins), np.int64)
    for chunk in exact_ranks.compared(pairs, exact_ranks.units(embeddings, pairs)):
        cosines = chunk.cosines.clip(-1, 1, out=chunk.cosines)  # rounding leaves 1 + 1e-7
        right += _counts(cosines[chunk.relevant], bins)
        cosines[chunk.left_out] = OUTSIDE
        both += _counts(cosines, bins)
    return Similarities(np.linspace(-1, 1, bins + 1), right, both - right)


def _counts(values: np.ndarray, bins: int) -> np.ndarray:
    """Of values in [-1, 1]; others are not counted. Counts of one chunk are exact in float32."""
    return torch.histc(torch.from_numpy(values), bins, -1, 1).numpy().astype(np.int64)


def _sides(count: int, queries: Sequence[bool] | None) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows that ask, and of those that answer."""
    if queries is None:
        asking = answering = np.arange(count)
    else:
        asks = np.asarray(queries)
        if asks.dtype != bool or asks.shape != (count,):
            raise GoldfoldError(
                f"`queries` must be {count} times True or False, one per row, got {asks.dtype} {asks.shape}: compare "
                "the column that tells them"
            )
        asking, answering = np.flatnonzero(asks), np.flatnonzero(~asks)
    if not len(asking) or not len(answering):
        raise GoldfoldError(
            f"finding rows needs one that asks and one that answers, got {len(asking)} and {len(answering)}: look at "
            "the split"
        )
    return asking, answering


def _codes(what: str, values: Sequence, count: int | None = None) -> np.ndarray:
    """Equal values as equal int32 numbers; missing ones are refused."""
    import pandas as pd

    values = pd.Series(values).reset_index(drop=True)
    if count not in (None, len(values)):
        raise GoldfoldError(
            f"there must be one {what} per row, got {len(values)} for {count} rows: give a whole column"
        )
    codes, _ = pd.factorize(values)
    if (codes < 0).any():
        raise GoldfoldError(
            f"every row needs a {what}, but {(codes < 0).sum()} of {len(codes)} have none, the first of them row "
            f"{(codes < 0).argmax()}: fill them in `load`"
        )
    return codes.astype(np.int32)


def _itself(asking: np.ndarray, answering: np.ndarray) -> np.ndarray:
    return asking[:, None] == answering
