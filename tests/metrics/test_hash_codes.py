"""mAP of hash codes against scikit-learn over random orders of ties, chance by a random ranking, and fields."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from sklearn.metrics import average_precision_score, precision_recall_curve

from goldfold import metrics
from goldfold.data.fields import records
from goldfold.errors import GoldfoldError
from goldfold.retrieval.hashing.radius_curves import radius_curve
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


def test_validation_rows_search_the_training_rows_of_their_fit() -> None:
    """As a metric of all rows in which the validation rows ask and the training rows answer."""
    asks = np.arange(40) < 15
    whole = metrics.hash_map(lambda rows: by_shared_label(rows[LABELS].to_numpy(), queries=asks))
    within = metrics.hash_precision(lambda rows: by_shared_label(rows[LABELS].to_numpy(), queries=asks))
    validation, training = ROWS[:15], ROWS[15:].reset_index(drop=True)
    index = {"codes": np.packbits(OUTPUTS[15:] > 0, axis=1)}
    for made, wanted in (
        (metrics.hash_map(pairs, database="training_rows"), whole),
        (metrics.hash_precision(pairs, database="training_rows"), within),
    ):
        assert made.name == f"{wanted.name}, training rows in database"
        database = made.options.training_database
        assert database.score(validation, OUTPUTS[:15], training, index) == pytest.approx(wanted.score(ROWS, OUTPUTS))
        assert database.chance(validation, training) == pytest.approx(wanted.chance(ROWS))
        with raises_code("training_rows_needed", "`also`"):
            made.score(validation, OUTPUTS[:15])


def test_rows_that_ask_already_cannot_be_chosen_again() -> None:
    asking = metrics.hash_map(
        lambda rows: by_shared_label(rows[LABELS].to_numpy(), queries=np.arange(len(rows)) < 3),
        database="training_rows",
    )
    index = {"codes": np.packbits(OUTPUTS[15:] > 0, axis=1)}
    with raises_code("pairs_not_of_all_rows", "3 queries"):
        asking.options.training_database.score(ROWS[:15], OUTPUTS[:15], ROWS[15:], index)


def test_the_curve_of_a_query_is_scikit_learns() -> None:
    items, relevant = metrics.hash_map(pairs).options.by_distance(ROWS, OUTPUTS)
    bits = OUTPUTS > 0
    for query in range(6):
        others = np.delete(np.arange(40), query)
        distance = (bits[query] != bits[others]).sum(axis=1)
        shared = (ROWS.to_numpy()[query] * ROWS.to_numpy()[others]).any(axis=1)
        if not shared.any():
            continue
        curve = radius_curve(items[[query]], relevant[[query]])
        precision, recall, thresholds = precision_recall_curve(shared, -distance)
        for one, other, threshold in zip(precision, recall, thresholds, strict=False):
            assert curve.precision[-threshold] == pytest.approx(one)
            assert curve.recall[-threshold] == pytest.approx(other)


def test_the_curve_ends_at_chance_and_passes_the_metric() -> None:
    made = metrics.hash_precision(pairs, radius=2)
    curve = radius_curve(*made.options.by_distance(ROWS, OUTPUTS))
    assert len(curve.precision) == 9
    assert curve.precision[2] == pytest.approx(made.score(ROWS, OUTPUTS))
    assert curve.precision[-1] == pytest.approx(made.chance(ROWS))
    assert curve.recall[-1] == 1
    assert (np.diff(curve.recall) >= 0).all()
    assert curve.empty[-1] == 0
