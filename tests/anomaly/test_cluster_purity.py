"""Clusters: purity against scikit-learn and all labellings there are, its bounds, and labels that are none."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.cluster import contingency_matrix

from goldfold.anomaly import cluster_purity
from goldfold.errors import GoldfoldError

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
    assert purity.of_clusters == pytest.approx(table.max(0) / table.sum(0))
    assert purity.sizes == tuple(table.sum(0))
    assert purity.majorities == tuple(np.unique(labels)[table.argmax(0)])
    assert purity.overall == pytest.approx(table.max(0).sum() / 600)
    assert purity.overall == pytest.approx(np.average(purity.of_clusters, weights=purity.sizes))
    assert purity.permuted_95[1] < purity.overall


def test_pure_and_mixed_clusters():
    labels = ["a", "a", "b", "b"]
    assert cluster_purity.purity([7, 7, 3, 3], labels).of_clusters == (1.0, 1.0)
    assert cluster_purity.purity([7, 7, 3, 3], labels).majorities == ("b", "a")
    assert cluster_purity.purity([0, 1, 0, 1], labels).overall == 0.5


def test_permuted_labels_are_permuted_labels():
    draw = np.random.default_rng(1)
    found, labels = draw.integers(0, 6, 3000), draw.choice(OBJECTS, 3000)
    by_hand = [overall(found, draw.permutation(labels)) for _ in range(2000)]
    purity = cluster_purity.purity(found, labels, permutations=2000)
    error = np.std(by_hand) * np.sqrt(2 / 2000)
    assert purity.permuted == pytest.approx(np.mean(by_hand), abs=4 * error)
    low, high = purity.permuted_95
    assert np.mean([low <= each <= high for each in by_hand]) == pytest.approx(0.95, abs=0.02)


def test_the_mean_under_permuted_labels_is_that_of_all_permutations():
    found, labels = np.array([0, 0, 0, 1, 1, 2, 2]), np.array(["a", "a", "a", "b", "b", "c", "c"])
    exact = np.mean([overall(found, np.array(each)) for each in set(permutations(labels))])
    assert cluster_purity.purity(found, labels, permutations=20_000).permuted == pytest.approx(exact, abs=0.004)


def test_a_seed_gives_the_same_permutations_and_another_gives_others():
    found, labels = drawn()
    assert cluster_purity.purity(found, labels) == cluster_purity.purity(found, labels)
    assert cluster_purity.purity(found, labels).permuted != cluster_purity.purity(found, labels, seed=1).permuted


def test_no_labelling_of_seven_images_goes_beyond_the_bounds():
    met = {"lowest": 0, "highest": 0, "cluster": 0}
    for sizes in [(7,), (4, 3), (3, 2, 2), (1,) * 7]:
        found = np.repeat(np.arange(len(sizes)), sizes)
        for labels in product("abc", repeat=7):
            if labels[0] != "a" or len(set(labels)) == 1:
                continue
            purity = cluster_purity.purity(found, labels, permutations=1)
            assert purity.lowest <= purity.overall <= purity.highest
            assert purity.lowest >= max(map(labels.count, "abc")) / 7
            assert min(purity.of_clusters) >= purity.lowest_of_cluster == 1 / len(set(labels))
            met["lowest"] += purity.overall == purity.lowest
            met["highest"] += purity.overall == purity.highest
            met["cluster"] += min(purity.of_clusters) == purity.lowest_of_cluster
    assert min(met.values()) > 100  # each is reached, so none could be tighter in general


def test_one_cluster_is_the_share_of_the_largest_class_and_one_each_is_pure():
    labels = ["a"] * 5 + ["b"] * 3 + ["c"] * 2
    whole = cluster_purity.purity([0] * 10, labels)
    assert whole.overall == whole.lowest == whole.highest == whole.permuted == 0.5
    single = cluster_purity.purity(range(10), labels)
    assert single.overall == single.lowest == single.permuted == 1.0
    assert cluster_purity.purity([0] * 5 + [1] * 5, labels).highest == 0.8  # two clusters, three classes


def test_purity_below_one_percent_cannot_be():
    """Of fifteen shares the largest is at least 1/15, however little the features know."""
    found, labels = drawn(images=15_000)
    purity = cluster_purity.purity(found, labels)
    assert purity.lowest_of_cluster == pytest.approx(1 / 15)
    assert min(purity.of_clusters) >= 1 / 15
    assert purity.overall >= purity.lowest > 1 / 15
    assert purity.permuted_95[0] - 0.005 < purity.overall < purity.permuted_95[1] + 0.005


@pytest.mark.parametrize("missing", [None, np.nan, float("nan"), pd.NA, ""])
def test_labels_that_were_never_resolved_give_no_number(missing):
    for labels in ([missing] * 4, ["a", "b", "a", missing]):
        with pytest.raises(GoldfoldError, match=r"of 4 are not, first .*how images and class names were matched"):
            cluster_purity.purity([0, 0, 1, 1], labels)


def test_a_mapping_that_matches_no_file_gives_no_number():
    files = pd.Series(["000.png", "001.png", "002.png"])
    with pytest.raises(GoldfoldError, match="3 of 3 are not, first nan"):
        cluster_purity.purity([0, 1, 1], files.map({"train/000.png": "地毯", "train/001.png": "牙刷"}))


@pytest.mark.parametrize(
    ("found", "labels", "more", "sentence"),
    [
        ([0, 1, 1], ["unknown"] * 3, {}, "two classes or more, and all 3 labels are 'unknown'"),
        ([], [], {}, "at least one class and there is none"),
        ([0, 1], ["a", "b", "b"], {}, r"each of 3 labels needs one cluster, a whole number, got int64 \(2,\)"),
        ([0.0, np.nan], ["a", "b"], {}, "got float64"),
        ([0, 1], ["a", "b"], {"permutations": 0}, "not 0 times"),
    ],
)
def test_what_has_no_purity_is_refused(found, labels, more, sentence):
    with pytest.raises(GoldfoldError, match=sentence):
        cluster_purity.purity(found, labels, **more)


def test_the_line_says_value_chance_and_range():
    purity = cluster_purity.purity([0, 0, 0, 0, 1, 1, 1, 1], ["地毯"] * 3 + ["牙刷"] * 5)
    low, high = purity.permuted_95
    assert str(purity) == (
        "purity 0.8750 of 2 clusters of 4 to 4 images, single ones 0.7500 to 1.0000; 2 classes; permuted labels "
        f"{purity.permuted:.4f} (95 % of 100 from {low:.4f} to {high:.4f}); possible 0.6250 to 1.0000"
    )


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
    ("features", "k", "sentence"),
    [
        (np.ones((5, 3)), 2, "2 clusters need 2 features that differ, these 5 have fewer.*collapsed"),
        (np.ones((5, 3)), 6, "5 vectors make 1 to 5 clusters in 1 or more starts, not 6"),
        (np.ones((5, 3)), 0, "not 0"),
        (np.ones(5), 1, r"without NaN or infinity, got \(5,\)"),
        (np.empty((0, 3)), 1, r"got \(0, 3\)"),
        (np.full((5, 3), np.nan), 2, "without NaN or infinity"),
    ],
)
def test_features_that_cannot_be_clustered_are_refused(features, k, sentence):
    with pytest.raises(GoldfoldError, match=sentence):
        cluster_purity.k_means(features, k)
