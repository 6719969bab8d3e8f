"""Cosine similarities of embeddings: normalization, all queries against the gallery in chunks, histograms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from goldfold.errors import GoldfoldError
from goldfold.optional_parts import Pairs
from goldfold.retrieval.pairs import query_chunks

Embeddings = np.ndarray | Tensor
TILE = 16  # products of matrices whose sides are multiples of this give equal rows bit-identical cosines
OUTSIDE = 2.0  # a value that no histogram bin contains


@dataclass(frozen=True)
class CosineChunk:
    """The cosines of some queries with the whole gallery.

    queries: slice of the queries, m of them.
    cosines: float32 (m, gallery), -inf if a gallery row is left out. It may be changed; the next chunk overwrites it.
    relevant, left_out: bool (m, gallery); a row that is left out is never relevant.
    """

    queries: slice
    cosines: np.ndarray
    relevant: np.ndarray
    left_out: np.ndarray


class SimilarityHistogram(NamedTuple):
    """Histograms of the cosines of relevant and of irrelevant gallery rows, over all queries.

    edges: float64 (bins + 1,) from -1 to 1. relevant, irrelevant: int64 (bins,) counts.
    """

    edges: np.ndarray
    relevant: np.ndarray
    irrelevant: np.ndarray


def normalize(embeddings: Embeddings) -> Embeddings:
    """Scale embeddings (n, d) of any real type to float32 rows of length 1; rows of zeros stay 0.

    A tensor gives a tensor, an array gives an array. Raises GoldfoldError as `normalize_tensor` does.
    """
    units = normalize_tensor(embeddings)
    return units if isinstance(embeddings, Tensor) else units.numpy()


def normalize_tensor(embeddings: Embeddings, pairs: Pairs | None = None) -> Tensor:
    """Scale embeddings as `normalize` does and return a tensor, on their device.

    Raises GoldfoldError for another shape or type, for fewer rows than `pairs` refers to, and for values that are not
    finite; the message names the first such row.
    """
    values = _real_matrix(embeddings)
    rows = 0 if pairs is None else 1 + int(max(pairs.queries.max(), pairs.gallery.max()))
    if len(values) < rows:
        raise GoldfoldError(
            "too_few_embeddings", f"{rows} rows need one embedding each, got {len(values)}: pass those of all rows"
        )
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    largest = torch.linalg.vector_norm(values, torch.inf, dim=1, keepdim=True)
    if not largest.isfinite().all():
        bad = ~largest.isfinite().flatten()
        raise GoldfoldError(
            "embeddings_not_finite",
            f"embeddings must be finite, but {int(bad.sum())} of {len(bad)} rows contain NaN or infinity, the first of "
            f"them row {int(bad.int().argmax())}: lower the learning rate, or look at its image",
        )
    values = values.div_(largest.where(largest > 0, 1)).float()  # else the squares of the largest floats overflow
    lengths = torch.linalg.vector_norm(values, dim=1, keepdim=True)
    return values.div_(lengths.where(lengths > 0, 1))


def _real_matrix(embeddings: Embeddings) -> Tensor:
    """A copy of the embeddings as a tensor; other types and shapes are refused."""
    values = embeddings.detach() if isinstance(embeddings, Tensor) else np.asarray(embeddings)
    real = not values.is_complex() if isinstance(values, Tensor) else values.dtype.kind in "fiub"
    if not real or values.ndim != 2 or values.shape[1] == 0:
        raise GoldfoldError(
            "wrong_embedding_shape",
            f"embeddings must be real numbers (rows, width), got {values.dtype} {tuple(values.shape)}: look at "
            "`Plan.predict`",
        )
    return values.clone() if isinstance(values, Tensor) else torch.tensor(values)


def concatenate_fits(embeddings: np.ndarray) -> np.ndarray:
    """Concatenate the embeddings of several fits into float32 (n, fits * d), whose cosines are the mean over fits.

    embeddings: (fits, n, d). Every fit has its own embedding space, so embeddings are never averaged: each is
        normalized, all are concatenated and divided by sqrt(fits). If a fit gives a row of zeros, it adds 0 to the
        inner product.

    Raises GoldfoldError for another shape, and as `normalize` does.
    """
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 3 or not len(embeddings):
        raise GoldfoldError(
            "wrong_embedding_shape",
            f"embeddings of fits must have the shape (fits, rows, width), got {embeddings.shape}: stack one (rows, "
            "width) array per fit",
        )
    return np.concatenate([normalize(each) for each in embeddings], axis=1) / np.float32(len(embeddings) ** 0.5)


def cosine_chunks(pairs: Pairs, units: Tensor) -> Iterator[CosineChunk]:
    """Yield the cosines of all queries with the whole gallery, chunk by chunk.

    units: float32 (n, d) of length 1 or 0, on any device; `pairs` has positions of its rows. The cosines are computed
        on this device and copied to the CPU.
    """
    gallery = _tiled(units, pairs.gallery).T
    largest = next(query_chunks(pairs)).stop
    buffer = units.new_empty(largest + -largest % TILE, gallery.shape[1])
    for chunk in query_chunks(pairs):
        queries = _tiled(units, pairs.queries[chunk])
        product = torch.mm(queries, gallery, out=buffer[: len(queries)])
        cosines = product[: chunk.stop - chunk.start, : len(pairs.gallery)].cpu().numpy()
        left_out = pairs.left_out(chunk)
        cosines[left_out] = -np.inf
        yield CosineChunk(chunk, cosines, pairs.relevant(chunk) & ~left_out, left_out)


def _tiled(units: Tensor, rows: np.ndarray) -> Tensor:
    """The rows, padded with rows of zeros to a multiple of `TILE`."""
    tiled = units.new_zeros(len(rows) + -len(rows) % TILE, units.shape[1])
    torch.index_select(units, 0, torch.from_numpy(rows).to(units.device), out=tiled[: len(rows)])
    return tiled


def similarity_histogram(pairs: Pairs, embeddings: Embeddings, bins: int = 100) -> SimilarityHistogram:
    """Count the cosines of all queries with their gallery rows in `bins` equal bins over [-1, 1].

    Raises GoldfoldError as `normalize_tensor` does.
    """
    relevant, total = np.zeros((2, bins), np.int64)
    for chunk in cosine_chunks(pairs, normalize_tensor(embeddings, pairs)):
        cosines = chunk.cosines.clip(-1, 1, out=chunk.cosines)  # rounding can give 1 + 1e-7
        relevant += _histogram(cosines[chunk.relevant], bins)
        cosines[chunk.left_out] = OUTSIDE
        total += _histogram(cosines, bins)
    return SimilarityHistogram(np.linspace(-1, 1, bins + 1), relevant, total - relevant)


def _histogram(values: np.ndarray, bins: int) -> np.ndarray:
    """Counts of the values in [-1, 1], int64 (bins,); float32 is exact for the counts of one chunk."""
    return torch.histc(torch.from_numpy(values), bins, -1, 1).numpy().astype(np.int64)
