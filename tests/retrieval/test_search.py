"""Rows that find each other: against scikit-learn, faiss, torchmetrics, and loops that say the same slowly."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from goldfold.errors import GoldfoldError
from goldfold.retrieval import exact_ranks
from goldfold.retrieval import search as retrieval

RNG = np.random.default_rng(5)
N = 150
KINDS = np.array(["крыса", "地毯", "grid", "тень"])
LABELS = RNG.choice(KINDS, N, p=[0.6, 0.25, 0.1, 0.05])
CAMERAS = RNG.integers(0, 3, N)
ASKS = RNG.random(N) < 0.3
GAUSSIAN = RNG.standard_normal((N, 24)).astype(np.float32)
SIGNS = RNG.choice([-1.0, 1.0], (N, 16)).astype(np.float32)  # cosines are multiples of 1/8: exact, and mostly tied


def cosines(embeddings: np.ndarray) -> np.ndarray:
    units = torch.from_numpy(retrieval.normalised(embeddings))
    return (units @ units.T).numpy()


def brute_force(pairs, embeddings: np.ndarray, right: np.ndarray, out: np.ndarray) -> np.ndarray:
    """scikit-learn's average precision of each query; right, out: (n, n) over all rows."""
    likeness, found = cosines(embeddings), []
    for query in pairs.queries:
        kept = [row for row in pairs.gallery if not out[query, row]]
        truth = right[query, kept]
        found.append(average_precision_score(truth, likeness[query, kept]) if truth.any() else np.nan)
    return np.array(found)


@pytest.mark.parametrize("embeddings", [GAUSSIAN, SIGNS, np.where(ASKS[:, None], 0, GAUSSIAN)])
@pytest.mark.parametrize("queries", [None, ASKS])
@pytest.mark.parametrize("same", [None, CAMERAS])
def test_average_precisions_are_scikit_learns(embeddings, queries, same):
    """All rows ask, or some; other cameras alone, or all; with ties, and with rows of zeros."""
    pairs = retrieval.by_label(LABELS.tolist(), queries=queries, same=same)
    right, out = LABELS[:, None] == LABELS, np.eye(N, dtype=bool)
    if same is not None:
        out |= right & (CAMERAS[:, None] == CAMERAS)
    wanted = brute_force(pairs, embeddings, right, out)
    found = retrieval.average_precisions(pairs, embeddings)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(retrieval.average_precisions(pairs, torch.from_numpy(embeddings)), wanted, atol=1e-6)
    counts = retrieval.answers(pairs)
    own = out[np.ix_(pairs.queries, pairs.gallery)]
    assert (counts.gallery == (~own).sum(1)).all()
    assert (counts.relevant == (right[np.ix_(pairs.queries, pairs.gallery)] & ~own).sum(1)).all()
    assert counts.unanswered == np.isnan(wanted).sum()


