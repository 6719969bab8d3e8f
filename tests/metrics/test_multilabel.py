"""Metrics of several labels per row against scikit-learn and torchmetrics, where their definitions agree and differ."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
import torch
import torchmetrics.functional.classification as theirs
from error_codes import raises_code

from goldfold import metrics
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import ScoredRows
from goldfold.metrics import label_ranks

NAMES = tuple(f"g{number:02d}" for number in range(20))
DRAW = np.random.default_rng(0)
TRUTH = (DRAW.random((300, 20)) < np.linspace(0.05, 0.6, 20)).astype(int)
GUESS = np.clip(0.35 * TRUTH + 0.65 * DRAW.random(TRUTH.shape), 0, 1).round(2)  # rounded, so that there are ties
TRUTH[7] = 0  # a row without labels
EMPTY = TRUTH.copy()
EMPTY[:, 3] = 0


def rows_of(truth: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(truth, columns=NAMES)


ROWS = rows_of(TRUTH)
TENSORS = torch.tensor(GUESS), torch.tensor(TRUTH)


def of_torchmetrics(name: str, truth: np.ndarray = TRUTH, guess: np.ndarray = GUESS, **options) -> float:
    with warnings.catch_warnings(action="ignore"):
        return float(getattr(theirs, name)(torch.tensor(guess), torch.tensor(truth), num_labels=20, **options))


DECIDED = (GUESS > 0.5).astype(int)
AGREED = {
    "mAP": (
        metrics.average_precision(NAMES),
        reference.average_precision_score(TRUTH, GUESS, average="macro"),
        of_torchmetrics("multilabel_average_precision"),
    ),
    "auroc": (
        metrics.multilabel_auroc(NAMES),
        reference.roc_auc_score(TRUTH, GUESS, average="macro"),
        of_torchmetrics("multilabel_auroc"),
    ),
    "f1 macro": (
        metrics.multilabel_f1(NAMES),
        reference.f1_score(TRUTH, DECIDED, average="macro"),
        of_torchmetrics("multilabel_f1_score"),
    ),
    "f1 micro": (
        metrics.multilabel_f1(NAMES, average="micro"),
        reference.f1_score(TRUTH, DECIDED, average="micro"),
        of_torchmetrics("multilabel_f1_score", average="micro"),
    ),
    "precision": (
        metrics.multilabel_precision(NAMES),
        reference.precision_score(TRUTH, DECIDED, average="macro"),
        of_torchmetrics("multilabel_precision"),
    ),
    "recall": (
        metrics.multilabel_recall(NAMES),
        reference.recall_score(TRUTH, DECIDED, average="macro"),
        of_torchmetrics("multilabel_recall"),
    ),
    "hamming": (
        metrics.hamming_loss(NAMES),
        reference.hamming_loss(TRUTH, DECIDED),
        of_torchmetrics("multilabel_hamming_distance"),
    ),
    "lrap": (
        metrics.label_ranking_average_precision(NAMES),
        reference.label_ranking_average_precision_score(TRUTH, GUESS),
        of_torchmetrics("multilabel_ranking_average_precision"),
    ),
    "exact match": (
        metrics.subset_accuracy(NAMES),
        reference.accuracy_score(TRUTH, DECIDED),
        of_torchmetrics("multilabel_exact_match"),
    ),
}


@pytest.mark.parametrize("name", AGREED)
def test_scores_are_scikit_learns_and_torchmetrics(name: str) -> None:
    metric, sklearn_score, torch_score = AGREED[name]
    assert metric.score(ROWS, GUESS) == pytest.approx(sklearn_score, abs=1e-9)
    assert metric.score(ROWS, GUESS) == pytest.approx(torch_score, abs=1e-6)
    assert metric.options.classes == NAMES


@pytest.mark.parametrize("name", AGREED)
def test_a_bootstrap_draw_is_the_score_of_the_drawn_rows(name: str) -> None:
    metric = AGREED[name][0]
    if metric.options.resampled is None:
        return
    index = np.random.default_rng(1).integers(0, len(ROWS), len(ROWS))
    drawn = metric.score(ROWS.iloc[index].reset_index(drop=True), GUESS[index])
    assert metric.options.resampled(ROWS, GUESS)(index) == pytest.approx(drawn, abs=1e-12)
    mean = metric.score(ROWS, GUESS)
    low, high = limits.of_mean([mean], (0, 1), jackknife.sampling(metric, [ScoredRows(ROWS, [GUESS])]))
    assert low < mean < high


def test_an_empty_class_is_skipped_where_others_count_it_as_zero() -> None:
    empty, kept = rows_of(EMPTY), np.delete(np.arange(20), 3)
    skip, zero = (metrics.average_precision(NAMES, empty=each) for each in ("skip", "zero"))
    filled = reference.average_precision_score(EMPTY[:, kept], GUESS[:, kept], average="macro")
    with warnings.catch_warnings(action="ignore"):
        counted = reference.average_precision_score(EMPTY, GUESS, average="macro")
    assert skip.score(empty, GUESS) == pytest.approx(filled, abs=1e-9)
    assert zero.score(empty, GUESS) == pytest.approx(counted, abs=1e-9)
    assert zero.score(empty, GUESS) == pytest.approx(of_torchmetrics("multilabel_average_precision", EMPTY), abs=1e-6)
    assert filled == pytest.approx(counted * 20 / 19)
    assert np.flatnonzero(np.isnan(skip.options.per_class(empty, GUESS))).tolist() == [3]


def test_the_auroc_of_an_empty_class_is_skipped_where_others_give_nan_or_zero() -> None:
    empty, metric = rows_of(EMPTY), metrics.multilabel_auroc(NAMES)
    per_class = metric.options.per_class(empty, GUESS)
    with warnings.catch_warnings(action="ignore"):
        assert np.isnan(reference.roc_auc_score(EMPTY, GUESS, average="macro"))
    assert of_torchmetrics("multilabel_auroc", EMPTY) == pytest.approx(np.nan_to_num(per_class).mean(), abs=1e-6)
    assert metric.score(empty, GUESS) == pytest.approx(np.nanmean(per_class))
    everything = rows_of(np.ones_like(TRUTH))
    with raises_code("metric_one_class", "300 rows", "20 classes"):
        metric.score(everything, GUESS)


def test_logits_are_refused_where_torchmetrics_applies_a_sigmoid() -> None:
    logits = np.log(GUESS.clip(0.01, 0.99) / (1 - GUESS.clip(0.01, 0.99)))
    assert of_torchmetrics("multilabel_f1_score", guess=logits) == pytest.approx(AGREED["f1 macro"][2])
    for factory in (metrics.multilabel_f1, metrics.hamming_loss, metrics.subset_accuracy):
        with raises_code("not_probabilities", "sigmoid"):
            factory(NAMES).score(ROWS, logits)


def test_a_probability_of_one_half_is_no_label() -> None:
    halves = np.full(TRUTH.shape, 0.5)
    assert metrics.multilabel_recall(NAMES).score(ROWS, halves) == 0
    assert of_torchmetrics("multilabel_recall", guess=halves) == 0
    loss = metrics.hamming_loss(NAMES)
    assert loss.score(ROWS, halves) == loss.chance(ROWS) == TRUTH.mean()


def test_a_row_without_labels_counts_one_in_lrap() -> None:
    metric = metrics.label_ranking_average_precision(NAMES)
    assert metric.options.per_row(ROWS, GUESS)[7] == 1
    assert metric.options.row_error(ROWS, GUESS)[7] == 0


def test_chance_levels_are_scores_of_constants() -> None:
    shares = TRUTH.mean(axis=0)
    constant = np.broadcast_to(shares, TRUTH.shape)
    lrap, macro = metrics.label_ranking_average_precision(NAMES), metrics.multilabel_f1(NAMES)
    assert lrap.chance(ROWS) == pytest.approx(lrap.score(ROWS, constant))
    assert macro.chance(ROWS) == pytest.approx(macro.score(ROWS, np.ones(TRUTH.shape)))
    micro = metrics.multilabel_f1(NAMES, average="micro")
    tries = [micro.score(ROWS, np.broadcast_to(shares >= edge, TRUTH.shape).astype(float)) for edge in shares]
    assert micro.chance(ROWS) == pytest.approx(max(tries))
    exact = metrics.subset_accuracy(NAMES[:2])
    sets, counts = np.unique(TRUTH[:, :2], axis=0, return_counts=True)
    common = np.broadcast_to(sets[counts.argmax()], (300, 2)).astype(float)
    assert exact.chance(ROWS) == pytest.approx(exact.score(ROWS, common))
    assert metrics.multilabel_precision(NAMES).chance(ROWS) == pytest.approx(
        metrics.multilabel_precision(NAMES).score(ROWS, np.ones(TRUTH.shape))
    )


def test_the_order_of_tied_rows_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(300)
    tied = GUESS.round(1)
    for ratio in (label_ranks.average_precisions, label_ranks.areas):
        one = ratio(label_ranks.ranked(TRUTH, tied), np.ones(300))
        assert one == pytest.approx(ratio(label_ranks.ranked(TRUTH[order], tied[order]), np.ones(300)), abs=1e-12)
