"""Nearest-neighbor search: the k gallery rows with the largest cosine to each query, by torch or by faiss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from goldfold.errors import GoldfoldError, unknown
from goldfold.optional_parts import Pairs
from goldfold.retrieval.cosines import Embeddings, cosine_chunks, normalize_tensor
from goldfold.retrieval.pairs import query_chunks

Engine = Literal["torch", "faiss"]


class Nearest(NamedTuple):
    """The gallery rows nearest to each query, nearest first.

    positions: int64 (q, k), row positions; -1 if a query has fewer gallery rows.
    similarities: float32 (q, k), their cosines; nan if a query has fewer gallery rows.
    """

    positions: np.ndarray
    similarities: np.ndarray


def nearest(pairs: Pairs, embeddings: Embeddings, k: int, *, engine: Engine = "torch") -> Nearest:
    """Return the `k` gallery rows nearest to each query, without those that are left out; ties have any order.

    engine: `torch` multiplies matrices on the embeddings' device; `faiss` searches an IndexFlatIP, if faiss-cpu is
        installed. Both find the same rows except for ties.

    Raises GoldfoldError as `normalize_tensor` does, for k < 1, and for an engine that is unknown or not installed.
    """
    if k < 1:
        raise GoldfoldError("k_too_small", f"k is {k} and must be at least 1: choose k=10, for example")
    engines = {"torch": _by_torch, "faiss": _by_faiss}
    if engine not in engines:
        raise unknown("engine", engine, engines, code="unknown_engine")
    units = normalize_tensor(embeddings, pairs)
    positions, cosines = engines[engine](pairs, units, min(k, len(pairs.gallery)))
    padding = (0, 0), (0, k - positions.shape[1])
    return Nearest(np.pad(positions, padding, constant_values=-1), np.pad(cosines, padding, constant_values=np.nan))


def _by_torch(pairs: Pairs, units: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions int64 and cosines float32 (q, k) of the k <= gallery nearest rows; -1 and nan if there are fewer."""
    found = []
    for chunk in cosine_chunks(pairs, units):
        values, positions = torch.from_numpy(chunk.cosines).topk(k)
        found.append((pairs.gallery[positions.numpy()], values.numpy()))
    return _joined(found)


def _by_faiss(pairs: Pairs, units: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The same as `_by_torch`, searched by faiss."""
    try:
        import faiss
    except ImportError:
        raise GoldfoldError(
            "faiss_not_installed",
            "engine 'faiss' needs the package faiss-cpu, which is not installed: install it, or use engine 'torch'",
        ) from None
    rows, found = units.cpu().numpy(), []
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows[pairs.gallery])
    for chunk in query_chunks(pairs):
        left_out = pairs.left_out(chunk)
        extra = np.count_nonzero(left_out, axis=1).max()  # so many of the rows found may be left out
        values, positions = index.search(rows[pairs.queries[chunk]], min(k + int(extra), len(pairs.gallery)))
        values[np.take_along_axis(left_out, positions, axis=1)] = -np.inf
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        positions, values = (np.take_along_axis(each, order, axis=1) for each in (positions, values))
        found.append((pairs.gallery[positions], values))
    return _joined(found)


def _joined(found: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Positions and cosines of all chunks; -1 and nan for a cosine of -inf."""
    positions, values = (np.concatenate(each) for each in zip(*found, strict=True))
    missing = np.isneginf(values)
    return np.where(missing, -1, positions), np.where(missing, np.float32(np.nan), values)
