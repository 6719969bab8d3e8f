"""Normalization, concatenation of fits, and histograms of cosines, against numpy."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
import torch
from made_embeddings import CAMERAS, GAUSSIAN, LABELS, RNG, N, cosines_of

from goldfold.errors import GoldfoldError
from goldfold.retrieval.cosines import (
    concatenate_fits,
    normalize,
    similarity_histogram,
)
from goldfold.retrieval.exact_ranks import average_precisions
from goldfold.retrieval.pairs import by_label
from goldfold.retrieval.search import nearest


def test_normalized_rows_have_length_1_or_0():
    wide = np.array([[3e38, -3e38], [1e-40, 0], [0, 0], [3, 4]], np.float32)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(normalize(wide), [[half, -half], [1, 0], [0, 0], [0.6, 0.8]], rtol=1e-6)
    for kind in (np.float64, np.float16, np.int8):
        found = normalize(np.array([[3, 4], [0, 0]], kind))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    given = torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16, requires_grad=True)
    assert isinstance(normalize(given), torch.Tensor)
    assert not normalize(given).requires_grad
    frozen = np.ones((2, 2))
    frozen.setflags(write=False)
    assert (normalize(frozen) == np.float32(half)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused_with_their_row(bad):
    broken = GAUSSIAN.copy()
    broken[[17, 40], 3] = bad
    pairs = by_label(LABELS)
    for measure in (average_precisions, similarity_histogram, partial(nearest, k=3)):
        for given in (broken, torch.from_numpy(broken)):
            with pytest.raises(GoldfoldError, match=r"2 of 150 .* row 17") as error:
                measure(pairs, given)
            assert error.value.code == "embeddings_not_finite"


def test_embeddings_of_another_shape_or_type_are_refused():
    with pytest.raises(GoldfoldError, match=r"150 rows .* got 149") as error:
        average_precisions(by_label(LABELS), GAUSSIAN[:-1])
    assert error.value.code == "too_few_embeddings"
    others = (np.array([["a"]]), np.zeros(3, [("score", float)]), np.ones((2, 2)) * 1j, np.zeros((2, 0)))
    for other in (GAUSSIAN[:, 0], *others):
        with pytest.raises(GoldfoldError, match=re.escape(f"{other.dtype} {other.shape}")) as error:
            normalize(other)
        assert error.value.code == "wrong_embedding_shape"


def test_cosines_of_concatenated_fits_are_the_mean_over_fits():
    fits = RNG.standard_normal((3, N, 8)).astype(np.float32) * np.array([1, 100, 0.01], np.float32)[:, None, None]
    fits[1, 4] = 0
    together = concatenate_fits(fits)
    assert (together.shape, together.dtype) == ((N, 24), np.float32)
    np.testing.assert_allclose(together @ together.T, np.mean([cosines_of(each) for each in fits], axis=0), atol=1e-6)
    with pytest.raises(GoldfoldError, match=r"\(150, 24\)") as error:
        concatenate_fits(GAUSSIAN)
    assert error.value.code == "wrong_embedding_shape"


def test_histograms_count_relevant_and_irrelevant_rows():
    pairs = by_label(LABELS, same=CAMERAS)
    found = similarity_histogram(pairs, GAUSSIAN, bins=40)
    right, counted = pairs.relevant(slice(None)), ~pairs.left_out(slice(None))
    edges = np.linspace(-1, 1, 41)
    np.testing.assert_allclose(found.edges, edges)
    assert (found.relevant == np.histogram(cosines_of(GAUSSIAN)[right & counted], edges)[0]).all()
    assert (found.irrelevant == np.histogram(cosines_of(GAUSSIAN)[~right & counted], edges)[0]).all()
    edge = np.concatenate([GAUSSIAN, -GAUSSIAN])
    assert np.abs(cosines_of(edge)).max() > 1
    both = similarity_histogram(by_label(np.arange(2 * N) % N), edge)
    assert (both.relevant.sum(), both.irrelevant.sum()) == (2 * N, 2 * N * (2 * N - 2))  # -1 - 1e-7 is counted too
    equal = similarity_histogram(by_label(np.arange(2 * N) % N), np.concatenate([GAUSSIAN, GAUSSIAN]))
    assert equal.relevant[-1] == 2 * N
