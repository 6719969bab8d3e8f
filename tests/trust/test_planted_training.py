"""Faults of training planted in a recipe of one's own, each caught by its code in a whole run; clean twins are silent.

Two folds of 24 rows are trained through the Python API, so that what is checked is what a run reports.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from made_tables import train
from planted_network import TABLES, Single, by_class, cross_entropy, embedder, only, pull, recipe, without
from planted_training import PLANTED, Centers, FirstOnly, alignment, frozen_alignment, joined
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import goldfold as gf
from goldfold import metrics
from goldfold.competition import Recipe
from goldfold.training.predictor import labels_refused

CODES = {  # that these cases may raise; others, such as those of a small sample, are not of training
    *("collapse", "constant_feature", "dead_loss_term", "lr_per_group", "lr_swings", "no_gradient", "one_loss_term"),
    *("optimizer_never_stepped", "orphan_parameter", "parameter_outside_model", "schedule_not_finished"),
}


def run_of(made: Recipe, **options) -> gf.Run:
    return train(metrics.auroc("y"), made, TABLES, **options)


def told(run: gf.Run) -> dict[str, list[str]]:
    """Code -> messages, of the codes of training."""
    found: dict[str, list[str]] = {}
    for each in run.findings:
        if each.code in CODES:
            found.setdefault(each.code, []).append(each.message)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_fault_is_caught_by_its_code(toy: Path, case: str) -> None:
    parts, expected, _ = PLANTED[case]
    found = told(run_of(recipe(**parts)))
    assert set(found) == set(expected), found
    for code, words in expected.items():
        assert any(words in message for message in found[code]), found[code]


TWINS = {case: twin for case, (_, _, twin) in PLANTED.items() if twin} | {
    "all losses": {},
    "a single loss": {"losses": only(cross_entropy), "model": Single},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TWINS)
def test_the_clean_twin_is_silent(toy: Path, case: str) -> None:
    assert told(run_of(recipe(**TWINS[case]))) == {}


def test_several_faults_of_one_recipe_are_told_apart(toy: Path) -> None:
    """Case L in one run: centers whose optimizer never steps, a head outside the sum, centers outside the model."""
    losses = without("arcface", beside=partial(pull, Centers().values), alignment=alignment(0))
    faulty = told(run_of(recipe(losses, partial(joined, FirstOnly))))
    assert set(faulty) == {"optimizer_never_stepped", "no_gradient", "parameter_outside_model", "constant_feature"}


def test_learning_the_opposite_is_best_after_epoch_1_and_patience_excuses_a_schedule(toy: Path) -> None:
    def opposite(model: nn.Module, batch: tuple) -> torch.Tensor:
        return cross_entropy(model, (batch[0], 1 - batch[1]))

    def codes(losses: Callable, **options) -> set[str]:
        made = recipe(
            only(losses),
            lambda model: torch.optim.SGD(model.parameters(), 0.05),
            epochs=8,
            schedule=lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=100),
            model=Single,
        )
        return {each.code for each in run_of(made, **options).findings} & {"first_epoch_best", "schedule_not_finished"}

    assert codes(opposite, select="best", patience=2) == {"first_epoch_best"}
    assert codes(cross_entropy) == {"schedule_not_finished"}


def test_a_term_without_gradient_stops_the_run(toy: Path) -> None:
    """Case A: the towers are frozen, so that the alignment has no trainable ancestor."""
    with raises_code("dead_loss_term", "'alignment' has no gradient"):
        run_of(recipe(without(alignment=frozen_alignment)))


@pytest.mark.parametrize(
    "read", [lambda rows: rows["y"], lambda rows: rows[["x0", "y"]], lambda rows: rows.y], ids=["[]", "[[]]", "."]
)
def test_a_prediction_from_labels_is_refused_by_name(toy: Path, read: Callable) -> None:
    """Case P: a predict that reads the labels of the rows it predicts."""

    def cheat(model: nn.Module, state: None, rows: pd.DataFrame) -> np.ndarray:
        return read(rows).to_numpy(float)

    with raises_code("label_at_inference", "predict() reads the target column 'y'"):
        run_of(recipe(predict=cheat))


def test_another_missing_column_is_no_label() -> None:
    rows, own = pd.DataFrame({"x": [1.0]}), {"y2": 1}
    for read in (lambda: rows["y1"], lambda: own["y"], lambda: rows.y1):
        with pytest.raises((KeyError, AttributeError)), labels_refused(["y"]):
            read()


# -- embeddings


@pytest.mark.slow
def test_embeddings_of_ones_own_are_watched_for_collapse(toy: Path) -> None:
    """Case G: nothing in the recipe measures how far embeddings are apart."""
    metric = metrics.mean_average_precision(by_class, protocol="all others answer")
    for spread, expected in ((1e-4, True), (1.0, False)):
        run = train(metric, embedder(spread, 0.01), TABLES, outputs=9)
        found = told(run).get("collapse", [])
        assert bool(found) == expected
        assert all("the embeddings that the fit predicts are collapsed (one point: spread" in each for each in found)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "level"), [(0.05, None), (1e-7, "note")])
def test_two_folds_are_compared_with_nothing_trained_by_their_rows(toy: Path, rate: float, level: str | None) -> None:
    """Case O: what training took off each row's error decides, where two folds have no interval worth the name."""
    metric = metrics.mean_average_precision(by_class, protocol="all others answer")
    run = train(metric, embedder(1.0, rate), TABLES, outputs=9)
    found = [each for each in run.findings if each.code == "below_untrained"]
    assert [each.level for each in found] == ([level] if level else [])
    assert all("95 % interval of what a row's error fell by" in each.message for each in found)
