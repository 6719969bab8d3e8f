"""Exact nearest neighbors in a memory bank of normal features, in bounded memory, and anomaly scores from them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from goldfold.errors import GoldfoldError

MEMORY = 64  # MiB that `nearest` needs beside what it is given and what it returns
BLOCK = 2**20  # numbers in one array on the way: small enough for the processor's cache
QUERIES = 256


def nearest(queries: Tensor, library: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` nearest library rows of every query: distances, float32 (q, k), ascending; positions, int64 (q, k).

    queries: float (q, d), q may be 0. library: float (m, d) on the same device, m >= k >= 1. Distances are Euclidean.

    Every pair is compared. Neighbors are ranked by |c|² - 2x·c around the library's mean; the distances returned are
    those of the differences themselves, so that a row that is in the library has distance 0. Rows whose squared
    distances differ by less than rounding (about 1e-6 of the squared distance to the mean) may change places. Needs
    less than `MEMORY` MiB beside its arguments and its result, up to some 4,000 dimensions.

    Raises GoldfoldError for an empty library, widths that differ, values that are not finite and a `k` out of range.
    """
    _check(queries, library, k)
    keys = torch.full((len(queries), k), torch.inf, device=library.device)
    positions = torch.zeros_like(keys, dtype=torch.int64)
    origin = library.mean(0, dtype=torch.float32)
    for rows in _slices(len(library), BLOCK // max(QUERIES, library.shape[1])):
        block = library[rows].float() - origin  # far from zero the squares would swallow the differences
        norms = block.square().sum(1)
        for some in _slices(len(queries), QUERIES):
            key = torch.addmm(norms, queries[some].float() - origin, block.T, alpha=-2)
            found, where = _smallest(key, min(k, len(block)))
            where = torch.cat([positions[some], where + rows.start], 1)
            keys[some], order = _smallest(torch.cat([keys[some], found], 1), k)
            positions[some] = where.gather(1, order)
    distances, order = _distances(queries, library, positions).sort(1)
    return distances, positions.gather(1, order)


def image_scores(patches: Tensor, library: Tensor, neighbors: int = 9) -> tuple[Tensor, Tensor]:
    """PatchCore's score of every image, float32 (n,), and the distance of each patch to the library, float32 (n, p).

    patches: float (n, p, d), p >= 1: the patch features of n images. library: float (m, d), m >= 1.
    neighbors: b, how many library rows nearest to the nearest one give the weight; all m if the library has fewer.

    Of an image, let x be the patch farthest from the library, c its nearest row and s their distance. The score is
    (1 - exp|x - c| / sum of exp|x - c'| over the b rows c' nearest to c, itself among them) · s: the same distance says
    less where normal features are sparse (Roth et al. 2022, equations 6 and 7). One neighbor cannot weigh anything:
    with `neighbors` = 1, or one library row, the score is s itself.

    Raises GoldfoldError as `nearest` does, and for images without patches.
    """
    if patches.ndim != 3 or patches.shape[1] == 0:
        raise GoldfoldError(
            f"patches must be (images, patches, width) with at least one patch, they are {tuple(patches.shape)}; "
            "give one row of patches per image"
        )
    if neighbors < 1:
        raise GoldfoldError(f"neighbors must be at least 1, it is {neighbors}; 9 is PatchCore's choice")
    distances, positions = (found.view(patches.shape[:2]) for found in nearest(patches.flatten(0, 1), library, 1))
    images = torch.arange(len(patches), device=patches.device)
    scores, worst = distances.max(1)
    if min(neighbors, len(library)) == 1:
        return scores, distances
    centres = library[positions[images, worst]]
    _, around = nearest(centres, library, min(neighbors, len(library)))
    shares = _distances(patches[images, worst], library, around).softmax(1)
    return (1 - shares[:, 0]) * scores, distances


def vector_scores(features: Tensor, library: Tensor, neighbors: int = 1) -> Tensor:
    """Mean squared difference to the nearest library row, or its mean over the nearest few: float32 (n,).

    features: float (n, d), a vector per image. library: float (m, d), m >= neighbors. Raises as `nearest` does.
    """
    distances, _ = nearest(features, library, neighbors)
    return distances.square().mean(1) / library.shape[1]


def check_features(name: str, features: Tensor) -> None:
    """Raise GoldfoldError unless `features` is (rows, width), both at least 1, and its sum of squares is finite."""
    if features.ndim != 2 or 0 in features.shape:
        raise GoldfoldError(
            f"the {name} must be (rows, width) with at least one row, it is {tuple(features.shape)}; "
            "look at the images it was made from"
        )
    wide = torch.promote_types(features.dtype, torch.float32)  # the norm of many halves is beyond half precision
    if not torch.linalg.vector_norm(features, dtype=wide).isfinite():
        raise GoldfoldError(f"the {name} must be finite, it is not; look at what made it or lower the precision")


def _check(queries: Tensor, library: Tensor, k: int) -> None:
    check_features("library of features", library)
    if queries.ndim != 2 or queries.shape[1] != library.shape[1]:
        raise GoldfoldError(
            f"queries must be as wide as the library, ({library.shape[1]}), they are {tuple(queries.shape)}; "
            "make both with the same backbone and layers"
        )
    if len(queries):
        check_features("array of queries", queries)
    if not 1 <= k <= len(library):
        raise GoldfoldError(f"neighbors must be from 1 to the {len(library)} rows of the library, not {k}; change it")


def _slices(count: int, size: int) -> Iterator[slice]:
    size = max(1, size)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k == 1:
        return values.min(1, keepdim=True)  # several times as fast as topk
    return values.topk(k, largest=False)


def _distances(queries: Tensor, library: Tensor, positions: Tensor) -> Tensor:
    """|query - library row| for the rows at `positions` (q, k), by differences."""
    distances = torch.empty(positions.shape, device=library.device)
    for some in _slices(len(queries), BLOCK // (positions.shape[1] * library.shape[1])):
        differences = library[positions[some]].float() - queries[some, None].float()
        distances[some] = torch.linalg.vector_norm(differences, dim=2)
    return distances
