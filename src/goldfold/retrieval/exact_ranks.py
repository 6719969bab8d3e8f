"""The ranks of right answers where rows are found by the cosines of their embeddings: exact, and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from goldfold.optional_parts import Pairs

CELLS = 2**24  # cosines of one chunk of queries: 64 MiB, and about as much for its masks
DEPTH = 1000
FEW = 4  # right answers up to which comparing all with each is faster than sorting
TILE = 16  # products of matrices whose sides are multiples of this give equal rows equal cosines, to the last bit


@dataclass(frozen=True)
class Compared:
    """Some queries beside the whole gallery.

    queries: which of them. cosines: float32 (m, gallery), -inf where an answer is left out; it may be changed, and the
    next chunk takes its place. relevant, left_out: bool (m, gallery); no answer is both.
    """

    queries: slice
    cosines: np.ndarray
    relevant: np.ndarray
    left_out: np.ndarray


@dataclass(frozen=True)
class Ranked:
    """What the ranks of the right answers say of each of q queries; the best rank is 1.

    relevant, gallery: int64 (q,), right answers, and answers in all.
    first, at_r: int64 (q,), the best rank of a right answer, and right answers of rank <= relevant; 0 where there is
        no right answer.
    average_precision: float64 (q,), the mean over the right answers of the share of right ones among all answers at
        least as similar: scikit-learn's, also where answers are tied.
    average_precision_at_r: float64 (q,), the same of the precision at the right answers' ranks, where those of rank >
        relevant count 0. Both are nan where there is no right answer.
    ranks: for each query the ranks up to `depth` of its right answers, int32, ascending.
    """

    relevant: np.ndarray
    gallery: np.ndarray
    first: np.ndarray
    at_r: np.ndarray
    average_precision: np.ndarray
    average_precision_at_r: np.ndarray
    ranks: Sequence[np.ndarray]
    depth: int

    def hits(self, k: int) -> np.ndarray:
        """Right answers of rank <= k <= depth, int64 (q,)."""
        return np.array([_up_to(ranks, k) for ranks in self.ranks])

    def precisions(self, k: int) -> np.ndarray:
        """The sum of the precisions at the right answers of rank <= k <= depth, float64 (q,)."""
        nearest = (ranks[: _up_to(ranks, k)] for ranks in self.ranks)
        return np.array([_precisions(ranks).sum() for ranks in nearest])


class _Query(NamedTuple):
    """One query's part of `Ranked`."""

    relevant: int
    gallery: int
    first: int
    at_r: int
    average_precision: float
    average_precision_at_r: float
    ranks: np.ndarray


def of_right_answers(pairs: Pairs, units: Tensor, depth: int = DEPTH) -> Ranked:
    """Rank the right answers of every query.

    units: float32 (n, d) of length 1 or 0, on any device: the rows that `pairs` has positions of. depth: ranks up to
    this one are kept one by one, larger ones count in the averages alone.

    Ties count against: of answers of one cosine the wrong ones rank before the right ones, so that a model which gives
    one embedding to all rows finds nothing, and one that gives one to each label finds everything. Cosines are
    multiplied on the units' device, sorted without their positions and counted on the CPU, in as many threads as torch
    has. Time is that of queries x gallery, but for the logarithm of a sort; memory beside the arguments and the result
    is bounded while the gallery has less than `CELLS` rows.
    """
    threads, found = torch.get_num_threads(), []
    with ThreadPoolExecutor(threads) as pool:
        for chunk in compared(pairs, units):
            arrays = (chunk.cosines, chunk.relevant, chunk.left_out)
            parts = pool.map(partial(_of_queries, depth), *(np.array_split(array, threads) for array in arrays))
            found += [query for part in parts for query in part]
    *numbers, ranks = zip(*found, strict=True)
    return Ranked(*map(np.array, numbers), ranks, depth)


def compared(pairs: Pairs, units: Tensor) -> Iterator[Compared]:
    """The cosines of all queries with all of the gallery, chunk after chunk. units: as for `of_right_answers`."""
    gallery = _tiled(units, pairs.gallery).T
    most = next(chunks(pairs)).stop
    held = units.new_empty(most + -most % TILE, gallery.shape[1])
    for some in chunks(pairs):
        queries = _tiled(units, pairs.queries[some])
        cosines = torch.mm(queries, gallery, out=held[: len(queries)])[: some.stop - some.start, : len(pairs.gallery)]
        cosines, left_out = cosines.cpu().numpy(), pairs.left_out(some)
        cosines[left_out] = -np.inf
        yield Compared(some, cosines, pairs.relevant(some) & ~left_out, left_out)


