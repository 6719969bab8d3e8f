"""mAP of hash codes against scikit-learn over random orders of ties, chance by a random ranking, and fields."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from goldfold import metrics
from goldfold.data.fields import records
from goldfold.errors import GoldfoldError
from goldfold.retrieval.pairs import by_shared_label

LABELS = ["cat", "dog", "tree"]
GENERATOR = np.random.default_rng(0)
ROWS = pd.DataFrame(GENERATOR.random((40, 3)) < 0.3, columns=LABELS).astype(int)
OUTPUTS = np.tanh(ROWS.to_numpy() @ GENERATOR.normal(size=(3, 8)) + 0.3 * GENERATOR.normal(size=(40, 8)))


def pairs(rows: pd.DataFrame):
    return by_shared_label(rows[LABELS].to_numpy())


def test_map_is_scikit_learns_over_random_orders() -> None:
    bits = (OUTPUTS > 0).astype(int)
    distance = np.abs(bits[:, None] - bits[None]).sum(axis=2)
    shared = (ROWS.to_numpy() @ ROWS.to_numpy().T) > 0
    drawn = []
    for seed in range(200):
        noise = np.random.default_rng(seed).random((40, 40)) / 2
        others = [np.delete(np.arange(40), at) for at in range(40)]
        scored = [at for at in range(40) if shared[at, others[at]].any()]
        drawn.append(
            np.mean(
                [average_precision_score(shared[at, others[at]], -(distance + noise)[at, others[at]]) for at in scored]
            )
        )
    metric = metrics.hash_map(pairs)
    assert metric.score(ROWS, OUTPUTS) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(200))
    worst, best = (metrics.hash_map(pairs, order=order).score(ROWS, OUTPUTS) for order in ("worst", "best"))
    assert worst < min(drawn) < metric.score(ROWS, OUTPUTS) < max(drawn) < best


def test_one_code_for_all_scores_as_chance() -> None:
    same = np.ones((40, 8))
    for definition in ("all_ranks", "first_relevant", "cut_by_hits", "cut_by_relevant"):
        metric = metrics.hash_map(pairs, definition=definition, k=10)
        assert metric.score(ROWS, same) == pytest.approx(metric.chance(ROWS))
    within = metrics.hash_precision(pairs)
    assert within.score(ROWS, same) == pytest.approx(within.chance(ROWS))


def test_the_definition_is_in_the_name() -> None:
    made = [
        metrics.hash_map(pairs),
        metrics.hash_map(pairs, order="worst"),
        metrics.hash_map(pairs, definition="first_relevant", k=50),
        metrics.hash_map(pairs, definition="cut_by_hits", k=20),
        metrics.hash_precision(pairs),
    ]
    assert [metric.name for metric in made] == [
        "hash mAP",
        "hash mAP, worst ties",
        "hash mAP@50 (a)",
        "hash mAP@20 (b)",
        "hash precision within 2",
    ]


def test_a_field_of_records_is_read_and_bootstrap_draws_queries() -> None:
    metric = metrics.hash_map(pairs, field="code")
    predictions = records(score=ROWS.to_numpy(float), code=OUTPUTS)
    assert metric.score(ROWS, predictions) == metrics.hash_map(pairs).score(ROWS, OUTPUTS)
    everything = metric.options.resampled(ROWS, predictions)(np.arange(40))
    assert everything == pytest.approx(metric.score(ROWS, predictions))
    errors = metric.options.row_error(ROWS, predictions)
    assert errors.shape == (40,)
    assert (errors >= 0).all()


def test_rows_that_share_nothing_are_refused() -> None:
    rows = pd.DataFrame(np.eye(3, dtype=int), columns=LABELS)
    with pytest.raises(GoldfoldError) as error:
        metrics.hash_map(pairs).score(rows, OUTPUTS[:3])
    assert error.value.code == "no_relevant_rows"
