"""Clusters: purity against scikit-learn and all labelings there are, its bounds, and labels that are none."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from sklearn.metrics.cluster import contingency_matrix

from goldfold.anomaly import cluster_purity

OBJECTS = [f"类{number}" for number in range(15)]


def drawn(seed: int = 0, images: int = 600, k: int = 15) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.integers(0, k, images), draw.choice(OBJECTS, images, p=draw.dirichlet(np.full(15, 3)))


def overall(found: np.ndarray, labels: np.ndarray) -> float:
    return contingency_matrix(labels, found).max(0).sum() / len(labels)


def test_purity_is_the_contingency_matrix_s():
    found, labels = drawn()
    labels = np.where(np.arange(600) % 3 == 0, np.array(OBJECTS)[found], labels)
    table = contingency_matrix(labels, found)  # classes x clusters
    purity = cluster_purity.purity(found, labels)
    assert purity.per_cluster == pytest.approx(table.max(0) / table.sum(0))
    assert purity.sizes == tuple(table.sum(0))
    assert purity.majorities == tuple(np.unique(labels)[table.argmax(0)])
    assert purity.overall == pytest.approx(table.max(0).sum() / 600)
    assert purity.overall == pytest.approx(np.average(purity.per_cluster, weights=purity.sizes))
    assert purity.chance_95[1] < purity.overall


def test_pure_and_mixed_clusters():
    labels = ["a", "a", "b", "b"]
    assert cluster_purity.purity([7, 7, 3, 3], labels).per_cluster == (1.0, 1.0)
    assert cluster_purity.purity([7, 7, 3, 3], labels).majorities == ("b", "a")
    assert cluster_purity.purity([0, 1, 0, 1], labels).overall == 0.5


def test_permuted_labels_are_permuted_labels():
    draw = np.random.default_rng(1)
    found, labels = draw.integers(0, 6, 3000), draw.choice(OBJECTS, 3000)
    by_hand = [overall(found, draw.permutation(labels)) for _ in range(2000)]
    purity = cluster_purity.purity(found, labels, permutations=2000)
    error = np.std(by_hand) * np.sqrt(2 / 2000)
    assert purity.chance == pytest.approx(np.mean(by_hand), abs=4 * error)
    low, high = purity.chance_95
    assert np.mean([low <= each <= high for each in by_hand]) == pytest.approx(0.95, abs=0.02)


def test_the_mean_under_permuted_labels_is_that_of_all_permutations():
    found, labels = np.array([0, 0, 0, 1, 1, 2, 2]), np.array(["a", "a", "a", "b", "b", "c", "c"])
    exact = np.mean([overall(found, np.array(each)) for each in set(permutations(labels))])
    assert cluster_purity.purity(found, labels, permutations=20_000).chance == pytest.approx(exact, abs=0.004)


def test_a_seed_gives_the_same_permutations_and_another_gives_others():
    found, labels = drawn()
    assert cluster_purity.purity(found, labels) == cluster_purity.purity(found, labels)
    assert cluster_purity.purity(found, labels).chance != cluster_purity.purity(found, labels, seed=1).chance


def test_no_labeling_of_seven_images_goes_beyond_the_bounds():
    met = {"lower": 0, "upper": 0, "cluster": 0}
    for sizes in [(7,), (4, 3), (3, 2, 2), (1,) * 7]:
        found = np.repeat(np.arange(len(sizes)), sizes)
        for labels in product("abc", repeat=7):
            if labels[0] != "a" or len(set(labels)) == 1:
                continue
            purity = cluster_purity.purity(found, labels, permutations=1)
            assert purity.lower_bound <= purity.overall <= purity.upper_bound
            assert purity.lower_bound >= max(map(labels.count, "abc")) / 7
            assert min(purity.per_cluster) >= 1 / len(set(labels))
            met["lower"] += purity.overall == purity.lower_bound
            met["upper"] += purity.overall == purity.upper_bound
            met["cluster"] += min(purity.per_cluster) == 1 / len(set(labels))
    assert min(met.values()) > 100  # each is reached, so none could be tighter in general


def test_one_cluster_is_the_share_of_the_largest_class_and_one_each_is_pure():
    labels = ["a"] * 5 + ["b"] * 3 + ["c"] * 2
    whole = cluster_purity.purity([0] * 10, labels)
    assert whole.overall == whole.lower_bound == whole.upper_bound == whole.chance == 0.5
    single = cluster_purity.purity(range(10), labels)
    assert single.overall == single.lower_bound == single.chance == 1.0
    assert cluster_purity.purity([0] * 5 + [1] * 5, labels).upper_bound == 0.8  # two clusters, three classes


def test_purity_below_one_percent_cannot_be():
    """Of fifteen shares the largest is at least 1/15, however little the features know."""
    found, labels = drawn(images=15_000)
    purity = cluster_purity.purity(found, labels)
    assert min(purity.per_cluster) >= 1 / 15
    assert purity.overall >= purity.lower_bound > 1 / 15
    assert purity.chance_95[0] - 0.005 < purity.overall < purity.chance_95[1] + 0.005


@pytest.mark.parametrize("missing", [None, np.nan, float("nan"), pd.NA, ""])
def test_labels_that_were_never_resolved_give_no_number(missing):
    for labels in ([missing] * 4, ["a", "b", "a", missing]):
        with raises_code("class_name_invalid", "of 4"):
            cluster_purity.purity([0, 0, 1, 1], labels)


def test_a_mapping_that_matches_no_file_gives_no_number():
    files = pd.Series(["000.png", "001.png", "002.png"])
    with raises_code("class_name_invalid", "3 of 3", "nan"):
        cluster_purity.purity([0, 1, 1], files.map({"train/000.png": "地毯", "train/001.png": "牙刷"}))


@pytest.mark.parametrize(
    ("found", "labels", "more", "code", "fact"),
    [
        ([0, 1, 1], ["unknown"] * 3, {}, "metric_one_class", "all 3 labels are 'unknown'"),
        ([], [], {}, "no_classes", "none"),
        ([0, 1], ["a", "b", "b"], {}, "clusters_invalid", "int64 (2,)"),
        ([0.0, np.nan], ["a", "b"], {}, "clusters_invalid", "float64"),
        ([0, 1], ["a", "b"], {"permutations": 0}, "permutations_too_few", "got 0"),
    ],
)
def test_what_has_no_purity_is_refused(found, labels, more, code, fact):
    with raises_code(code, fact):
        cluster_purity.purity(found, labels, **more)


def test_value_and_bounds_of_a_small_example():
    purity = cluster_purity.purity([0, 0, 0, 0, 1, 1, 1, 1], ["地毯"] * 3 + ["牙刷"] * 5)
    assert (purity.overall, purity.per_cluster) == (0.875, (0.75, 1.0))
    assert (purity.lower_bound, purity.upper_bound) == (0.625, 1.0)


def test_k_means_finds_the_best_of_all_partitions():
    points = np.random.default_rng(4).normal(size=(8, 2))

    def spread(found: np.ndarray) -> float:
        return sum(((points[found == c] - points[found == c].mean(0)) ** 2).sum() for c in set(found.tolist()))

    best = min(spread(np.array(each)) for each in product(range(3), repeat=8) if len(set(each)) == 3)
    found = cluster_purity.k_means(points, 3, n_init=20)
    assert spread(found) == pytest.approx(best)
    assert found.dtype == np.int64
    assert set(found) == {0, 1, 2}


def test_k_means_repeats_for_a_seed_and_finds_planted_groups():
    draw = np.random.default_rng(0)
    labels = np.repeat(OBJECTS, 20)
    features = draw.normal(size=(15, 32))[np.repeat(np.arange(15), 20)] + 0.1 * draw.normal(size=(300, 32))
    found = cluster_purity.k_means(features.astype(np.float16), 15, seed=3)
    assert np.array_equal(found, cluster_purity.k_means(features.astype(np.float16), 15, seed=3))
    assert cluster_purity.purity(found, labels).overall == 1.0


@pytest.mark.parametrize(
    ("features", "k", "code", "fact"),
    [
        (np.ones((5, 3)), 2, "too_few_distinct_features", "these 5"),
        (np.ones((5, 3)), 6, "k_out_of_range", "k = 6"),
        (np.ones((5, 3)), 0, "k_out_of_range", "k = 0"),
        (np.ones(5), 1, "wrong_feature_shape", "(5,)"),
        (np.empty((0, 3)), 1, "wrong_feature_shape", "(0, 3)"),
        (np.full((5, 3), np.nan), 2, "wrong_feature_shape", "NaN"),
    ],
)
def test_features_that_cannot_be_clustered_are_refused(features, k, code, fact):
    with raises_code(code, fact):
        cluster_purity.k_means(features, k)