def units(embeddings: np.ndarray | Tensor, pairs: Pairs | None = None) -> Tensor:
    """Embeddings (n, d) of any real type as float32 rows of length 1, on their device; rows of zeros stay 0.

    Raises GoldfoldError for another shape or type, for less rows than `pairs` has positions of, and names the first row
    that is not finite.
    """
    values = embeddings.detach() if isinstance(embeddings, Tensor) else np.asarray(embeddings)
    known = not values.is_complex() if isinstance(values, Tensor) else values.dtype.kind in "fiub"
    if not known or values.ndim != 2 or values.shape[1] == 0:
        raise GoldfoldError(
            f"embeddings must be real numbers (rows, width), got {values.dtype} {tuple(values.shape)}: look at "
            "`Plan.predict`"
        )
    values = values.clone() if isinstance(values, Tensor) else torch.tensor(values)
    rows = 0 if pairs is None else 1 + int(max(pairs.queries.max(), pairs.gallery.max()))
    if len(values) < rows:
        raise GoldfoldError(f"{rows} rows need an embedding each, got {len(values)}: give those of all rows")
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    largest = torch.linalg.vector_norm(values, torch.inf, dim=1, keepdim=True)
    if not largest.isfinite().all():
        bad = ~largest.isfinite().flatten()
        raise GoldfoldError(
            f"embeddings must be finite, but {int(bad.sum())} of {len(bad)} rows hold NaN or infinity, the first of "
            f"them row {int(bad.int().argmax())}: lower the learning rate or look at its image"
        )
    values = values.div_(largest.where(largest > 0, 1)).float()  # squares of the largest floats have no float
    lengths = torch.linalg.vector_norm(values, dim=1, keepdim=True)
    return values.div_(lengths.where(lengths > 0, 1))


def nearest_by_torch(pairs: Pairs, units: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k <= gallery nearest answers, (q, k): positions among the rows, int64, and cosines, float32; -1 and nan where
    a query has fewer."""
    found = []
    for chunk in compared(pairs, units):
        values, positions = torch.from_numpy(chunk.cosines).topk(k)
        found.append((pairs.gallery[positions.numpy()], values.numpy()))
    return _joined(found)


def nearest_by_faiss(pairs: Pairs, units: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """As `nearest_by_torch`, searched by faiss, which must be installed."""
    try:
        import faiss
    except ImportError:
        raise GoldfoldError(
            "engine 'faiss' needs the package faiss-cpu, which is not installed: install it or take 'torch'"
        ) from None
    rows, found = units.cpu().numpy(), []
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows[pairs.gallery])
    for some in chunks(pairs):
        left_out = pairs.left_out(some)
        beyond = np.count_nonzero(left_out, axis=1).max()  # to be found and dropped
        values, positions = index.search(rows[pairs.queries[some]], min(k + int(beyond), len(pairs.gallery)))
        values[np.take_along_axis(left_out, positions, axis=1)] = -np.inf
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        positions, values = (np.take_along_axis(each, order, axis=1) for each in (positions, values))
        found.append((pairs.gallery[positions], values))
    return _joined(found)


def _joined(found: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    positions, values = (np.concatenate(each) for each in zip(*found, strict=True))
    absent = np.isneginf(values)
    return np.where(absent, -1, positions), np.where(absent, np.float32(np.nan), values)


def chunks(pairs: Pairs) -> Iterator[slice]:
    """Queries some at a time, so that a mask over the gallery has at most `CELLS` cells."""
    size = max(1, CELLS // len(pairs.gallery))
    return (slice(start, min(start + size, len(pairs.queries))) for start in range(0, len(pairs.queries), size))


def _tiled(units: Tensor, rows: np.ndarray) -> Tensor:
    """The rows, and rows of zeros up to a multiple of `TILE`."""
    tiled = units.new_zeros(len(rows) + -len(rows) % TILE, units.shape[1])
    torch.index_select(units, 0, torch.from_numpy(rows).to(units.device), out=tiled[: len(rows)])
    return tiled


def _of_queries(depth: int, cosines: np.ndarray, relevant: np.ndarray, left_out: np.ndarray) -> list[_Query]:
    gallery = left_out.shape[1] - np.count_nonzero(left_out, axis=1)
    rows = zip(cosines, relevant, gallery.tolist(), strict=True)
    return [_of_query(depth, *row) for row in rows]


def _of_query(depth: int, cosines: np.ndarray, relevant: np.ndarray, gallery: int) -> _Query:
    right = cosines[relevant]
    count = len(right)
    if not count:
        return _Query(0, gallery, 0, 0, np.nan, np.nan, np.empty(0, np.int32))
    right.sort()
    as_near = _at_least(cosines, right)[::-1]
    hits = _hits(as_near)
    ranks = as_near - hits + np.arange(1, count + 1)
    in_r = _up_to(ranks, count)
    return _Query(
        relevant=count,
        gallery=gallery,
        first=int(ranks[0]),
        at_r=in_r,
        average_precision=(hits / as_near).sum() / count,
        average_precision_at_r=_precisions(ranks[:in_r]).sum() / count,
        ranks=ranks[: _up_to(ranks, depth)].astype(np.int32),
    )


def _at_least(cosines: np.ndarray, right: np.ndarray) -> np.ndarray:
    """How many cosines are at least as large as each of the right ones, which ascend; int64, descending."""
    if len(right) <= FEW:
        return np.array([np.count_nonzero(cosines >= each) for each in right])
    cosines.sort()  # without positions it takes less than the product that made them
    return len(cosines) - np.searchsorted(cosines, right)


def _up_to(ranks: np.ndarray, k: int) -> int:
    """How many of the ranks, which ascend, are at most k."""
    return int(np.searchsorted(ranks, k, side="right"))


def _precisions(ranks: np.ndarray) -> np.ndarray:
    """The share of right answers up to each of the ranks, which are those of the right answers."""
    return np.arange(1, len(ranks) + 1) / ranks


def _hits(as_near: np.ndarray) -> np.ndarray:
    """How many right answers are at least as near as each, from how many answers of any kind are, which ascend."""
    if (as_near[1:] == as_near[:-1]).any():
        return np.searchsorted(as_near, as_near, side="right")
    return np.arange(1, len(as_near) + 1)
