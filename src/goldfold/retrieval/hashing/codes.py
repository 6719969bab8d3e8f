"""Binary hash codes: bits of a hash layer, Hamming distances by popcount, exact nearest neighbors and KNN tags.

A code of b bits is packed into ceil(b / 64) unsigned 64-bit words, uint64 (n, words); the bits that pad it are 0, so
that they add nothing to a distance.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Literal

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.optional_parts import Pairs

Vote = Literal["softmax", "uniform", "rank"]
WORD = 64  # bits
CHUNK_CELLS = 2**24  # distances of one chunk
SAMPLE = 4096  # values whose k-th smallest bounds that of all


@dataclass(frozen=True)
class Codes:
    """Packed codes. words: uint64 (n, ceil(bits / 64))."""

    words: np.ndarray
    bits: int

    def __len__(self) -> int:
        return len(self.words)


def pack(values: np.ndarray) -> Codes:
    """Pack the signs of a hash layer's outputs: bit = value > 0, so 0 gives bit 0.

    values: (n, bits), floats or booleans.

    Raises GoldfoldError for another shape, and for NaN.
    """
    if values.ndim != 2 or not values.shape[1]:
        raise GoldfoldError(
            "codes_not_a_matrix", f"hash codes must have the shape (n, bits), got {values.shape}: pass a row per item"
        )
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise GoldfoldError(
            "codes_not_finite",
            f"hash outputs must be numbers, and {int(np.isnan(values).any(axis=1).sum()):,} of {len(values):,} rows "
            "have NaN: look at the training loss",
        )
    return from_bytes(np.packbits(values > 0, axis=1), values.shape[1])


def to_bytes(codes: Codes) -> np.ndarray:
    """Codes as uint8 (n, ceil(bits / 8)), the first bit the highest of its byte; faiss.IndexBinaryFlat reads them."""
    return np.ascontiguousarray(codes.words.view(np.uint8)[:, : -(-codes.bits // 8)])


def from_bytes(packed: np.ndarray, bits: int) -> Codes:
    """The codes of `to_bytes`."""
    padded = np.zeros((len(packed), -(-bits // WORD) * WORD // 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return Codes(padded.view(np.uint64), bits)


def distances(queries: Codes, database: Codes) -> np.ndarray:
    """Hamming distances between all queries and all codes of a database, (q, n), uint8 up to 255 bits, else uint16.

    Raises GoldfoldError if the codes have different numbers of bits.
    """
    if queries.bits != database.bits:
        raise GoldfoldError(
            "code_lengths_differ",
            f"codes of {queries.bits} and of {database.bits} bits have no Hamming distance: use one `bits`",
        )
    found = np.zeros((len(queries), len(database)), np.uint8 if queries.bits < 256 else np.uint16)
    for one, other in zip(queries.words.T, database.words.T, strict=True):
        found += np.bitwise_count(one[:, None] ^ other[None])
    return found


def counts_by_distance(pairs: Pairs, codes: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Gallery rows, and relevant ones, at each Hamming distance of each query: int64 (q, bits + 1) both.

    codes: of the rows that `pairs` has positions of. Memory is bounded by `CHUNK_CELLS` distances per thread. They are
    the arguments of the functions in `tied_ranks`.
    """
    gallery = Codes(codes.words[pairs.gallery], codes.bits)
    step = max(1, CHUNK_CELLS // len(pairs.gallery) // 8)
    chunks = [slice(at, min(at + step, len(pairs.queries))) for at in range(0, len(pairs.queries), step)]

    def counted(chunk: slice) -> tuple[np.ndarray, np.ndarray]:
        found = distances(Codes(codes.words[pairs.queries[chunk]], codes.bits), gallery)
        ranked = ~pairs.left_out(chunk)
        return _histograms(found, ranked, codes.bits), _histograms(found, pairs.relevant(chunk) & ranked, codes.bits)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        items, relevant = zip(*pool.map(counted, chunks), strict=True)
    return np.concatenate(items), np.concatenate(relevant)


def _histograms(found: np.ndarray, counted: np.ndarray, bits: int) -> np.ndarray:
    rows = zip(found, counted, strict=True)
    return np.stack([np.bincount(row[mask], minlength=bits + 1) for row, mask in rows])


def nearest(queries: Codes, database: Codes, k: int, *, use_faiss: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest codes of each query: distances int32 (q, k), ascending, and positions int64 (q, k).

    Of equal distances the smaller position comes first, also at rank k, so the result is unique.

    use_faiss: search with faiss.IndexBinaryFlat, which needs bits divisible by 8; both ways return equal results.

    Raises GoldfoldError if k is not in [1, n], if numbers of bits differ, or if faiss is asked for and cannot.
    """
    if not 1 <= k <= len(database):
        raise GoldfoldError(
            "k_out_of_range", f"k is {k} and the index has {len(database)} codes: choose k in [1, {len(database)}]"
        )
    if not use_faiss:
        return _by_popcount(queries, database, k)
    if database.bits % 8:
        raise GoldfoldError(
            "bits_not_bytes",
            f"faiss searches codes whose bits are divisible by 8, and these have {database.bits}: choose bits such as "
            "64, or leave use_faiss out",
        )
    if find_spec("faiss") is None:
        raise GoldfoldError("faiss_missing", "faiss is not installed: pip install faiss-cpu, or leave use_faiss out")
    return _by_faiss(queries, database, k)


def tag_scores(
    similarities: np.ndarray,
    positions: np.ndarray,
    labels: np.ndarray,
    *,
    vote: Vote = "softmax",
    temperature: float = 0.07,
) -> np.ndarray:
    """Scores of labels from the labels of the nearest codes: sum of w_j * labels_j, float64 (q, c) in [0, 1].

    similarities, positions: (q, k), of the k nearest codes of a database, the nearest first. The similarity of hash
        codes is 1 - distance / bits. labels: bool (n, c), of the database.
    vote: weights of the neighbors, which sum to 1: softmax of the similarity divided by `temperature`, the same for all
        (uniform), or proportional to 1 / rank.
    """
    count, k = similarities.shape
    if vote == "softmax":
        similar = similarities / temperature
        weights = np.exp(similar - similar.max(axis=1, keepdims=True))
    else:
        weights = np.ones((count, k)) if vote == "uniform" else np.tile(1 / np.arange(1, k + 1), (count, 1))
    weights /= weights.sum(axis=1, keepdims=True)
    scores = np.empty((count, labels.shape[1]))
    for query, (own, near) in enumerate(zip(weights, positions, strict=True)):
        scores[query] = own @ labels[near]
    return scores.clip(0, 1)


def _by_popcount(queries: Codes, database: Codes, k: int) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, CHUNK_CELLS // max(len(database), 1) // 8)
    chunks = [Codes(queries.words[at : at + step], queries.bits) for at in range(0, len(queries), step)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy's loops run outside the interpreter lock
        parts = list(pool.map(partial(_nearest_of_chunk, database=database, k=k), chunks))
    found, positions = zip(*parts, strict=True)
    return np.concatenate(found), np.concatenate(positions)


def _nearest_of_chunk(queries: Codes, database: Codes, k: int) -> tuple[np.ndarray, np.ndarray]:
    chunk = distances(queries, database)
    positions = np.stack([_smallest(row, k) for row in chunk])
    return np.take_along_axis(chunk, positions, axis=1).astype(np.int32), positions


def _smallest(row: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k smallest values, ascending, equal ones by position.

    The k-th smallest of some of the values bounds that of all of them, so few values are sorted.
    """
    some = row[:: max(1, len(row) // max(SAMPLE, 8 * k))]
    bound = np.partition(some, k - 1)[k - 1]
    candidates = np.flatnonzero(row <= bound)
    return candidates[np.argsort(row[candidates], kind="stable")[:k]]


def _by_faiss(queries: Codes, database: Codes, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The same by faiss, which keeps the smaller positions of equal distances, but does not order them."""
    import faiss

    index = faiss.IndexBinaryFlat(database.bits)
    index.add(to_bytes(database))
    found, positions = index.search(to_bytes(queries), k)
    order = np.lexsort((positions, found), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(positions, order, axis=1)
