"""Product quantization: a code of 8 bits per sub-space, and asymmetric distances to codes.

A vector (d,) is cut into m parts of d / m numbers, and each part is coded by the number of its nearest centroid, of at
most 256 found by k-means in its sub-space: 8 m bits. The asymmetric distance of a query and a code is the squared
Euclidean distance of the query, which is not quantized, and the centroids that the code names (Jegou, Douze and Schmid,
Product Quantization for Nearest Neighbor Search, 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldfold.errors import GoldfoldError

CENTROIDS = 256  # of a sub-space, numbered by one byte
MOST_PER_CENTROID = 256  # training vectors; more are sampled
ITERATIONS = 25  # of k-means
CHUNK_CELLS = 2**24  # distances of one chunk


@dataclass(frozen=True)
class Quantizer:
    """The centroids of each sub-space, float32 (m, at most 256, d / m)."""

    centroids: np.ndarray

    @property
    def bits(self) -> int:
        """Bits of a code, 8 m."""
        return 8 * len(self.centroids)


def check(bits: int, width: int) -> None:
    """Check that vectors of `width` numbers can be coded by `bits` bits.

    Raises:
        GoldfoldError: `bits_not_bytes`; `width_not_divisible`, the parts of a vector would have different widths.
    """
    if bits < 8 or bits % 8:
        raise GoldfoldError(
            "bits_not_bytes",
            f"product quantization has 8 bits per sub-space, and bits is {bits}: choose a multiple of 8, such as 64",
        )
    if width % (bits // 8):
        raise GoldfoldError(
            "width_not_divisible",
            f"{bits} bits cut a vector into {bits // 8} parts, and its width {width} is not divisible by that: choose "
            f"bits such as {8 * np.gcd(bits // 8, width)}",
        )


def fit(vectors: np.ndarray, bits: int, seed: int) -> Quantizer:
    """Find the centroids of training vectors (n, d) by k-means; equal arguments give equal centroids.

    Of n < 256 vectors there are n centroids per sub-space. Of more than 65,536 vectors that many are drawn.

    Raises GoldfoldError as `check`.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    check(bits, vectors.shape[1])
    draw = np.random.default_rng(seed)
    if len(vectors) > CENTROIDS * MOST_PER_CENTROID:
        vectors = vectors[np.sort(draw.choice(len(vectors), CENTROIDS * MOST_PER_CENTROID, replace=False))]
    found = []
    with threadpool_limits(1):  # with several threads sums are added in any order
        for part in _parts(vectors, bits // 8):
            kinds = min(CENTROIDS, len(np.unique(part, axis=0)))
            means = KMeans(kinds, n_init=1, max_iter=ITERATIONS, random_state=int(draw.integers(2**31))).fit(part)
            found.append(_padded(means.cluster_centers_, min(CENTROIDS, len(part))))
    return Quantizer(np.stack(found).astype(np.float32))


def encode(quantizer: Quantizer, vectors: np.ndarray) -> np.ndarray:
    """Codes of vectors (n, d): uint8 (n, m), numbers of the nearest centroid of each part, the smallest of equals."""
    parts = _parts(vectors, len(quantizer.centroids))
    numbers = [_squared(part, own).argmin(axis=1) for part, own in zip(parts, quantizer.centroids, strict=True)]
    return np.stack(numbers, axis=1).astype(np.uint8)


def decode(quantizer: Quantizer, codes: np.ndarray) -> np.ndarray:
    """The vectors that codes (n, m) stand for, float32 (n, d)."""
    return np.concatenate([own[code] for own, code in zip(quantizer.centroids, codes.T, strict=True)], axis=1)


def distances(quantizer: Quantizer, queries: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Asymmetric squared distances of queries (q, d) to codes (n, m), float32 (q, n), at least 0."""
    found = np.zeros((len(queries), len(codes)), np.float32)
    parts = _parts(queries, len(quantizer.centroids))
    for part, own, code in zip(parts, quantizer.centroids, codes.T, strict=True):
        found += _squared(part, own)[:, code]
    return found


def nearest(quantizer: Quantizer, queries: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest codes of each query: distances float32 (q, k), ascending, and positions int64 (q, k).

    Of equal distances the smaller position comes first. k must be in [1, n].
    """
    step = max(1, CHUNK_CELLS // max(len(codes), 1))
    found, positions = [], []
    for at in range(0, len(queries), step):
        every = distances(quantizer, queries[at : at + step], codes)
        order = np.argsort(every, axis=1, kind="stable")[:, :k]
        found.append(np.take_along_axis(every, order, axis=1))
        positions.append(order)
    return np.concatenate(found), np.concatenate(positions)


def _parts(vectors: np.ndarray, count: int) -> list[np.ndarray]:
    return np.split(np.ascontiguousarray(vectors, np.float32), count, axis=1)


def _padded(centroids: np.ndarray, count: int) -> np.ndarray:
    """`count` centroids, the first one repeated; of equal ones only the first is ever the nearest."""
    return np.concatenate([centroids, np.repeat(centroids[:1], count - len(centroids), axis=0)])


def _squared(part: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Squared distances, float32 (n, centroids)."""
    sums = (part**2).sum(axis=1)[:, None] + (centroids**2).sum(axis=1)[None] - 2 * part @ centroids.T
    return np.maximum(sums, 0)