@pytest.mark.parametrize("rows", [2, 5, 17, 130])
@pytest.mark.parametrize("width", [3, 257])
def test_equal_embeddings_score_the_share_of_right_answers(rows, width):
    """All answers are tied and ties count against, whatever the sizes of the matrices that are multiplied."""
    label = np.arange(rows) < max(2, rows // 3)
    same = np.tile(RNG.standard_normal(width), (rows, 1))
    share = (np.where(label, label.sum(), rows - label.sum()) - 1) / (rows - 1)
    found = retrieval.average_precisions(retrieval.by_label(label), same)
    np.testing.assert_allclose(found, np.where(share > 0, share, np.nan), atol=1e-12)
    zeros = retrieval.average_precisions(retrieval.by_label(label), np.zeros((rows, width)))
    np.testing.assert_allclose(zeros, found, atol=1e-12)


def test_right_answers_of_negative_cosine_count():
    """torchmetrics leaves them out: a query with cosines .5, .2 and -.1, of which the last two are right."""
    from torchmetrics.retrieval import RetrievalMAP

    angles = np.arccos([1, 0.5, 0.2, -0.1])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = retrieval.by_label(["да", "нет", "да", "да"], queries=[True, False, False, False])
    assert retrieval.average_precisions(pairs, embeddings)[0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    theirs = RetrievalMAP()(torch.tensor([0.5, 0.2, -0.1]), torch.tensor([0, 1, 1]), indexes=torch.zeros(3).long())
    assert float(theirs) == pytest.approx(0.5)


@pytest.mark.parametrize("embeddings", [GAUSSIAN, SIGNS])
@pytest.mark.parametrize(("few", "cells"), [(0, 2**24), (N, 2**24), (4, 1), (4, 7 * N), (4, 40 * N + 3)])
def test_how_it_is_counted_and_in_what_chunks_makes_no_difference(embeddings, few, cells, monkeypatch):
    pairs = retrieval.by_label(LABELS, same=CAMERAS)
    units = exact_ranks.units(embeddings)
    wanted = exact_ranks.of_right_answers(pairs, units, depth=20), retrieval.similarities(pairs, units)
    near = retrieval.nearest(pairs, units, 5).similarities
    monkeypatch.setattr(exact_ranks, "FEW", few)
    monkeypatch.setattr(exact_ranks, "CELLS", cells)
    assert max(chunk.cosines.size for chunk in exact_ranks.compared(pairs, units)) <= max(cells, N)
    found = exact_ranks.of_right_answers(pairs, units, depth=20)
    for name in ("relevant", "gallery", "first", "at_r", "average_precision", "average_precision_at_r"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted[0], name))
    assert all((own == other).all() for own, other in zip(found.ranks, wanted[0].ranks, strict=True))
    assert (retrieval.similarities(pairs, units).right == wanted[1].right).all()
    assert (retrieval.similarities(pairs, units).wrong == wanted[1].wrong).all()
    assert (retrieval.nearest(pairs, units, 5).similarities == near).all()
    counts = retrieval.answers(pairs)
    assert (counts.relevant == found.relevant).all()
    assert (counts.gallery == found.gallery).all()


def test_ranks_kept_one_by_one_are_those_up_to_the_depth():
    pairs = retrieval.by_label(LABELS)
    found = exact_ranks.of_right_answers(pairs, exact_ranks.units(SIGNS), depth=30)
    likeness = cosines(SIGNS)
    np.fill_diagonal(likeness, -np.inf)
    for query in range(N):
        right = [row for row in np.flatnonzero(LABELS[query] == LABELS) if row != query]
        order = sorted(range(N), key=lambda row: (-likeness[query, row], LABELS[row] == LABELS[query]))
        every = 1 + np.array([rank for rank, row in enumerate(order) if row in right])
        assert found.ranks[query].tolist() == every[every <= 30].tolist()
        assert found.first[query] == every[0]
        assert found.at_r[query] == (every <= len(right)).sum()


@pytest.mark.parametrize("engine", ["torch", "faiss"])
@pytest.mark.parametrize("queries", [None, ASKS])
def test_the_nearest_are_those_of_a_full_sort(engine, queries, monkeypatch):
    if engine == "faiss":
        pytest.importorskip("faiss")
    monkeypatch.setattr(exact_ranks, "CELLS", 20 * N)
    pairs = retrieval.by_label(LABELS, queries=queries, same=CAMERAS)
    left_out = pairs.left_out(slice(None))
    likeness = np.where(left_out, -np.inf, cosines(GAUSSIAN)[np.ix_(pairs.queries, pairs.gallery)])
    order = np.argsort(-likeness, axis=1, kind="stable")
    found = retrieval.nearest(pairs, GAUSSIAN, 7, engine=engine)
    assert (found.positions.dtype, found.similarities.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(found.positions, pairs.gallery[order[:, :7]])
    np.testing.assert_allclose(found.similarities, np.take_along_axis(likeness, order, 1)[:, :7], atol=1e-6)

    every = retrieval.nearest(pairs, GAUSSIAN, len(pairs.gallery) + 3, engine=engine)
    answered = (~left_out).sum(1)
    assert every.positions.shape == (len(pairs.queries), len(pairs.gallery) + 3)
    assert ((every.positions >= 0).sum(1) == answered).all()
    assert (np.isnan(every.similarities) == (every.positions < 0)).all()
    assert (every.positions[:, -3:] == -1).all()


def test_engines_that_are_unknown_or_absent_are_named(monkeypatch):
    pairs = retrieval.by_label(LABELS)
    with pytest.raises(GoldfoldError, match=r"no engine 'fais'; did you mean 'faiss'"):
        retrieval.nearest(pairs, GAUSSIAN, 3, engine="fais")
    with pytest.raises(GoldfoldError, match=r"at least 1, got k = 0"):
        retrieval.nearest(pairs, GAUSSIAN, 0)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(GoldfoldError, match=r"needs the package faiss-cpu, which is not installed"):
        retrieval.nearest(pairs, GAUSSIAN, 3, engine="faiss")


def test_times_say_who_belongs_together():
    sequences = RNG.choice(["запись 1", "录音"], N).tolist()
    times = RNG.permutation(N) / 10
    pairs = retrieval.by_time(sequences, times, within=0.8, guard=0.3)
    relevant, left_out = pairs.relevant(slice(None)), pairs.left_out(slice(None))
    for one in range(N):
        for other in range(N):
            frames = abs(round(10 * times[one]) - round(10 * times[other]))
            together = sequences[one] == sequences[other]
            assert relevant[one, other] == (together and 3 < frames <= 8)
            assert left_out[one, other] == (one == other or (together and frames <= 3))
    assert (pairs.relevant(slice(10, 20)) == relevant[10:20]).all()
    asked = retrieval.by_time(sequences, times, within=0.8, guard=0.3, queries=ASKS)
    assert (asked.relevant(slice(None)) == relevant[np.ix_(ASKS, ~ASKS)]).all()
    ever = retrieval.by_time(sequences, times, within=np.inf, guard=0).relevant(slice(None))
    assert (ever.sum(1) == [sequences.count(own) - 1 for own in sequences]).all()


def test_pairs_that_cannot_be_are_refused():
    with pytest.raises(GoldfoldError, match=r"needs a label, but 2 of 3 have none, the first of them row 1"):
        retrieval.by_label(["a", None, float("nan")])
    with pytest.raises(GoldfoldError, match=r"one value of `same` per row, got 2 for 3 rows"):
        retrieval.by_label([1, 1, 2], same=[0, 1])
    with pytest.raises(GoldfoldError, match=r"`queries` must be 3 times True or False.*int64"):
        retrieval.by_label([1, 1, 2], queries=[1, 0, 0])
    with pytest.raises(GoldfoldError, match=r"one that asks and one that answers, got 0 and 3"):
        retrieval.by_label([1, 1, 2], queries=[False] * 3)
    with pytest.raises(GoldfoldError, match=r"one that asks and one that answers, got 0 and 0"):
        retrieval.by_label([])
    with pytest.raises(GoldfoldError, match=r"0 <= guard < within, got 2 and 2"):
        retrieval.by_time(["a"] * 3, [1, 2, 3], within=2, guard=2)
    with pytest.raises(GoldfoldError, match=r"finite number as its time, but 1 of 3 have none, first row 1"):
        retrieval.by_time(["a"] * 3, [1, np.nan, 3], within=2, guard=1)


def test_normalised_rows_have_length_1_or_0():
    wide = np.array([[3e38, -3e38], [1e-40, 0], [0, 0], [3, 4]], np.float32)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(retrieval.normalised(wide), [[half, -half], [1, 0], [0, 0], [0.6, 0.8]], rtol=1e-6)
    for kind in (np.float64, np.float16, np.int8):
        found = retrieval.normalised(np.array([[3, 4], [0, 0]], kind))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    given = torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16, requires_grad=True)
    assert isinstance(retrieval.normalised(given), torch.Tensor)
    assert not retrieval.normalised(given).requires_grad
    frozen = np.ones((2, 2))
    frozen.setflags(write=False)
    assert (retrieval.normalised(frozen) == np.float32(half)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_that_are_not_numbers_are_refused_with_their_row(bad):
    broken = GAUSSIAN.copy()
    broken[[17, 40], 3] = bad
    pairs = retrieval.by_label(LABELS)
    message = r"finite, but 2 of 150 rows hold NaN or infinity, the first of them row 17"
    for measure in (retrieval.average_precisions, retrieval.similarities):
        with pytest.raises(GoldfoldError, match=message):
            measure(pairs, broken)
    with pytest.raises(GoldfoldError, match=message):
        retrieval.nearest(pairs, torch.from_numpy(broken), 3)
    with pytest.raises(GoldfoldError, match=r"150 rows need an embedding each, got 149"):
        retrieval.average_precisions(pairs, GAUSSIAN[:-1])
    with pytest.raises(GoldfoldError, match=r"real numbers \(rows, width\), got float32 \(150,\)"):
        retrieval.normalised(GAUSSIAN[:, 0])
    for other in (np.array([["a"]]), np.zeros(3, [("score", float)]), np.ones((2, 2)) * 1j, np.zeros((2, 0))):
        with pytest.raises(GoldfoldError, match=r"embeddings must be real numbers"):
            retrieval.normalised(other)


def test_fits_side_by_side_have_the_mean_of_their_cosines():
    fits = RNG.standard_normal((3, N, 8)).astype(np.float32) * np.array([1, 100, 0.01], np.float32)[:, None, None]
    fits[1, 4] = 0
    together = retrieval.side_by_side(fits)
    assert (together.shape, together.dtype) == ((N, 24), np.float32)
    np.testing.assert_allclose(together @ together.T, np.mean([cosines(each) for each in fits], axis=0), atol=1e-6)
    with pytest.raises(GoldfoldError, match=r"\(fits, rows, width\), got \(150, 24\)"):
        retrieval.side_by_side(GAUSSIAN)


def test_similarities_are_counted_for_right_and_wrong_answers():
    pairs = retrieval.by_label(LABELS, same=CAMERAS)
    found = retrieval.similarities(pairs, GAUSSIAN, bins=40)
    right, counted = pairs.relevant(slice(None)), ~pairs.left_out(slice(None))
    edges = np.linspace(-1, 1, 41)
    np.testing.assert_allclose(found.edges, edges)
    assert (found.right == np.histogram(cosines(GAUSSIAN)[right & counted], edges)[0]).all()
    assert (found.wrong == np.histogram(cosines(GAUSSIAN)[~right & counted], edges)[0]).all()
    edge = np.concatenate([GAUSSIAN, -GAUSSIAN])
    assert np.abs(cosines(edge)).max() > 1
    both = retrieval.similarities(retrieval.by_label(np.arange(2 * N) % N), edge)
    assert (both.right.sum(), both.wrong.sum()) == (2 * N, 2 * N * (2 * N - 2))  # -1 - 1e-7 is counted too
    equal = retrieval.similarities(retrieval.by_label(np.arange(2 * N) % N), np.concatenate([GAUSSIAN, GAUSSIAN]))
    assert equal.right[-1] == 2 * N
