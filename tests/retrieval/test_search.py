"""Nearest-neighbor search by torch and by faiss, against a full sort."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from made_embeddings import CAMERAS, GAUSSIAN, IS_QUERY, LABELS, N, cosines_of

from goldfold.errors import GoldfoldError
from goldfold.retrieval import pairs as pairs_module
from goldfold.retrieval.pairs import by_label
from goldfold.retrieval.search import nearest


@pytest.mark.parametrize("engine", ["torch", "faiss"])
@pytest.mark.parametrize("queries", [None, IS_QUERY])
def test_nearest_rows_are_those_of_a_full_sort(engine, queries, monkeypatch):
    if engine == "faiss":
        pytest.importorskip("faiss")
    monkeypatch.setattr(pairs_module, "CHUNK_CELLS", 20 * N)
    pairs = by_label(LABELS, queries=queries, same=CAMERAS)
    left_out = pairs.left_out(slice(None))
    likeness = np.where(left_out, -np.inf, cosines_of(GAUSSIAN)[np.ix_(pairs.queries, pairs.gallery)])
    order = np.argsort(-likeness, axis=1, kind="stable")
    found = nearest(pairs, GAUSSIAN, 7, engine=engine)
    assert (found.positions.dtype, found.similarities.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(found.positions, pairs.gallery[order[:, :7]])
    np.testing.assert_allclose(found.similarities, np.take_along_axis(likeness, order, 1)[:, :7], atol=1e-6)

    every = nearest(pairs, GAUSSIAN, len(pairs.gallery) + 3, engine=engine)
    answered = (~left_out).sum(1)
    assert every.positions.shape == (len(pairs.queries), len(pairs.gallery) + 3)
    assert ((every.positions >= 0).sum(1) == answered).all()
    assert (np.isnan(every.similarities) == (every.positions < 0)).all()
    assert (every.positions[:, -3:] == -1).all()


def test_wrong_k_and_missing_engines_are_refused(monkeypatch):
    pairs = by_label(LABELS)
    monkeypatch.setitem(sys.modules, "faiss", None)
    for k, engine, code, words in (
        (3, "fais", "unknown_engine", "'fais'; did you mean 'faiss'"),
        (0, "torch", "k_too_small", "k is 0"),
        (3, "faiss", "faiss_not_installed", "faiss-cpu"),
    ):
        with pytest.raises(GoldfoldError, match=words) as error:
            nearest(pairs, GAUSSIAN, k, engine=engine)
        assert error.value.code == code
