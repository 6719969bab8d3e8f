"""Exact ranks and average precisions against scikit-learn and torchmetrics, with ties and in chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_embeddings import CAMERAS, GAUSSIAN, IS_QUERY, LABELS, RNG, SIGNS, N, cosines_of
from sklearn.metrics import average_precision_score

from goldfold.retrieval import exact_ranks
from goldfold.retrieval import pairs as pairs_module
from goldfold.retrieval.cosines import (
    cosine_chunks,
    normalize_tensor,
    similarity_histogram,
)
from goldfold.retrieval.exact_ranks import average_precisions
from goldfold.retrieval.pairs import by_label, count_relevant
from goldfold.retrieval.search import nearest


def brute_force(pairs, embeddings: np.ndarray, right: np.ndarray, out: np.ndarray) -> np.ndarray:
    """scikit-learn's average precision of each query; right, out: (n, n) over all rows."""
    likeness, found = cosines_of(embeddings), []
    for query in pairs.queries:
        kept = [row for row in pairs.gallery if not out[query, row]]
        truth = right[query, kept]
        found.append(average_precision_score(truth, likeness[query, kept]) if truth.any() else np.nan)
    return np.array(found)


@pytest.mark.parametrize("embeddings", [GAUSSIAN, SIGNS, np.where(IS_QUERY[:, None], 0, GAUSSIAN)])
@pytest.mark.parametrize("queries", [None, IS_QUERY])
@pytest.mark.parametrize("same", [None, CAMERAS])
def test_average_precisions_equal_scikit_learns(embeddings, queries, same):
    """All rows or some are queries; other cameras only, or all; with ties, and with rows of zeros."""
    pairs = by_label(LABELS.tolist(), queries=queries, same=same)
    right, out = LABELS[:, None] == LABELS, np.eye(N, dtype=bool)
    if same is not None:
        out |= right & (CAMERAS[:, None] == CAMERAS)
    wanted = brute_force(pairs, embeddings, right, out)
    found = average_precisions(pairs, embeddings)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(average_precisions(pairs, torch.from_numpy(embeddings)), wanted, atol=1e-6)
    counts = count_relevant(pairs)
    own = out[np.ix_(pairs.queries, pairs.gallery)]
    assert (counts.gallery == (~own).sum(1)).all()
    assert (counts.relevant == (right[np.ix_(pairs.queries, pairs.gallery)] & ~own).sum(1)).all()
    assert counts.queries_without_relevant == np.isnan(wanted).sum()


@pytest.mark.parametrize("rows", [2, 5, 17, 130])
@pytest.mark.parametrize("width", [3, 257])
def test_equal_embeddings_score_the_share_of_relevant_rows(rows, width):
    """All gallery rows are tied and ties count against the model, whatever the sizes of the multiplied matrices."""
    label = np.arange(rows) < max(2, rows // 3)
    same = np.tile(RNG.standard_normal(width), (rows, 1))
    share = (np.where(label, label.sum(), rows - label.sum()) - 1) / (rows - 1)
    found = average_precisions(by_label(label), same)
    np.testing.assert_allclose(found, np.where(share > 0, share, np.nan), atol=1e-12)
    zeros = average_precisions(by_label(label), np.zeros((rows, width)))
    np.testing.assert_allclose(zeros, found, atol=1e-12)


def test_relevant_rows_of_negative_cosine_count():
    """torchmetrics drops them: a query with cosines .5, .2 and -.1, of which the last two are relevant."""
    from torchmetrics.retrieval import RetrievalMAP

    angles = np.arccos([1, 0.5, 0.2, -0.1])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = by_label(["да", "нет", "да", "да"], queries=[True, False, False, False])
    assert average_precisions(pairs, embeddings)[0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    theirs = RetrievalMAP()(torch.tensor([0.5, 0.2, -0.1]), torch.tensor([0, 1, 1]), indexes=torch.zeros(3).long())
    assert float(theirs) == pytest.approx(0.5)


@pytest.mark.parametrize("embeddings", [GAUSSIAN, SIGNS])
@pytest.mark.parametrize(("few", "cells"), [(0, 2**24), (N, 2**24), (4, 1), (4, 7 * N), (4, 40 * N + 3)])
def test_results_do_not_depend_on_chunks_and_counting(embeddings, few, cells, monkeypatch):
    pairs = by_label(LABELS, same=CAMERAS)
    units = normalize_tensor(embeddings)
    wanted = exact_ranks.rank_relevant(pairs, units, depth=20), similarity_histogram(pairs, units)
    near = nearest(pairs, units, 5).similarities
    monkeypatch.setattr(exact_ranks, "FEW", few)
    monkeypatch.setattr(pairs_module, "CHUNK_CELLS", cells)
    assert max(chunk.cosines.size for chunk in cosine_chunks(pairs, units)) <= max(cells, N)
    found = exact_ranks.rank_relevant(pairs, units, depth=20)
    for name in ("relevant", "gallery", "first_rank", "relevant_at_r", "average_precision", "average_precision_at_r"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted[0], name))
    assert all((own == other).all() for own, other in zip(found.ranks, wanted[0].ranks, strict=True))
    assert (similarity_histogram(pairs, units).relevant == wanted[1].relevant).all()
    assert (similarity_histogram(pairs, units).irrelevant == wanted[1].irrelevant).all()
    assert (nearest(pairs, units, 5).similarities == near).all()
    counts = count_relevant(pairs)
    assert (counts.relevant == found.relevant).all()
    assert (counts.gallery == found.gallery).all()


def test_ranks_up_to_the_depth_are_kept():
    pairs = by_label(LABELS)
    found = exact_ranks.rank_relevant(pairs, normalize_tensor(SIGNS), depth=30)
    likeness = cosines_of(SIGNS)
    np.fill_diagonal(likeness, -np.inf)
    for query in range(N):
        right = [row for row in np.flatnonzero(LABELS[query] == LABELS) if row != query]
        order = sorted(range(N), key=lambda row: (-likeness[query, row], LABELS[row] == LABELS[query]))
        every = 1 + np.array([rank for rank, row in enumerate(order) if row in right])
        assert found.ranks[query].tolist() == every[every <= 30].tolist()
        assert found.first_rank[query] == every[0]
        assert found.relevant_at_r[query] == (every <= len(right)).sum()
