"""Metrics of a ranking: only the order of the predicted scores counts, not their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError, unknown
from goldfold.fields import field
from goldfold.metrics.inputs import codes, labels, scores

if TYPE_CHECKING:
    from pandas import DataFrame


def auroc(target: str, *, classes: Sequence = (0, 1)) -> Metric:
    """Area under the ROC curve: the share of (negative, positive) pairs in the right order, ties counting one half.

    target: a column that holds `classes`, negative first; 0 and 1 may be False and True.
    Predictions: (n,) scores, larger for the positive class, (n, 2) with the positive class second, or records with a
    field `score`.
    Rows of one class have no AUROC: GoldfoldError. Chance is 0.5. `error` is the share of the other class that a row is
    on the wrong side of, ties counting one half: its mean over either class is 1 - AUROC.
    """

    def truth_and_scores(rows: DataFrame, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        predictions = scores(field(predictions, "score"), rows, (), (2,))
        return codes(labels(rows, target), classes, f"target '{target}'"), predictions.reshape(len(rows), -1)[:, -1]

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        from sklearn.metrics import roc_auc_score

        truth, positive = truth_and_scores(rows, predictions)
        _refuse_one_class(truth, target, classes)
        return float(roc_auc_score(truth, positive))

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        truth, positive = truth_and_scores(rows, predictions)
        _, level = np.unique(positive, return_inverse=True)

        def score_of(index: np.ndarray) -> float:
            _refuse_one_class(truth[index], target, classes)
            counts = (np.bincount(level[index], truth[index] == code, level.max() + 1) for code in (0, 1))
            return area_by_level(*counts)

        return score_of

    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        truth, positive = truth_and_scores(rows, predictions)
        return np.where(
            truth, _share_above(positive, positive[truth == 0]), _share_above(-positive, -positive[truth == 1])
        )

    return Metric(
        name="auroc",
        score=score,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: 0.5,
        error=error,
        resampled=resampled,
    )


def _share_above(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each score the share of `others` that is larger, ties counting one half; 0 where there are no others."""
    ranked = np.sort(others)
    below, up_to = (np.searchsorted(ranked, scores, side=side) for side in ("left", "right"))
    return 1 - (below + up_to) / (2 * len(ranked)) if len(ranked) else np.zeros(len(scores))


def _refuse_one_class(truth: np.ndarray, target: str, classes: Sequence) -> None:
    if len(np.unique(truth)) < 2:
        only = classes[truth[0]]
        raise GoldfoldError(f"AUROC needs both classes of '{target}', but all {len(truth)} rows are {only!r}: stratify")


def area_by_level(negatives: np.ndarray, positives: np.ndarray) -> float:
    """The area under the ROC curve of scores counted by level, (levels,) each in ascending order of the score."""
    below = negatives.cumsum() - negatives / 2  # ties count one half
    return float(positives @ below / (positives.sum() * negatives.sum()))


def average_precision(targets: str | Sequence[str], *, empty: Literal["skip", "zero"] = "skip") -> Metric:
    """Mean over classes of the average precision, the step-wise sum of (R_k - R_{k-1}) P_k.

    targets: a column of 0 and 1 (or bool) per class. Predictions: (n, classes) scores; (n,) for one class.
    empty: a class without positive rows is left out of the mean, or counts 0 as in scikit-learn and torchmetrics; the
        metric's name says which. No positive at all under "skip": GoldfoldError.
    Chance is the mean share of positives, the exact score of a constant and the limit of a random ranking.
    `error` is the mean of |y - score| over classes, meant for probabilities.
    """
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    if empty not in ("skip", "zero"):
        raise unknown("treatment of empty classes", empty, ("skip", "zero"))

    def truth_of(rows: DataFrame) -> np.ndarray:
        return np.stack([codes(labels(rows, target), (0, 1), f"target '{target}'") for target in targets], axis=1)

    def scores_of(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        shapes = [(len(targets),), *([()] if len(targets) == 1 else [])]
        return scores(predictions, rows, *shapes).reshape(len(rows), len(targets))

    def macro(truth: np.ndarray, per_class: np.ndarray) -> float:
        filled = truth.any(axis=0)
        if empty == "zero":
            return float(np.where(filled, per_class, 0.0).mean())
        if not filled.any():
            raise GoldfoldError(
                f"average precision needs a positive row, but {len(truth)} rows have none: look at the split"
            )
        return float(per_class[filled].mean())

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        from sklearn.metrics import average_precision_score

        truth, ranked = truth_of(rows), scores_of(rows, predictions)
        pairs = zip(truth.T, ranked.T, strict=True)
        return macro(truth, np.array([average_precision_score(y, s) if y.any() else 0.0 for y, s in pairs]))

    def chance(rows: DataFrame) -> float:
        truth = truth_of(rows)
        return macro(truth, truth.mean(axis=0))

    return Metric(
        name=f"average_precision_macro_{empty}_empty",
        score=score,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        error=lambda rows, predictions: np.abs(truth_of(rows) - scores_of(rows, predictions)).mean(axis=1),
    )
