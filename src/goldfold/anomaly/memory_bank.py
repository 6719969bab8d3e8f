"""Exact nearest neighbors in a memory bank of normal features, in bounded memory, and anomaly scores from them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from goldfold.errors import GoldfoldError

MEMORY = 64  # MiB that `nearest` needs beside its arguments and its result
BLOCK = 2**20  # numbers in one temporary array, small enough for the processor's cache
QUERIES = 256


def nearest(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` nearest rows of the memory bank for every query.

    queries: float (q, d), q may be 0. bank: float (m, d) on the same device, m >= k >= 1.
    Returns Euclidean distances, float32 (q, k), ascending, and row positions, int64 (q, k).

    Every pair is compared. Neighbors are ranked by |c|² - 2x·c around the mean of the bank. The distances returned are
    computed from the differences, so a query that is in the bank has distance 0. Rows whose squared distances differ by
    less than rounding (about 1e-6 of the squared distance to the mean) may change places. Beside arguments and result
    it needs less than `MEMORY` MiB, up to about 4,000 dimensions.

    Raises GoldfoldError for an empty bank, different widths, values that are not finite and a `k` out of range.
    """
    _check(queries, bank, k)
    keys = torch.full((len(queries), k), torch.inf, device=bank.device)
    positions = torch.zeros_like(keys, dtype=torch.int64)
    origin = bank.mean(0, dtype=torch.float32)
    for rows in _slices(len(bank), BLOCK // max(QUERIES, bank.shape[1])):
        block = bank[rows].float() - origin  # far from zero, squares would cancel the differences
        norms = block.square().sum(1)
        for chunk in _slices(len(queries), QUERIES):
            key = torch.addmm(norms, queries[chunk].float() - origin, block.T, alpha=-2)
            found, where = _smallest(key, min(k, len(block)))
            where = torch.cat([positions[chunk], where + rows.start], 1)
            keys[chunk], order = _smallest(torch.cat([keys[chunk], found], 1), k)
            positions[chunk] = where.gather(1, order)
    distances, order = _distances(queries, bank, positions).sort(1)
    return distances, positions.gather(1, order)


def image_scores(patches: Tensor, bank: Tensor, neighbors: int = 9) -> tuple[Tensor, Tensor]:
    """PatchCore's anomaly score of every image, and the distance of each patch to the memory bank.

    patches: float (n, p, d), p >= 1: the patch features of n images. bank: float (m, d), m >= 1.
    neighbors: b, the number of bank rows, nearest to the nearest one, that give the weight; all m if the bank has
        fewer.
    Returns scores, float32 (n,), and distances, float32 (n, p).

    In an image, let x be the patch farthest from the bank, c its nearest row and s their distance. The score is
    (1 - exp|x - c| / sum of exp|x - c'| over the b rows c' nearest to c, c included) · s. It weighs s down where normal
    features are sparse (Roth et al. 2022, equations 6 and 7). One neighbor gives no weight: with `neighbors` = 1, or
    one bank row, the score is s itself.

    Raises GoldfoldError as `nearest` does, and for images without patches.
    """
    if patches.ndim != 3 or patches.shape[1] == 0:
        raise GoldfoldError(
            "wrong_feature_shape",
            f"patches must be (images, patches, width) with at least one patch, got {tuple(patches.shape)}: give one "
            "row of patches per image",
        )
    if neighbors < 1:
        raise GoldfoldError(
            "neighbors_out_of_range", f"neighbors must be at least 1, got {neighbors}: PatchCore uses 9"
        )
    distances, positions = (found.view(patches.shape[:2]) for found in nearest(patches.flatten(0, 1), bank, 1))
    images = torch.arange(len(patches), device=patches.device)
    scores, worst = distances.max(1)
    if min(neighbors, len(bank)) == 1:
        return scores, distances
    centers = bank[positions[images, worst]]
    _, around = nearest(centers, bank, min(neighbors, len(bank)))
    shares = _distances(patches[images, worst], bank, around).softmax(1)
    return (1 - shares[:, 0]) * scores, distances


def vector_scores(features: Tensor, bank: Tensor, neighbors: int = 1) -> Tensor:
    """Anomaly score of one vector per image, float32 (n,): the mean squared difference to the nearest bank rows.

    features: float (n, d). bank: float (m, d), m >= neighbors. neighbors: the mean over so many rows.
    Raises GoldfoldError as `nearest` does.
    """
    distances, _ = nearest(features, bank, neighbors)
    return distances.square().mean(1) / bank.shape[1]


def check_features(name: str, features: Tensor) -> None:
    """Raise GoldfoldError unless `features` is (rows, width), both at least 1, and its sum of squares is finite.

    name: what the features are, for the message.
    """
    if features.ndim != 2 or 0 in features.shape:
        raise GoldfoldError(
            "wrong_feature_shape",
            f"the {name} must be (rows, width) with at least one row, got {tuple(features.shape)}: check the images it "
            "was made from",
        )
    wide = torch.promote_types(features.dtype, torch.float32)  # the norm of many float16 values overflows float16
    if not torch.linalg.vector_norm(features, dtype=wide).isfinite():
        raise GoldfoldError(
            "features_not_finite",
            f"the {name} must be finite, but holds NaN or infinity: check its images, or use float32",
        )


def _check(queries: Tensor, bank: Tensor, k: int) -> None:
    check_features("memory bank", bank)
    if queries.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise GoldfoldError(
            "feature_width_differs",
            f"queries must be as wide as the memory bank, ({bank.shape[1]}), got {tuple(queries.shape)}: use the same "
            "backbone and layers for both",
        )
    if len(queries):
        check_features("array of queries", queries)
    if not 1 <= k <= len(bank):
        raise GoldfoldError(
            "neighbors_out_of_range",
            f"neighbors must be between 1 and the {len(bank)} rows of the memory bank, got {k}: change it",
        )


def _slices(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `count` positions."""
    size = max(1, size)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` smallest values of every row, ascending, and their columns."""
    if k == 1:
        return values.min(1, keepdim=True)  # several times as fast as topk
    return values.topk(k, largest=False)


def _distances(queries: Tensor, bank: Tensor, positions: Tensor) -> Tensor:
    """Distances |query - bank row| for the rows at `positions` (q, k), from the differences."""
    distances = torch.empty(positions.shape, device=bank.device)
    for chunk in _slices(len(queries), BLOCK // (positions.shape[1] * bank.shape[1])):
        differences = bank[positions[chunk]].float() - queries[chunk, None].float()
        distances[chunk] = torch.linalg.vector_norm(differences, dim=2)
    return distances
