"""Ranks with ties: expectations against every order of small rankings, averages against scikit-learn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from goldfold.retrieval.hashing import tied_ranks


def precisions(order: list[bool]) -> list[float]:
    """The precision at each relevant row of a ranking."""
    return [sum(order[: at + 1]) / (at + 1) for at, relevant in enumerate(order) if relevant]


def defined(order: list[bool], k: int) -> dict[str, float]:
    """The four definitions, written out for one ranking without ties."""
    total, inside = sum(order), precisions(order[:k])
    return {
        "average_precision": sum(precisions(order)) / total,
        "first_relevant": np.mean(precisions(order)[:k]),
        "cut_by_hits": np.mean(inside) if inside else 0.0,
        "cut_by_relevant": sum(inside) / min(k, total),
    }


def of(name: str, items: np.ndarray, relevant: np.ndarray, k: int) -> tied_ranks.Tied:
    function = getattr(tied_ranks, name)
    return function(items, relevant) if name == "average_precision" else function(items, relevant, k)


@pytest.mark.parametrize("name", ["average_precision", "first_relevant", "cut_by_hits", "cut_by_relevant"])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 7, 20])
def test_expected_worst_and_best_are_those_of_all_orders(name: str, k: int) -> None:
    generator = np.random.default_rng(k)
    items = generator.integers(0, 4, (12, 3))
    relevant = generator.integers(0, items + 1)
    items[0], relevant[0] = [2, 3, 2], [0, 3, 1]
    found = of(name, items, relevant, k)
    for query, (n, r) in enumerate(zip(items, relevant, strict=True)):
        if not r.sum():
            assert all(np.isnan(each[query]) for each in found)
            continue
        parts = [list(permutations([True] * r[at] + [False] * (n[at] - r[at]))) for at in range(3)]
        values = [defined([*a, *b, *c], k)[name] for a in parts[0] for b in parts[1] for c in parts[2]]
        assert found.expected[query] == pytest.approx(np.mean(values), abs=1e-12)
        worst = [each for at in range(3) for each in [False] * (n[at] - r[at]) + [True] * r[at]]
        best = [each for at in range(3) for each in [True] * r[at] + [False] * (n[at] - r[at])]
        assert found.worst[query] == pytest.approx(defined(worst, k)[name], abs=1e-12)
        assert found.best[query] == pytest.approx(defined(best, k)[name], abs=1e-12)
        if name != "cut_by_hits":  # a mean over hits may be lower in another order
            assert found.worst[query] <= found.expected[query] + 1e-12
            assert found.worst[query] == pytest.approx(min(values), abs=1e-12)
            assert found.best[query] == pytest.approx(max(values), abs=1e-12)


def test_without_ties_it_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    relevant = generator.random((30, 200)) < 0.2
    found = tied_ranks.average_precision(np.ones((30, 200), int), relevant.astype(int))
    expected = [average_precision_score(row, -np.arange(200)) for row in relevant]
    for each in found:
        assert np.allclose(each, expected, atol=1e-12)


def test_large_ties_stay_finite_and_random_orders_agree() -> None:
    generator = np.random.default_rng(1)
    items, relevant = np.array([[3, 4000, 20_000]]), np.array([[1, 900, 5000]])
    drawn = {name: [] for name in ("average_precision", "first_relevant", "cut_by_hits", "cut_by_relevant")}
    for _ in range(300):
        parts = [generator.permutation(n) < r for n, r in zip(items[0], relevant[0], strict=True)]
        order = np.concatenate(parts)
        precision = np.flatnonzero(order)
        precision = np.arange(1, len(precision) + 1) / (precision + 1)
        hits = int(order[:50].sum())
        drawn["average_precision"].append(precision.mean())
        drawn["first_relevant"].append(precision[:50].mean())
        drawn["cut_by_hits"].append(precision[:hits].mean() if hits else 0)
        drawn["cut_by_relevant"].append(precision[:hits].sum() / 50)
    for name, values in drawn.items():
        error = np.std(values) / np.sqrt(len(values))
        assert of(name, items, relevant, 50).expected[0] == pytest.approx(np.mean(values), abs=4 * error), name
