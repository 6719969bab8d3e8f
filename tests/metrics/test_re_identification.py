"""Re-identification: both average precisions and Rank-k are those of the public evaluators, written down again."""

from __future__ import annotations

from functools import partial
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from goldfold import metrics
from goldfold.data.identities import gallery_splits
from goldfold.optional_parts import Pairs
from goldfold.report.retrieval.page import of_first_split
from goldfold.retrieval.pairs import by_label

DRAW = np.random.default_rng(11)
SPLITS = 4
ROWS = pd.DataFrame({"person": [f"p{n}" for n in DRAW.integers(0, 9, 60)], "aspect": DRAW.choice(["左", "right"], 60)})
ROWS["roles"] = gallery_splits.draw(ROWS["person"] + ROWS["aspect"], SPLITS, seed=3)
EMBEDDINGS = DRAW.normal(size=(60, 6)) + 0.8 * np.eye(9)[ROWS["person"].str[1:].astype(int), :6]


def ordered(right: list[bool]) -> tuple[pd.DataFrame, np.ndarray]:
    """A query and its answers, best first."""
    angles = np.linspace(0, 3, len(right) + 1)
    rows = pd.DataFrame({"kind": ["a", *("a" if each else "b" for each in right)], "asks": np.arange(len(angles)) == 0})
    return rows, np.stack([np.cos(angles), np.sin(angles)], axis=1)


def asked(rows: pd.DataFrame) -> Pairs:
    return by_label(rows["kind"], queries=rows["asks"].to_numpy())


def area_by_trapezoids(right: list[bool]) -> float:
    """The published evaluation on hands: walk down the ranking, and add a trapezoid for every relevant row."""
    area, found, recall, precision = 0.0, 0, 0.0, 1.0
    for rank, relevant in enumerate(right, 1):
        found += relevant
        new_recall, new_precision = found / sum(right), found / rank
        area += (new_recall - recall) * (precision + new_precision) / 2
        recall, precision = new_recall, new_precision
    return area


def of_split(rows: pd.DataFrame, number: int) -> Pairs:
    """One image of each identity is the gallery; queries search that of their aspect."""
    queries = gallery_splits.is_query(rows["roles"], number)
    return by_label(rows["person"] + rows["aspect"], queries=queries, within=rows["aspect"])


def naive(number: int) -> list[list[bool]]:
    """Of each query of a split with a match: whether the rows of its ranking are relevant, best first."""
    identity, units = ROWS["person"] + ROWS["aspect"], EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    rankings = []
    for query in range(len(ROWS)):
        if ROWS["roles"][query][number] == "g":
            continue
        gallery = [
            row
            for row in range(len(ROWS))
            if ROWS["roles"][row][number] == "g" and ROWS["aspect"][row] == ROWS["aspect"][query]
        ]
        best_first = sorted(gallery, key=lambda row: -units[query] @ units[row])
        rankings.append([identity[row] == identity[query] for row in best_first])
    return rankings


@pytest.mark.parametrize("right", [[True], [False, True], [False, False, True], [False] * 6 + [True]])
def test_one_match_at_rank_r_is_1_or_half_of_1_over_r(right):
    rank = right.index(True) + 1
    found = metrics.map_trapezoid(asked, protocol="").score(*ordered(right))
    assert found == pytest.approx(1 if rank == 1 else 1 / (2 * rank))
    assert found == pytest.approx(area_by_trapezoids(right))
    assert metrics.mean_average_precision(asked, protocol="").score(*ordered(right)) == pytest.approx(1 / rank)


@pytest.mark.parametrize("seed", range(6))
def test_several_matches_are_the_area_by_trapezoids(seed):
    right = (np.random.default_rng(seed).random(12) < 0.4).tolist()
    right[seed] = True
    score = metrics.map_trapezoid(asked, protocol="").score(*ordered(right))
    assert score == pytest.approx(area_by_trapezoids(right), abs=1e-12)


@pytest.mark.parametrize("relevant", [1, 2, 5])
def test_chance_is_the_mean_over_all_orders(relevant):
    orders = set(permutations([True] * relevant + [False] * (5 - relevant)))
    metric = metrics.map_trapezoid(asked, protocol="")
    scores = [metric.score(*ordered(list(order))) for order in orders]
    assert metric.chance(ordered(list(orders.pop()))[0]) == pytest.approx(np.mean(scores), abs=1e-12)


FACTORIES = {
    "ap_standard": (metrics.mean_average_precision, lambda right: 1 / (right.index(True) + 1)),
    "ap_trapezoid": (metrics.map_trapezoid, area_by_trapezoids),
    "Rank-2": (partial(metrics.hit_at, k=2), lambda right: any(right[:2])),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_a_mean_over_splits_is_that_of_the_evaluator_with_each_split_listed(name):
    factory, of_query = FACTORIES[name]
    metric = metrics.over_splits(factory, of_split, SPLITS, name=name, protocol="one image of each")
    wanted = [np.mean([of_query(right) for right in naive(number)]) for number in range(SPLITS)]
    assert len(set(wanted)) > 1
    assert list(metric.retrieval.splits(ROWS, EMBEDDINGS).values()) == pytest.approx(wanted, abs=1e-6)
    assert metric.score(ROWS, EMBEDDINGS) == pytest.approx(np.mean(wanted), abs=1e-6)
    everything = np.arange(len(ROWS))
    assert metric.options.resampled(ROWS, EMBEDDINGS)(everything) == pytest.approx(np.mean(wanted), abs=1e-6)
    assert metric.retrieval.protocol.endswith(f"mean of {SPLITS} splits")
    assert of_first_split(metric.retrieval) == ", first query/gallery split"
    assert of_first_split(factory(lambda rows: of_split(rows, 0), protocol="").retrieval) == ""


def test_rank_k_by_chance_is_k_over_the_gallery():
    metric = metrics.over_splits(partial(metrics.hit_at, k=2), of_split, SPLITS, name="Rank-2", protocol="")
    galleries = [len(right) for number in range(SPLITS) for right in naive(number)]
    per_split = np.split(np.array(galleries), np.cumsum([len(naive(number)) for number in range(SPLITS - 1)]))
    assert metric.chance(ROWS) == pytest.approx(np.mean([(2 / sizes).mean() for sizes in per_split]))


def test_one_image_of_each_identity_is_the_gallery_and_draws_repeat():
    identity = ROWS["person"] + ROWS["aspect"]
    drawn = pd.DataFrame([list(each) for each in ROWS["roles"]])
    for split in drawn:
        assert (drawn[split].eq("g").groupby(identity).sum() == 1).all()
    assert gallery_splits.draw(identity, SPLITS, seed=3) == ROWS["roles"].tolist()
    assert gallery_splits.draw(identity, SPLITS, seed=4) != ROWS["roles"].tolist()
    table = gallery_splits.table(ROWS.index, ROWS["roles"])
    assert len(table) == SPLITS * len(ROWS)
    first = table[(table["split"] == 0) & (table["role"] == "gallery")]
    assert sorted(first["id"]) == drawn.index[drawn[0] == "g"].tolist()
