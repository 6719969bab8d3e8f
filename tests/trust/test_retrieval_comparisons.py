"""Two runs query by query, against scikit-learn, SciPy and NumPy on the similarities themselves."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from goldfold.nn import collapse
from goldfold.report.retrieval.comparison import Compared, page, strips_of, told
from goldfold.retrieval.cosines import normalize
from goldfold.retrieval.pairs import by_label, count_relevant
from goldfold.retrieval.search import nearest
from goldfold.trust.retrieval_comparisons import (
    FoldPairs,
    coarse_bins,
    count_changes,
    evaluate,
    histogram_overlap,
    improved_more,
    ks_distance,
    mean_change,
    query_changes,
    single_query,
)

SEEDS = 2


def gallery(fold: int, size: int = 60) -> FoldPairs:
    """Rows of four kinds, filmed by three cameras; the last row is of a kind of its own and has no right answer."""
    generator = np.random.default_rng(fold)
    kind = [*generator.integers(0, 4, size - 1), 9]
    rows = pd.DataFrame({"id": [f"图{fold}-{place}" for place in range(size)], "kind": kind})
    rows["camera"] = generator.integers(0, 3, size)
    return FoldPairs(fold, rows, by_label(rows["kind"], same=rows["camera"]))


def embedded(folds: list[FoldPairs], signal: float, seed: int) -> dict[int, list[np.ndarray]]:
    generator = np.random.default_rng(seed)
    kinds = generator.normal(size=(10, 12))
    return {
        each.fold: [
            (signal * kinds[each.rows["kind"]] + generator.normal(size=(len(each.rows), 12))).astype(np.float32)
            for _ in range(SEEDS)
        ]
        for each in folds
    }


FOLDS = [gallery(0), gallery(2, 45)]
WEAK, STRONG = embedded(FOLDS, 0.4, 1), embedded(FOLDS, 1.2, 2)
LOOKS = evaluate(FOLDS, WEAK), evaluate(FOLDS, STRONG)


def cosines(embeddings: np.ndarray) -> np.ndarray:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return unit @ unit.T


def counted(each: FoldPairs) -> tuple[np.ndarray, np.ndarray]:
    """(right, wrong) answers of every row, as the rule says them: not itself, nor its kind by its own camera."""
    kind, camera = each.rows["kind"].to_numpy(), each.rows["camera"].to_numpy()
    same = kind[:, None] == kind
    right = same & (camera[:, None] != camera)
    return right, ~same


def similarities_of(fits: dict, side: int) -> np.ndarray:
    return np.concatenate([cosines(own)[counted(each)[side]] for each in FOLDS for own in fits[each.fold]])


def test_each_query_has_its_mean_average_precision_over_seeds():
    found = query_changes(FOLDS, *LOOKS)
    assert list(found["change"]) == sorted(found["change"], reverse=True)
    assert len(found) == sum(counted(each)[0].any(axis=1).sum() for each in FOLDS)
    assert {f"图{each.fold}-{len(each.rows) - 1}" for each in FOLDS}.isdisjoint(found["id"])
    by_id = found.set_index("id")
    for each in FOLDS:
        right, wrong = counted(each)
        for place in range(0, len(each.rows) - 1, 7):
            kept = right[place] | wrong[place]
            expected = [
                np.mean([average_precision_score(right[place][kept], cosines(o)[place][kept]) for o in fits[each.fold]])
                for fits in (WEAK, STRONG)
            ]
            own = by_id.loc[each.rows["id"][place]]
            assert [own["first"], own["other"]] == pytest.approx(expected, abs=1e-9)
            assert own["change"] == pytest.approx(expected[1] - expected[0], abs=1e-9)
            assert (own["fold"], own["query"]) == (each.fold, place)
            assert (own["right_answers"], own["answers"]) == (right[place].sum(), kept.sum())


def changes(by_fold: np.ndarray) -> pd.DataFrame:
    folds, queries = by_fold.shape
    return pd.DataFrame({"fold": np.repeat(np.arange(folds), queries), "change": by_fold.ravel()})


def test_changed_queries_are_counted_and_compared_by_fold():
    found = count_changes(np.array([0.1] * 8 + [-0.3] * 2 + [0.0] * 5))
    assert (found.improved, found.degraded, found.unchanged) == (8, 2, 5)
    more = improved_more(changes(np.array([[0.1, 0.2, -0.1, 0.0], [0.1, 0.1, 0.1, -0.3], [0.2, 0.1, 0.3, 0.0]])))
    assert more.mean == pytest.approx((0.25 + 0.5 + 0.75) / 3)
    assert more.interval[0] == pytest.approx(0.5 - 4.302653 * 0.25 * np.sqrt(1 / 3 + 1 / 2))


def test_queries_that_change_together_make_no_difference_of_equal_models():
    """Each fold's model is a little better or worse by luck: a binomial test would reject most of these."""
    draw = np.random.default_rng(0)
    verdicts = [
        improved_more(changes(draw.normal(size=(5, 1)) + draw.normal(size=(5, 40)))).verdict for _ in range(200)
    ]
    assert sum(verdict != "not shown to differ" for verdict in verdicts) <= 10


