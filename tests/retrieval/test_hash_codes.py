"""Hash codes against matrix products, stable sorts and scikit-learn; faiss where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, pairwise_distances

from goldfold.errors import GoldfoldError
from goldfold.retrieval.hashing import codes as hash_codes
from goldfold.retrieval.hashing import tied_ranks
from goldfold.retrieval.pairs import by_shared_label


def outputs(n: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.tanh(np.random.default_rng(seed).normal(size=(n, bits))).astype(np.float32)


@pytest.mark.parametrize("bits", [1, 7, 32, 64, 65, 128, 256, 300])
def test_distances_are_those_of_signs(bits: int) -> None:
    queries, database = outputs(9, bits), outputs(40, bits, seed=1)
    queries[0, 0] = 0.0  # no bit
    signs = [np.where(each > 0, 1, -1) for each in (queries, database)]
    expected = (bits - signs[0] @ signs[1].T) // 2
    found = hash_codes.distances(hash_codes.pack(queries), hash_codes.pack(database))
    assert np.array_equal(found, expected)
    assert np.array_equal(found, np.rint(pairwise_distances(queries > 0, database > 0, "hamming") * bits))


@pytest.mark.parametrize(("bits", "n", "k"), [(8, 9000, 20), (16, 9000, 500), (64, 9000, 1), (64, 30, 30), (12, 50, 7)])
def test_neighbors_are_those_of_a_stable_sort(bits: int, n: int, k: int) -> None:
    queries, database = hash_codes.pack(outputs(20, bits)), hash_codes.pack(np.sort(outputs(n, bits, 1), axis=0))
    every = hash_codes.distances(queries, database).astype(int)
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    found, positions = hash_codes.nearest(queries, database, k)
    assert np.array_equal(positions, order)
    assert np.array_equal(found, np.take_along_axis(every, order, axis=1))


def test_faiss_finds_the_same() -> None:
    pytest.importorskip("faiss", reason="faiss-cpu is an option")
    queries, database = hash_codes.pack(outputs(50, 16)), hash_codes.pack(outputs(20_000, 16, 1))
    own, other = (hash_codes.nearest(queries, database, 50, use_faiss=use_faiss) for use_faiss in (False, True))
    assert all(np.array_equal(*each) for each in zip(own, other, strict=True))


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("k_out_of_range", lambda codes: hash_codes.nearest(codes, codes, 11)),
        ("k_out_of_range", lambda codes: hash_codes.nearest(codes, codes, 0)),
        ("bits_not_bytes", lambda codes: hash_codes.nearest(codes, codes, 3, use_faiss=True)),
        ("code_lengths_differ", lambda codes: hash_codes.distances(codes, hash_codes.pack(outputs(3, 13)))),
        ("codes_not_a_matrix", lambda codes: hash_codes.pack(np.ones(3))),
        ("codes_not_finite", lambda codes: hash_codes.pack(np.full((3, 2), np.nan))),
        ("labels_not_binary", lambda codes: by_shared_label(np.array([[0, 2]]))),
    ],
)
def test_what_cannot_be_is_a_sentence(code: str, call) -> None:
    with pytest.raises(GoldfoldError) as error:
        call(hash_codes.pack(outputs(10, 12)))
    assert error.value.code == code


def test_votes_of_the_neighbors() -> None:
    """The example of a query whose neighbors are at distances 0, 2 and 2."""
    found, positions = np.array([[0, 2, 2]]), np.array([[3, 0, 1]])
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], bool)
    weights = np.exp(np.array([1, 1 - 2 / 8, 1 - 2 / 8]) / 0.07)
    weights /= weights.sum()
    softmax, uniform, rank = (
        hash_codes.tag_scores(1 - found / 8, positions, labels, vote=vote)[0] for vote in ("softmax", "uniform", "rank")
    )
    assert np.allclose(softmax, [weights[1] + weights[2], weights[0] + weights[2]])
    assert np.allclose(uniform, [2 / 3, 2 / 3])
    assert np.allclose(rank, np.array([1 / 2 + 1 / 3, 1 + 1 / 3]) / (1 + 1 / 2 + 1 / 3))


@pytest.mark.slow
def test_average_precision_over_random_orders_of_ties() -> None:
    labels = np.random.default_rng(2).random((60, 5)) < 0.3
    labels[labels.sum(axis=1) == 0, 0] = True
    codes = hash_codes.pack(np.concatenate([labels[:, :4], outputs(60, 4) > 0], axis=1))
    pairs = by_shared_label(labels, queries=np.arange(60) < 12)
    items, relevant = hash_codes.counts_by_distance(pairs, codes)
    assert (items.sum(axis=1) == 48).all()
    shared = (labels[:12].astype(int) @ labels[12:].T.astype(int)) > 0
    assert np.array_equal(relevant.sum(axis=1), shared.sum(axis=1))
    every = hash_codes.distances(hash_codes.Codes(codes.words[:12], 8), hash_codes.Codes(codes.words[12:], 8))
    generator = np.random.default_rng(0)
    drawn = [
        [average_precision_score(shared[at], -every[at].astype(int) - generator.random(48) / 2) for at in range(12)]
        for _ in range(300)
    ]
    expected = tied_ranks.average_precision(items, relevant).expected
    assert np.allclose(np.mean(drawn, axis=0), expected, atol=0.01)


def test_a_query_is_left_out_of_its_own_gallery() -> None:
    labels = np.ones((5, 1), bool)
    items, _ = hash_codes.counts_by_distance(by_shared_label(labels), hash_codes.pack(outputs(5, 8)))
    assert (items.sum(axis=1) == 4).all()
