"""Whether features fall into groups that are the classes: k-means, and the purity of its clusters."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from goldfold.anomaly.class_routing import names
from goldfold.errors import GoldfoldError


@dataclass(frozen=True, kw_only=True)
class Purity:
    """How much of each of k clusters is of one class, n_kc of its n_k images being of class c; n in all, C classes.

    sizes: n_k. of_clusters: max_c n_kc / n_k, at least 1 / C, in the order of the clusters' numbers. majorities: that
        c, the first in sorted order of equals.
    overall: sum over k of max_c n_kc / n, the mean of `of_clusters` weighted by size.
    lowest, highest: what `overall` cannot go beyond, given the sizes of clusters and of classes, n_c. Lowest is the
        larger of max_c n_c / n and sum over k of ceil(n_k / C) / n: small clusters are pure by themselves, and n
        clusters have purity 1 whatever the classes. Highest is the share of the k largest classes: fewer clusters than
        classes must mix some.
    permuted: the mean of `overall` under permuted labels, which is its chance level. permuted_95: from the 2.5th to the
        97.5th percentile under them.
    """

    sizes: tuple[int, ...]
    of_clusters: tuple[float, ...]
    majorities: tuple[str, ...]
    classes: int
    overall: float
    lowest: float
    highest: float
    permuted: float
    permuted_95: tuple[float, float]
    permutations: int

    @property
    def lowest_of_cluster(self) -> float:
        """1 / C: the largest of C shares is no smaller."""
        return 1 / self.classes

    def __str__(self) -> str:
        """One line for a report."""
        low, high = self.permuted_95
        return (
            f"purity {self.overall:.4f} of {len(self.sizes)} clusters of {min(self.sizes):,} to {max(self.sizes):,} "
            f"images, single ones {min(self.of_clusters):.4f} to {max(self.of_clusters):.4f}; {self.classes} classes; "
            f"permuted labels {self.permuted:.4f} (95 % of {self.permutations} from {low:.4f} to {high:.4f}); possible "
            f"{self.lowest:.4f} to {self.highest:.4f}"
        )


def k_means(features: ArrayLike, k: int, *, seed: int = 0, n_init: int = 10) -> np.ndarray:
    """The cluster of every feature vector, int64 (n,), 0 to k - 1: the best of `n_init` starts by sum of squares.

    features: finite (n, d), n >= k >= 1. Raises GoldfoldError for others, and where fewer than `k` of them differ.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    vectors = np.asarray(features)
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise GoldfoldError(
            f"k-means needs vectors (n, d) without NaN or infinity, got {vectors.shape}; look at what made the features"
        )
    if not 1 <= k <= len(vectors) or n_init < 1:
        raise GoldfoldError(
            f"{len(vectors)} vectors make 1 to {len(vectors)} clusters in 1 or more starts, not {k} in {n_init}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            found = KMeans(k, n_init=n_init, random_state=seed).fit_predict(vectors)
        except ConvergenceWarning:
            raise GoldfoldError(
                f"{k} clusters need {k} features that differ, these {len(vectors)} have fewer; ask for fewer clusters, "
                "or look whether the features have collapsed"
            ) from None
    return found.astype(np.int64)


def purity(clusters: ArrayLike, labels: Iterable[str], *, permutations: int = 100, seed: int = 0) -> Purity:
    """How well clusters (n,), integers, and class names (n,) agree, beside what they would by chance.

    Permuted labels are drawn as what they amount to, a table of the counts n_kc with the same sums (Patefield 1981).

    Raises GoldfoldError for labels that are missing or no names (see `routing.names`), for one class only, where purity
    is 1 whatever the clusters, and for as many clusters as labels do not have.
    """
    from scipy.stats import random_table

    given, codes = np.unique(names(labels), return_inverse=True)
    numbers, members = _numbered(clusters, len(codes))
    if len(given) == 1:
        raise GoldfoldError(
            f"purity needs two classes or more, and all {len(codes)} labels are '{given[0]}'; look at how images and "
            "class names were matched"
        )
    if permutations < 1:
        raise GoldfoldError(f"labels must be permuted at least once, not {permutations} times; 100 is usual")
    counts = np.bincount(members * len(given) + codes, minlength=len(numbers) * len(given)).reshape(-1, len(given))
    sizes, of_classes = counts.sum(1), counts.sum(0)
    drawn = random_table(sizes, of_classes).rvs(permutations, random_state=np.random.default_rng(seed))
    by_chance = drawn.max(2).sum(1) / len(codes)
    return Purity(
        sizes=tuple(sizes.tolist()),
        of_clusters=tuple((counts.max(1) / sizes).tolist()),
        majorities=tuple(given[counts.argmax(1)].tolist()),
        classes=len(given),
        overall=float(counts.max(1).sum() / len(codes)),
        lowest=float(max(of_classes.max(), np.ceil(sizes / len(given)).sum()) / len(codes)),
        highest=float(np.sort(of_classes)[::-1][: len(sizes)].sum() / len(codes)),
        permuted=float(by_chance.mean()),
        permuted_95=tuple(np.quantile(by_chance, [0.025, 0.975]).tolist()),
        permutations=permutations,
    )


def _numbered(clusters: ArrayLike, count: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(clusters)
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise GoldfoldError(
            f"each of {count} labels needs one cluster, a whole number, got {values.dtype} {values.shape}; give both "
            "in the same order"
        )
    return np.unique(values, return_inverse=True)