def test_the_mean_change_is_paired_over_folds():
    found = query_changes(FOLDS, *LOOKS)
    means = found.groupby("fold")["change"].mean()
    change = mean_change(found)
    assert change.mean == pytest.approx(means.mean())
    half = stats.t.ppf(0.975, 1) * means.std(ddof=1) * math.sqrt(1 / 2 + 1)
    assert change.interval == pytest.approx((means.mean() - half, means.mean() + half))
    assert (change.better, change.folds) == (2, 2)


def test_distances_agree_with_the_similarities_themselves():
    first, other = (each.similarities for each in LOOKS)
    for side, counts in enumerate(((first.relevant, other.relevant), (first.irrelevant, other.irrelevant))):
        raw = [similarities_of(fits, side) for fits in (WEAK, STRONG)]
        assert [each.sum() for each in counts] == [len(each) for each in raw]
        assert ks_distance(*counts) == pytest.approx(stats.ks_2samp(*raw).statistic, abs=0.01)
    raw = [similarities_of(STRONG, side) for side in (0, 1)]
    assert ks_distance(other.relevant, other.irrelevant) == pytest.approx(stats.ks_2samp(*raw).statistic, abs=0.01)


def test_equal_similarities_have_not_moved_and_those_apart_share_nothing():
    left, right = np.array([3, 1, 0, 0]), np.array([0, 0, 2, 2])
    assert (histogram_overlap(left, 2 * left), ks_distance(left, 2 * left)) == (1, 0)
    assert (histogram_overlap(left, right), ks_distance(left, right)) == (0, 1)
    assert histogram_overlap(left, np.array([2, 6, 0, 0])) == 0.5
    assert np.isnan([ks_distance(left, 0 * left), histogram_overlap(0 * left, left)]).all()


def test_spread_is_that_of_the_normalised_embeddings():
    found = [collapse.measure_features(normalize(own)) for each in FOLDS for own in WEAK[each.fold]]
    own = LOOKS[0].spread
    assert own.dimensions == 12
    for name in ("spread", "isotropic", "effective_rank", "median_cosine"):
        assert getattr(own, name) == pytest.approx(np.mean([getattr(each, name) for each in found]), rel=1e-5)
    collapsed = {fold: [1 + 1e-4 * each for each in fits] for fold, fits in WEAK.items()}
    assert evaluate(FOLDS, collapsed).spread.spread < 0.01 * own.isotropic


def test_a_picture_of_nearly_collapsed_similarities_has_narrower_bins():
    wide = coarse_bins({"a": LOOKS[0].similarities, "b": LOOKS[1].similarities})
    assert [len(each.edges) for each in wide.values()] == [101, 101]
    assert wide["b"].relevant.sum() == LOOKS[1].similarities.relevant.sum()
    near = evaluate(FOLDS, {fold: [1 + 0.1 * each for each in fits] for fold, fits in WEAK.items()}).similarities
    narrow = coarse_bins({"near": near})["near"]
    assert len(narrow.edges) > 401
    assert narrow.relevant.sum() == near.relevant.sum()


def test_a_query_alone_asks_as_it_does_among_the_others():
    pairs, place = FOLDS[0].pairs, 17
    own = single_query(pairs, place)
    every, one = (nearest(each, WEAK[0][0], 5).positions for each in (pairs, own))
    np.testing.assert_array_equal(one[0], every[place])
    np.testing.assert_array_equal(own.relevant(slice(0, 1))[0], pairs.relevant(slice(place, place + 1))[0])


def compared(first: str = "a-r1", other: str = "b-r1") -> Compared:
    unanswered = sum(count_relevant(each.pairs).queries_without_relevant for each in FOLDS)
    return Compared(first=first, other=other, looks=LOOKS, queries=query_changes(FOLDS, *LOOKS), unanswered=unanswered)


def test_the_page_tells_points_and_percent_and_names_the_queries():
    found = compared()
    text, counts = page(found, ["similarities.png"]), count_changes(found.queries["change"].to_numpy())
    assert f"rose for {counts.improved} of {len(found.queries)} queries, fell for {counts.degraded}" in told(found)
    change = mean_change(found.queries)
    assert f"{change.mean:+.4f} ({100 * change.mean:+.2f} pp, {100 * change.relative:+.1f} %) 95 % [" in told(found)
    assert f"{found.unanswered} queries have no right answer" in text
    assert "![similarities](similarities.png)" in text
    for side, word in enumerate(("right", "wrong")):
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {word} answers"))
        medians = [float(cell) for cell in line.split("|")[2:4]]
        assert medians == pytest.approx([np.median(similarities_of(fits, side)) for fits in (WEAK, STRONG)], abs=0.02)
    improved = text.split("## The most improved queries")[1].split("## The most degraded queries")
    assert found.queries["id"].iloc[0] in improved[0]
    assert found.queries["id"].iloc[-1] in improved[1]
    assert found.queries["id"].iloc[-1] not in improved[0]


def test_rows_without_images_have_no_strips():
    assert strips_of(compared(), "improved", FOLDS, (WEAK, STRONG), ("kind",), private_images=False) is None
