"""Cluster purity: whether k-means clusters of features agree with the classes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from goldfold.anomaly.class_routing import class_names
from goldfold.errors import GoldfoldError


@dataclass(frozen=True, kw_only=True)
class Purity:
    """Purity of k clusters of n images of C classes, where n_kc of the n_k images of cluster k are of class c.

    sizes: n_k. per_cluster: max_c n_kc / n_k, at least 1 / C, in the order of the cluster numbers. majorities: that
        class c, the first in sorted order of equal ones.
    overall: sum over k of max_c n_kc / n, the mean of `per_cluster` weighted by size.
    lower_bound, upper_bound: the limits of `overall` for these sizes of clusters and of classes, n_c. The lower bound
        is the larger of max_c n_c / n and sum over k of ceil(n_k / C) / n: small clusters are pure by themselves, and n
        clusters have purity 1 whatever the classes. The upper bound is the share of the k largest classes: fewer
        clusters than classes must mix some.
    chance: the mean of `overall` under permuted labels. chance_95: its 2.5th and 97.5th percentile.
    """

    sizes: tuple[int, ...]
    per_cluster: tuple[float, ...]
    majorities: tuple[str, ...]
    classes: int
    overall: float
    lower_bound: float
    upper_bound: float
    chance: float
    chance_95: tuple[float, float]
    permutations: int


def k_means(features: ArrayLike, k: int, *, seed: int = 0, n_init: int = 10) -> np.ndarray:
    """K-means cluster of every feature vector, int64 (n,), 0 to k - 1: the best of `n_init` starts by sum of squares.

    features: finite (n, d), n >= k >= 1. Raises GoldfoldError for others, and if fewer than `k` of them are distinct.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    vectors = np.asarray(features)
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise GoldfoldError(
            "wrong_feature_shape",
            f"k-means needs vectors (n, d) without NaN or infinity, got {vectors.shape}: check the model that made the "
            "features",
        )
    if not 1 <= k <= len(vectors) or n_init < 1:
        raise GoldfoldError(
            "k_out_of_range",
            f"{len(vectors)} vectors make 1 to {len(vectors)} clusters in 1 or more starts, got k = {k} and n_init = "
            f"{n_init}: change them",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            found = KMeans(k, n_init=n_init, random_state=seed).fit_predict(vectors)
        except ConvergenceWarning:
            raise GoldfoldError(
                "too_few_distinct_features",
                f"{k} clusters need {k} distinct features, but these {len(vectors)} have fewer: use fewer clusters, or "
                "check whether the features have collapsed",
            ) from None
    return found.astype(np.int64)


def purity(clusters: ArrayLike, labels: Iterable[str], *, permutations: int = 100, seed: int = 0) -> Purity:
    """Purity of clusters (n,), integers, with respect to class names (n,), with its chance level and bounds.

    Permuted labels are tables as their contingency table: counts n_kc with the same sums (Patefield 1981).

    Raises GoldfoldError for missing labels or labels that are no names (see `class_routing.class_names`), for a single
    class, where purity is always 1, and for different numbers of clusters and labels.
    """
    from scipy.stats import random_table

    given, codes = np.unique(class_names(labels), return_inverse=True)
    numbers, members = _numbered(clusters, len(codes))
    if len(given) == 1:
        raise GoldfoldError(
            "metric_one_class",
            f"purity needs two or more classes, but all {len(codes)} labels are '{given[0]}': check how images and "
            "class names were matched",
        )
    if permutations < 1:
        raise GoldfoldError(
            "permutations_too_few", f"permutations must be at least 1, got {permutations}: 100 is usual"
        )
    counts = np.bincount(members * len(given) + codes, minlength=len(numbers) * len(given)).reshape(-1, len(given))
    sizes, of_classes = counts.sum(1), counts.sum(0)
    tables = random_table(sizes, of_classes).rvs(permutations, random_state=np.random.default_rng(seed))
    permuted = tables.max(2).sum(1) / len(codes)
    return Purity(
        sizes=tuple(sizes.tolist()),
        per_cluster=tuple((counts.max(1) / sizes).tolist()),
        majorities=tuple(given[counts.argmax(1)].tolist()),
        classes=len(given),
        overall=float(counts.max(1).sum() / len(codes)),
        lower_bound=float(max(of_classes.max(), np.ceil(sizes / len(given)).sum()) / len(codes)),
        upper_bound=float(np.sort(of_classes)[::-1][: len(sizes)].sum() / len(codes)),
        chance=float(permuted.mean()),
        chance_95=tuple(np.quantile(permuted, [0.025, 0.975]).tolist()),
        permutations=permutations,
    )


def _numbered(clusters: ArrayLike, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct cluster numbers, and the index of each row's cluster among them."""
    values = np.asarray(clusters)
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise GoldfoldError(
            "clusters_invalid",
            f"each of {count} labels needs one integer cluster, got {values.dtype} {values.shape}: give both in the "
            "same order",
        )
    return np.unique(values, return_inverse=True)
