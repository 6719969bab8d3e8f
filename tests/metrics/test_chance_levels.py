"""The printed chance level of a score that ranks is the mean score of rankings that know nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from goldfold import metrics
from goldfold.competition import Metric


def labeled(rows: int, positives: int) -> pd.DataFrame:
    return pd.DataFrame({"y": np.arange(rows) < positives, "kind": np.arange(rows) % 2}).astype(int)


def several(rows: int, labels: int, positives: int) -> pd.DataFrame:
    draw, column = np.random.default_rng(1), (np.arange(rows) < positives).astype(int)
    return pd.DataFrame({f"l{label}": draw.permutation(column) for label in range(labels)})


CASES = {
    "AP of 3 in 60": (metrics.average_precision("y"), labeled(60, 3), (), 0.110),
    "AP of 1 in 2": (metrics.average_precision("y"), labeled(2, 1), (), 0.75),
    "macro AP of 2 in 100": (
        metrics.average_precision([f"l{k}" for k in range(20)]),
        several(100, 20, 2),
        (20,),
        0.063,
    ),
    "AUROC": (metrics.auroc("y"), labeled(40, 7), (), 0.5),
    "macro AUROC": (metrics.multilabel_auroc(["l0", "l1"]), several(30, 2, 4), (2,), 0.5),
    "best F1 of 6 in 60": (metrics.f1_best("y"), labeled(60, 6), (), 0.266),
    "best F1 of 8 in 20 by kind": (metrics.f1_best("y", by="kind"), labeled(20, 8), (), None),
    "F1 at a quantile of 6 in 60": (metrics.f1_at_quantile("y"), labeled(60, 6), (), None),
}


@pytest.mark.parametrize("draws", [200, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("metric", "rows", "shape", "known"), CASES.values(), ids=CASES)
def test_chance_is_the_mean_score_of_random_rankings(
    metric: Metric, rows: pd.DataFrame, shape: tuple[int, ...], known: float | None, draws: int
) -> None:
    draw = np.random.default_rng(7)
    scores = [metric.score(rows, draw.random((len(rows), *shape))) for _ in range(draws)]
    error = np.std(scores, ddof=1) * np.sqrt(1 / draws + 1 / 1000)  # some chance levels are means of 1,000 draws
    assert metric.chance(rows) == pytest.approx(np.mean(scores), abs=4 * error)
    if known:
        assert metric.chance(rows) == pytest.approx(known, abs=0.004)


def test_chance_of_average_precision_is_exact_over_all_orders() -> None:
    """2 positives of 4 rows: the 6 places of the positives are equally likely."""
    places = [(first, second) for second in range(1, 4) for first in range(second)]
    exact = np.mean([(1 / (first + 1) + 2 / (second + 1)) / 2 for first, second in places])
    assert metrics.average_precision("y").chance(labeled(4, 2)) == pytest.approx(exact, abs=1e-12)


def test_chance_of_large_sets_tends_to_the_share_of_positives() -> None:
    assert metrics.average_precision("y").chance(labeled(100_000, 5_000)) == pytest.approx(0.05, abs=2e-4)
    assert metrics.f1_best("y").chance(labeled(20_000, 4_000)) == pytest.approx(1 / 3, abs=2e-3)


def test_binary_f1_is_that_of_the_second_class_and_chance_calls_all_rows_positive() -> None:
    from sklearn.metrics import f1_score

    rows, draw = labeled(50, 9), np.random.default_rng(3)
    metric = metrics.f1("y", average="binary")
    predictions = draw.random(50)
    assert metric.name == "f1_binary"
    assert metric.score(rows, predictions) == pytest.approx(f1_score(rows["y"], predictions > 0.5), abs=1e-12)
    assert metric.chance(rows) == pytest.approx(metric.score(rows, np.ones(50)), abs=1e-12)
    assert metric.score(rows, np.zeros(50)) == 0
