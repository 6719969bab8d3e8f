"""Product quantization against its plain definition, and against faiss where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from error_codes import raises_code
from sklearn.metrics import pairwise_distances

from goldfold.retrieval.hashing import codebooks
from goldfold.retrieval.hashing import product_quantization as pq
from goldfold.retrieval.hashing.codes import pack

DRAW = np.random.default_rng(0)
VECTORS = (DRAW.normal(size=(8, 24)) * 3)[DRAW.integers(0, 8, 700)] + DRAW.normal(size=(700, 24))
VECTORS = VECTORS.astype(np.float32)


@pytest.fixture(scope="module")
def quantizer() -> pq.Quantizer:
    return pq.fit(VECTORS, 24, seed=3)


def test_codes_name_the_nearest_centroid_of_each_part(quantizer) -> None:
    found = pq.encode(quantizer, VECTORS[:50])
    for part in range(3):
        own = VECTORS[:50, 8 * part : 8 * part + 8]
        assert np.array_equal(found[:, part], pairwise_distances(own, quantizer.centroids[part]).argmin(axis=1))
    assert found.dtype == np.uint8
    assert quantizer.bits == 24


def test_distances_are_those_to_the_decoded_vectors(quantizer) -> None:
    codes = pq.encode(quantizer, VECTORS[100:])
    decoded = pq.decode(quantizer, codes)
    wanted = pairwise_distances(VECTORS[:20], decoded, "sqeuclidean")
    assert np.allclose(pq.distances(quantizer, VECTORS[:20], codes), wanted, atol=1e-3)
    found, positions = pq.nearest(quantizer, VECTORS[:20], codes, 15)
    assert np.allclose(found, np.sort(wanted, axis=1)[:, :15], atol=1e-3)
    assert np.allclose(np.take_along_axis(wanted, positions, axis=1), found, atol=1e-3)


def test_equal_distances_are_ordered_by_position(quantizer) -> None:
    codes = np.repeat(pq.encode(quantizer, VECTORS[:3]), 4, axis=0)
    _, positions = pq.nearest(quantizer, VECTORS[:1], codes, 12)
    assert positions[0, :4].tolist() == [0, 1, 2, 3]


def test_more_bits_reconstruct_better_and_a_seed_repeats() -> None:
    errors = []
    for bits in (8, 24, 96):
        made = pq.fit(VECTORS, bits, seed=1)
        errors.append(((pq.decode(made, pq.encode(made, VECTORS)) - VECTORS) ** 2).mean())
    assert errors[0] > errors[1] > errors[2]
    one, same, other = (pq.fit(VECTORS, 24, seed).centroids for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_few_and_equal_vectors() -> None:
    few = np.repeat(VECTORS[:5], 4, axis=0)
    made = pq.fit(few, 24, seed=0)
    assert np.allclose(pq.decode(made, pq.encode(made, few)), few, atol=1e-5)


def test_faiss_makes_the_same_codes_of_the_same_centroids(quantizer) -> None:
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is an option")
    index = faiss.IndexPQ(24, 3, 8)
    faiss.copy_array_to_vector(quantizer.centroids.ravel(), index.pq.centroids)
    index.is_trained = True
    index.add(VECTORS)
    codes = faiss.vector_to_array(index.codes).reshape(-1, 3)
    assert np.array_equal(codes, pq.encode(quantizer, VECTORS))
    distances, _ = index.search(VECTORS[:10], 5)
    assert np.allclose(distances, pq.nearest(quantizer, VECTORS[:10], codes, 5)[0], rtol=1e-3)


def test_what_cannot_be_quantized() -> None:
    with raises_code("bits_not_bytes", "bits is 12", "multiple of 8"):
        pq.fit(VECTORS, 12, 0)
    with raises_code("width_not_divisible", "40 bits", "5 parts", "width 24"):
        pq.fit(VECTORS, 40, 0)


def test_codebooks_agree_with_their_definitions() -> None:
    signs, outputs = codebooks.Signs(12), VECTORS[:60, :12]
    codes = signs.encode(outputs)
    bits = outputs > 0
    assert np.array_equal(np.unpackbits(codes, axis=1)[:, :12], bits)
    hamming = (bits[:5, None] != bits[None]).sum(axis=2)
    assert np.array_equal(signs.distances(outputs[:5], codes), hamming)
    similarities, positions = signs.nearest(outputs[:5], codes, 9)
    assert np.allclose(similarities, 1 - np.sort(hamming, axis=1)[:, :9] / 12)
    assert np.array_equal(positions, np.argsort(hamming, axis=1, kind="stable")[:, :9])
    products = codebooks.products(VECTORS, 96, seed=0)
    similarities, positions = products.nearest(VECTORS[:5], products.encode(VECTORS), 9)
    lengths = np.linalg.norm(VECTORS, axis=1)
    cosines = VECTORS[:5] @ VECTORS.T / lengths[:5, None] / lengths
    assert np.allclose(similarities, np.take_along_axis(cosines, positions, axis=1), atol=0.1)
    assert pack(outputs).bits == signs.bits
