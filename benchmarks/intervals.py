"""Seconds of the intervals of twelve metrics over five folds, equal to leaving rows out and scoring anew.

    .venv/bin/python benchmarks/intervals.py [--rows 1200] [--labels 25] [--repeats 3]

A run computes an interval for the mean over its folds and one for all rows together: 200 blocks of rows are left out
in turn for each. The scores are first asserted equal to `metric.score` of the rows that are left, which is what a plain
implementation would call, for 20 of the blocks. Then come CPU seconds with one thread, as the median of repeats, beside
those of the plain implementation, estimated from the 20 blocks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from goldfold import metrics
from goldfold.competition import Metric
from goldfold.experiment.intervals.jackknife import ScoredRows, sampling, units_of
from goldfold.experiment.scoring import resampling_scorer

FOLDS, CHECKED = 5, 20
APART = 1e-12
ALONE = "of one label"


def drawn(rows: int, labels: int) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Labels, 10 % of them positive, and predicted probabilities that know a part of them."""
    generator = np.random.default_rng(0)
    names = [f"label{number}" for number in range(labels)]
    truth = generator.random((rows, labels)) < 0.1
    predicted = 1 / (1 + np.exp(-(2 * truth + generator.normal(-2, 1.2, truth.shape))))
    return pd.DataFrame(truth.astype(int), columns=names), predicted.astype(np.float32), names


def measured(names: list[str]) -> dict[str, Metric]:
    """Metrics by name; those `of one label` take the first column alone."""
    return {
        "average precision": metrics.average_precision(names),
        "average precision, empty as 0": metrics.average_precision(names, empty="zero"),
        f"average precision {ALONE}": metrics.average_precision(names[0]),
        "AUROC": metrics.multilabel_auroc(names),
        f"AUROC {ALONE}": metrics.auroc(names[0]),
        "LRAP": metrics.label_ranking_average_precision(names),
        "F1, macro": metrics.multilabel_f1(names),
        "F1, micro": metrics.multilabel_f1(names, average="micro"),
        "precision": metrics.multilabel_precision(names),
        "recall": metrics.multilabel_recall(names),
        "Hamming loss": metrics.hamming_loss(names),
        "subset accuracy": metrics.subset_accuracy(names),
    }


def scored(rows: pd.DataFrame, predicted: np.ndarray, parts: int) -> list[ScoredRows]:
    places = np.array_split(np.arange(len(rows)), parts)
    return [ScoredRows(rows.iloc[place].reset_index(drop=True), [predicted[place]]) for place in places]


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def plain_seconds(metric: Metric, rows: pd.DataFrame, predicted: np.ndarray) -> float:
    """Seconds of scoring anew what some blocks leave, for all blocks; asserts that the fast way gives the same."""
    fast = resampling_scorer(metric, rows, predicted)
    units = units_of(len(rows), None)
    kept = [np.setdiff1d(np.arange(len(rows)), unit) for unit in units[:CHECKED]]
    metric.score(rows, predicted)  # what it imports is not counted
    start = time.process_time()
    plain = [metric.score(rows.iloc[index].reset_index(drop=True), predicted[index]) for index in kept]
    took = time.process_time() - start
    apart = max(abs(fast(index) - score) for index, score in zip(kept, plain, strict=True))
    assert apart <= APART, f"{metric.name} differs by {apart:.1e}"
    return took / len(kept) * len(units)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--labels", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, predicted, names = drawn(arguments.rows, arguments.labels)
    print("| metric | CPU s of both intervals | all rows alone, scored anew, estimated |\n|---|---:|---:|")
    total = total_plain = 0.0
    for name, metric in measured(names).items():
        given = predicted[:, 0] if ALONE in name else predicted
        plain = plain_seconds(metric, rows, given)
        whole, folds = scored(rows, given, 1), scored(rows, given, FOLDS)
        took = statistics.median(
            seconds(lambda: (sampling(metric, folds), sampling(metric, whole)))  # noqa: B023
            for _ in range(arguments.repeats)
        )
        total, total_plain = total + took, total_plain + plain
        print(f"| {name} | {took:.3f} | {plain:.1f} |", flush=True)
    print(f"| all | **{total:.2f}** | {total_plain:.1f} |")


if __name__ == "__main__":
    main()
