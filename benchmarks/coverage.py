"""How often a 95 % interval contains the true score: simulated cross-validations, a table of coverage and width.

    python benchmarks/coverage.py [--draws 400] [--processes 2]

Each data set is drawn anew and cross-validated with a linear model. The true score is the mean over all data sets of a
cell. `folds (t)` is Student's interval over folds alone, for comparison. Classes differ by 1.2 standard deviations of
one of five features, or by 2.5 (AUROC about .80 and .96); groups shift the features of all their rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from goldfold import metrics
from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import ScoredRows
from goldfold.optional_parts import MetricOptions

PER_GROUP = 30  # rows
GROUP_SD = 0.5  # of the shift of a group, in standard deviations of a row


class Cell(NamedTuple):
    """One kind of data set; positives: share of the positive class; groups: 0 for independent rows."""

    metric: str
    rows: int
    positives: float
    folds: int
    groups: int
    apart: float


COLUMNS = (
    "metric",
    "rows",
    "positives",
    "groups",
    "folds",
    "data sets",
    "true score",
    "coverage",
    "width",
    "folds (t): coverage",
    "width",
)


def dice() -> Metric:
    """The mean over images of a Dice score that the column `y` holds; of a tenth of them it is 0."""

    def of_rows(rows: pd.DataFrame, predictions: np.ndarray) -> np.ndarray:
        return rows["y"].to_numpy()

    return Metric(
        name="dice",
        score=lambda rows, predictions: float(of_rows(rows, predictions).mean()),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: 0.0,
        options=MetricOptions(per_row=of_rows),
    )


METRICS = {
    "AUROC": metrics.auroc("y"),
    "average precision": metrics.average_precision("y"),
    "accuracy": metrics.accuracy("y"),
    "RMSE": metrics.rmse("y"),
    "Dice": dice(),
}
OF_CLASSES = ("AUROC", "average precision", "accuracy")


def cells() -> Iterator[Cell]:
    for name in METRICS:
        shares = (0.1, 0.5) if name in OF_CLASSES else (0.0,)
        for apart in (1.2, 2.5) if name in ("AUROC", "average precision") else (1.2,):
            for rows in (200, 2000):
                for share in shares:
                    for folds in (2, 5, 10):
                        yield Cell(name, rows, share, folds, 0, apart)
        for groups in (5, 10, 30):
            yield Cell(name, PER_GROUP * groups, 0.3, min(5, groups), groups, 1.2)


def draw(cell: Cell, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 5), targets, groups, and the fold of each row."""
    n, groups = cell.rows, np.arange(cell.rows) * max(1, cell.groups) // cell.rows
    shift = GROUP_SD * random.normal(size=max(1, cell.groups))[groups] if cell.groups else np.zeros(n)
    features = random.normal(size=(n, 5))
    if cell.metric in OF_CLASSES:
        target = (random.random(n) < cell.positives).astype(float)
        features[:, 0] += cell.apart * target + shift
    elif cell.metric == "RMSE":
        target = features[:, 0] + random.normal(size=n) + shift
    else:
        target = np.where(random.random(n) < 0.1, 0, random.beta(4, 1.2, n)) * np.clip(1 - 0.25 * abs(shift), 0, 1)
    if cell.groups:
        return features, target, groups, (random.permutation(cell.groups) % cell.folds)[groups]
    order = random.permutation(n)
    if cell.metric in OF_CLASSES:
        order = order[np.argsort(target[order], kind="stable")]  # stratified
    fold = np.empty(n, int)
    fold[order] = np.arange(n) % cell.folds
    return features, target, groups, fold


def out_of_fold(features: np.ndarray, target: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Predictions of least squares on the rows of the other folds."""
    columns = np.column_stack([features, np.ones(len(features))])
    predicted = np.empty(len(target))
    for number in np.unique(fold):
        own = fold == number
        weights = np.linalg.lstsq(columns[~own], target[~own], rcond=None)[0]
        predicted[own] = columns[own] @ weights
    return predicted


class Intervals(NamedTuple):
    mean: float
    found: list[float]
    over_folds: list[float]


def one(cell: Cell, random: np.random.Generator) -> Intervals | None:
    """The intervals of one data set; None if a fold lacks a class."""
    metric = METRICS[cell.metric]
    features, target, groups, fold = draw(cell, random)
    predicted = out_of_fold(features, target, fold)
    if cell.metric == "accuracy":
        predicted = np.clip(predicted, 0, 1)
        predicted = np.column_stack([1 - predicted, predicted])
    if cell.metric in OF_CLASSES:
        target = target.astype(int)
    rows = pd.DataFrame({"y": target})
    parts = [
        ScoredRows(
            rows[fold == number].reset_index(drop=True),
            [predicted[fold == number]],
            _groups(cell, groups, fold == number),
        )
        for number in range(cell.folds)
    ]
    rarest = int(min(target.sum(), len(target) - target.sum())) if cell.metric in OF_CLASSES else None
    try:
        scores = [metric.score(part.rows, part.predictions[0]) for part in parts]
    except GoldfoldError:
        return None
    edges = limits.of_mean(scores, metric.bounds, jackknife.sampling(metric, parts, rarest))
    over_folds = limits.over_folds(scores, metric.bounds)
    assert edges is not None
    assert over_folds is not None
    return Intervals(float(np.mean(scores)), edges, over_folds)


def _groups(cell: Cell, groups: np.ndarray, own: np.ndarray) -> np.ndarray | None:
    return groups[own] if cell.groups else None


def simulate(cell: Cell, draws: int) -> tuple[int, float, list[float], list[float]]:
    """Data sets, the true score, coverage and mean width of the interval and of that over folds alone."""
    random = np.random.default_rng([int(100 * part) for part in cell[1:]])
    found = [each for each in (one(cell, random) for _ in range(draws)) if each is not None]
    truth = float(np.mean([each.mean for each in found]))
    edges = np.array([[each.found, each.over_folds] for each in found])
    covered = (edges[..., 0] <= truth) & (truth <= edges[..., 1])
    return len(found), truth, covered.mean(axis=0).tolist(), np.diff(edges)[..., 0].mean(axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400, help="data sets per cell")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    grid = list(cells())
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    covered = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for cell, (used, truth, share, width) in zip(
            grid, pool.map(partial(simulate, draws=arguments.draws), grid), strict=True
        ):
            covered.append(share[0])
            about = (
                cell.metric,
                f"{cell.rows:,}",
                f"{cell.positives:.0%}" if cell.positives else "-",
                cell.groups or "-",
                cell.folds,
                used,
                f"{truth:.3f}",
                f"{share[0]:.3f}",
                f"{width[0]:.3f}",
                f"{share[1]:.3f}",
                f"{width[1]:.3f}",
            )
            print("| " + " | ".join(map(str, about)) + " |", flush=True)
    inside = sum(0.93 <= each <= 0.98 for each in covered)
    noise = 1.96 * (0.95 * 0.05 / arguments.draws) ** 0.5
    print(
        f"\n{inside} of {len(covered)} cells between .93 and .98; lowest {min(covered):.3f}, highest {max(covered):.3f}"
    )
    print(f"a coverage of .95 is simulated to ±{noise:.3f}")


if __name__ == "__main__":
    main()
