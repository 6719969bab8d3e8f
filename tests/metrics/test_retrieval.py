"""Retrieval metrics equal their library or their definition, chance the mean of all orders, best_possible the best."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

from goldfold import metrics
from goldfold.errors import GoldfoldError
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import ScoredRows
from goldfold.experiment.scoring import score
from goldfold.metrics import retrieval as measured
from goldfold.retrieval.exact_ranks import average_precisions
from goldfold.retrieval.pairs import by_label, count_relevant

RNG = np.random.default_rng(3)
N = 240
KINDS = np.array(["крыса", "地毯", "grid", "тень", "einmalig"])
CODES = np.append(RNG.choice(4, N - 1, p=[0.5, 0.3, 0.15, 0.05]), 4)  # one class has one image
ROWS = pd.DataFrame({"kind": KINDS[CODES], "asks": RNG.random(N) < 0.4}, index=RNG.permutation(N))
EMBEDDINGS = RNG.standard_normal((N, 16)).astype(np.float32) + np.eye(16, dtype=np.float32)[CODES]
PROTOCOL = "each image asks all others"


def by_kind(rows: pd.DataFrame):
    return by_label(rows["kind"])


def asked(rows: pd.DataFrame):
    return by_label(rows["kind"], queries=rows["asks"].to_numpy())


FACTORIES = {
    "mAP (over all ranks)": metrics.mean_average_precision,
    "mAP@R": metrics.map_at_r,
    "mAP@3 (over min(3, right))": partial(metrics.map_at, k=3),
    "precision@3 (hits / 3)": partial(metrics.precision_at, k=3),
    "recall@3 (hits / right)": partial(metrics.recall_at, k=3),
    "hit@3 (any right in 3)": partial(metrics.hit_at, k=3),
    "R-precision": metrics.r_precision,
    "MRR": metrics.reciprocal_rank,
}


def all_of(pairs) -> dict:
    return {name: factory(pairs, protocol=PROTOCOL) for name, factory in FACTORIES.items()}


def ordered(right: list[bool]) -> tuple[pd.DataFrame, np.ndarray]:
    """A query and its answers, best first."""
    rows = pd.DataFrame({"kind": ["a", *("a" if each else "b" for each in right)], "asks": False})
    rows.loc[0, "asks"] = True
    angles = np.linspace(0, 3, len(rows))
    return rows, np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_they_are_those_of_pytorch_metric_learning():
    calculator = AccuracyCalculator(
        include=(
            "mean_average_precision",
            "mean_average_precision_at_r",
            "precision_at_1",
            "mean_reciprocal_rank",
            "r_precision",
        ),
        k=None,
        device=torch.device("cpu"),
        knn_func=CustomKNN(CosineSimilarity()),
        kmeans_func=lambda *_: None,  # its own would need faiss
    )
    asks = ROWS["asks"].to_numpy()
    theirs = calculator.get_accuracy(EMBEDDINGS, CODES)
    among = calculator.get_accuracy(EMBEDDINGS[asks], CODES[asks], EMBEDDINGS[~asks], CODES[~asks])
    for pairs, wanted in ((by_kind, theirs), (asked, among)):
        ours = {
            "mean_average_precision": metrics.mean_average_precision(pairs, protocol=""),
            "mean_average_precision_at_r": metrics.map_at_r(pairs, protocol=""),
            "precision_at_1": metrics.precision_at(pairs, 1, protocol=""),
            "mean_reciprocal_rank": metrics.reciprocal_rank(pairs, protocol=""),
            "r_precision": metrics.r_precision(pairs, protocol=""),
        }
        found = {name: metric.score(ROWS, EMBEDDINGS) for name, metric in ours.items()}
        assert found == pytest.approx(wanted, abs=1e-6)


def test_each_is_its_definition():
    """Right answers at ranks 2, 3, 5 and 8 of nine."""
    rows, embeddings = ordered([rank in (2, 3, 5, 8) for rank in range(1, 10)])
    found = {name: metric.score(rows, embeddings) for name, metric in all_of(asked).items()}
    assert found == pytest.approx(
        {
            "mAP (over all ranks)": (1 / 2 + 2 / 3 + 3 / 5 + 4 / 8) / 4,
            "mAP@R": (1 / 2 + 2 / 3) / 4,
            "mAP@3 (over min(3, right))": (1 / 2 + 2 / 3) / 3,
            "precision@3 (hits / 3)": 2 / 3,
            "recall@3 (hits / right)": 2 / 4,
            "hit@3 (any right in 3)": 1.0,
            "R-precision": 2 / 4,
            "MRR": 1 / 2,
        }
    )
    assert metrics.hit_at(asked, 1, protocol="").score(rows, embeddings) == 0
    assert metrics.map_at(asked, 6, protocol="").score(rows, embeddings) == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 4)


@pytest.mark.parametrize("answers", [1, 2, 6])
def test_chance_is_the_mean_over_all_orders(answers):
    every = all_of(asked)
    for right in range(1, answers + 1):
        found = []
        for ranks in combinations(range(answers), right):
            rows, embeddings = ordered([rank in ranks for rank in range(answers)])
            found.append([metric.score(rows, embeddings) for metric in every.values()])
        assert [metric.chance(rows) for metric in every.values()] == pytest.approx(np.mean(found, axis=0), abs=1e-9)


def test_the_planted_case_is_at_chance():
    """445 random embeddings, 87 of them positive: .69 is no good mAP, and a recall@10 above .045 cannot be."""
    rows = pd.DataFrame({"kind": np.arange(445) < 87})
    tens = {
        "mAP": metrics.mean_average_precision(by_kind, protocol=""),
        "P@10": metrics.precision_at(by_kind, 10, protocol=""),
        "R@10": metrics.recall_at(by_kind, 10, protocol=""),
        "mAP@R": metrics.map_at_r(by_kind, protocol=""),
        "mAP@10": metrics.map_at(by_kind, 10, protocol=""),
        "hit@3": metrics.hit_at(by_kind, 3, protocol=""),
        "MRR": metrics.reciprocal_rank(by_kind, protocol=""),
    }
    draws = [RNG.standard_normal((445, 256)).astype(np.float32) for _ in range(10)]
    scores = {name: [metric.score(rows, draw) for draw in draws] for name, metric in tens.items()}
    for name, metric in tens.items():
        error = np.std(scores[name], ddof=1) / np.sqrt(len(draws))
        assert abs(np.mean(scores[name]) - metric.chance(rows)) < 4 * error, name
    assert tens["mAP"].chance(rows) == pytest.approx(0.689, abs=5e-4)
    assert tens["P@10"].chance(rows) == pytest.approx(0.685, abs=5e-4)
    assert tens["R@10"].chance(rows) == pytest.approx(0.0225, abs=5e-5)
    assert tens["R@10"].retrieval.best_possible(rows) == pytest.approx(0.045, abs=5e-4)


def test_the_best_possible_score_is_what_perfect_embeddings_reach():
    perfect = np.eye(5)[CODES]
    for pairs in (by_kind, asked):
        for k in (1, 20, 70, 1000):
            for factory in (metrics.precision_at, metrics.recall_at):
                metric = factory(pairs, k, protocol="")
                nudged = perfect + 0.05 * RNG.standard_normal(perfect.shape)
                assert metric.score(ROWS, nudged) == pytest.approx(metric.retrieval.best_possible(ROWS))
    assert metrics.precision_at(by_kind, 70, protocol="").retrieval.best_possible(ROWS) < 1
    for name, metric in all_of(by_kind).items():
        best_possible = metric.retrieval.best_possible
        assert metric.score(ROWS, perfect) == pytest.approx(best_possible(ROWS) if best_possible else 1), name


def test_more_answers_asked_for_than_there_are():
    """k beyond the gallery: precision still divides by k, recall is complete, and chance knows it."""
    rows, embeddings = ordered([False, True, False, True])
    for k in (4, 9, 2000):
        precision, recall, within = (
            factory(asked, k, protocol="") for factory in (metrics.precision_at, metrics.recall_at, metrics.map_at)
        )
        for metric, wanted in ((precision, 2 / k), (recall, 1.0)):
            assert (
                metric.score(rows, embeddings)
                == metric.chance(rows)
                == metric.retrieval.best_possible(rows)
                == pytest.approx(wanted)
            )
        assert within.score(rows, embeddings) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert metrics.hit_at(asked, 9, protocol="").chance(rows) == 1


def test_hits_beyond_the_first_thousand_count():
    rows, embeddings = ordered([rank in (3, 1150) for rank in range(1, 1201)])
    found = [metrics.recall_at(asked, k, protocol="").score(rows, embeddings) for k in (1000, 1149, 1150, 10)]
    assert found == [0.5, 0.5, 1.0, 0.5]


def test_one_right_answer_each_makes_map_the_mean_reciprocal_rank():
    rows = pd.DataFrame({"kind": np.tile(np.arange(N // 2), 2), "asks": np.arange(N) < N // 2})
    found = {name: metric.score(rows, EMBEDDINGS) for name, metric in all_of(asked).items()}
    assert found["mAP (over all ranks)"] == pytest.approx(found["MRR"])
    assert found["MRR"] > metrics.hit_at(asked, 1, protocol="").score(rows, EMBEDDINGS)
    assert found["hit@3 (any right in 3)"] == found["recall@3 (hits / right)"]


def test_ties_count_against():
    """A model that gives one embedding to all finds nothing; one that gives each kind its own finds everything."""
    one_point = np.ones((N, 4))
    counts = count_relevant(by_kind(ROWS))
    right, answered = counts.relevant, counts.relevant > 0
    wrong = counts.gallery - right
    found = {name: metric.score(ROWS, one_point) for name, metric in all_of(by_kind).items()}
    assert found["mAP (over all ranks)"] == pytest.approx((right / counts.gallery)[answered].mean())
    assert found["MRR"] == pytest.approx((1 / (wrong + 1))[answered].mean())
    assert found["R-precision"] == pytest.approx((np.maximum(right - wrong, 0) / np.maximum(right, 1))[answered].mean())
    assert not any(found[name] for name in found if "@3" in name)


def test_queries_without_a_relevant_row_are_left_out_and_counted():
    metric = metrics.mean_average_precision(by_kind, protocol=PROTOCOL)
    assert metric.retrieval.protocol == "each image asks all others, queries without a right answer left out"
    assert count_relevant(metric.retrieval.pairs(ROWS)).queries_without_relevant == 1
    known = average_precisions(by_kind(ROWS), EMBEDDINGS)
    assert np.isnan(known).sum() == 1
    assert metric.score(ROWS, EMBEDDINGS) == pytest.approx(np.nanmean(known))
    assert metric.options.row_error(ROWS, EMBEDDINGS) == pytest.approx(np.where(np.isnan(known), 0, 1 - known))
    alone = pd.DataFrame({"kind": list("abc")})
    for metric in all_of(by_kind).values():
        for measure in (
            metric.chance,
            metric.retrieval.best_possible,
            lambda rows, of=metric: of.score(rows, EMBEDDINGS[:3]),
        ):
            if measure:
                with raises_code("no_relevant_rows", "of 3 rows"):
                    measure(alone)


@pytest.mark.parametrize("pairs", [by_kind, asked])
def test_rows_drawn_again_are_queries_to_the_whole_gallery(pairs):
    for name, metric in all_of(pairs).items():
        score_of = metric.options.resampled(ROWS, EMBEDDINGS)
        assert score_of(np.arange(N)) == pytest.approx(score(metric, ROWS, EMBEDDINGS)), name
        mean = metric.score(ROWS, EMBEDDINGS)
        low, high = limits.of_mean([mean], (0, 1), jackknife.sampling(metric, [ScoredRows(ROWS, [EMBEDDINGS])]))
        assert low < mean < high
    metric = metrics.mean_average_precision(pairs, protocol="")
    known = 1 - metric.options.row_error(ROWS, EMBEDDINGS)
    queries = pairs(ROWS).queries
    drawn = queries[[3, 3, 7]]
    assert metric.options.resampled(ROWS, EMBEDDINGS)(drawn) == pytest.approx(known[drawn].mean())
    with raises_code("no_relevant_rows", "of 2 rows"):
        metric.options.resampled(ROWS, EMBEDDINGS)(np.array([N - 1, N - 1]))


def test_metrics_of_one_embedding_share_a_pass_and_no_stale_ranks():
    passes = []

    def counted(rows: pd.DataFrame):
        passes.append(len(rows))
        return by_kind(rows)

    every, rows, embeddings = all_of(counted), ROWS.copy(), EMBEDDINGS.copy()
    first = {name: metric.score(rows, embeddings) for name, metric in every.items()}
    assert len(passes) == 1
    for metric in every.values():
        metric.chance(rows)
        if metric.retrieval.best_possible:
            metric.retrieval.best_possible(rows)
    assert len(passes) == 2
    embeddings[:, 0] *= -3
    assert all(metric.score(rows, embeddings) != first[name] for name, metric in every.items())
    embeddings[:, 0] /= -3
    rows["kind"] = RNG.permutation(rows["kind"].to_numpy())
    assert every["MRR"].score(rows, embeddings) != first["MRR"]
    other = metrics.mean_average_precision(asked, protocol="")
    assert other.score(ROWS, EMBEDDINGS) != first["mAP (over all ranks)"]
    assert len(passes) == 4


def test_cells_that_cannot_be_hashed_cost_a_pass_and_no_error():
    rows = ROWS.assign(boxes=[[1, 2]] * N)
    metric = metrics.mean_average_precision(by_kind, protocol="")
    assert metric.score(rows, EMBEDDINGS) == metric.score(ROWS, EMBEDDINGS)


def test_names_bounds_and_mistakes():
    for name, metric in all_of(by_kind).items():
        assert metric.name == name
        assert metric.bounds == (0.0, 1.0)
        assert metric.higher_is_better
        assert metric.retrieval.pairs is by_kind
    for factory in (metrics.map_at, metrics.precision_at, metrics.recall_at, metrics.hit_at):
        with raises_code("k_too_small", 0):
            factory(by_kind, 0, protocol="")
    metric = measured.mean_average_precision(by_kind, protocol="")
    with raises_code("predictions_wrong_length", "240 rows", "(239, 16)"):
        metric.score(ROWS, EMBEDDINGS[1:])
    broken = EMBEDDINGS.copy()
    broken[5, 0] = np.nan
    with pytest.raises(GoldfoldError, match=r"first of them row 5"):
        metric.score(ROWS, broken)
    with pytest.raises(GoldfoldError, match=r"must be real numbers \(rows, width\)"):
        metric.score(ROWS, np.array([None] * N))
