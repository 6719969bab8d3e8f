"""Metrics of a ranking: only the order of the predicted scores counts, not their size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics.inputs import codes, labels, scores
from goldfold.optional_parts import MetricOptions, PermutationTest

if TYPE_CHECKING:
    from pandas import DataFrame

Others = Literal["refuse", "leave_out"]
COUNTED = 50  # rows of the rarer class up to which the ways to hand out labels are counted
ADDITIONS = 1e9


def auroc(target: str, *, classes: Sequence = (0, 1), others: Others = "refuse") -> Metric:
    """Area under the ROC curve: the share of (negative, positive) pairs in the right order, ties counting one half.

    target: a column that holds `classes`, negative first; 0 and 1 may be False and True.
    others: a row of any other class is an error, or is left out, and then the metric's name says who was ranked: of
        solar cells judged defective with probability 0, 1/3, 2/3 or 1 the doubtful ones are left out.
    Predictions: (n,) scores, larger for the positive class, (n, 2) with the positive class second, or records with a
    field `score`.
    Rows of one class have no AUROC: GoldfoldError. Chance is 0.5. `row_error` is the share of the other class that a
    row is on the wrong side of, ties counting one half: its mean over either class is 1 - AUROC; 0 for rows left out.
    `p_value` is that of `permutation_test`. It takes rows as exchangeable: ten photographs of one object count as ten.
    """
    if others not in ("refuse", "leave_out"):
        raise unknown("treatment of other classes", others, ("refuse", "leave_out"))

    def of(rows: DataFrame, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return truth_and_scores(rows, predictions, target, classes, others)

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        from sklearn.metrics import roc_auc_score

        truth, positive = of(rows, predictions)
        refuse_one_class("AUROC", truth, target, classes)
        return float(roc_auc_score(truth[truth >= 0], positive[truth >= 0]))

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        truth, positive = of(rows, predictions)
        _, level = np.unique(positive, return_inverse=True)

        def score_of(index: np.ndarray) -> float:
            refuse_one_class("AUROC", truth[index], target, classes)
            counts = (np.bincount(level[index], truth[index] == code, level.max() + 1) for code in (0, 1))
            return area_by_level(*counts)

        return score_of

    def p_value(rows: DataFrame, predictions: np.ndarray) -> PermutationTest:
        truth, positive = of(rows, predictions)
        refuse_one_class("AUROC", truth, target, classes)
        return permutation_test(positive[truth == 0], positive[truth == 1])

    return Metric(
        name=named("auroc", target, classes, others),
        score=score,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: 0.5,
        options=MetricOptions(
            row_error=lambda rows, predictions: misranked(*of(rows, predictions)), resampled=resampled, p_value=p_value
        ),
    )


def named(name: str, target: str, classes: Sequence, others: Others) -> str:
    """`name`, with who is ranked against whom where other classes are left out."""
    if others == "refuse":
        return name
    negative, positive = (f"{label:g}" if isinstance(label, Real) else str(label) for label in classes)
    return f"{name}_{target}_{positive}_against_{negative}"


def truth_and_scores(
    rows: DataFrame, predictions: np.ndarray, target: str, classes: Sequence = (0, 1), others: Others = "refuse"
) -> tuple[np.ndarray, np.ndarray]:
    """For each row the position of its label in `classes`, int64 with -1 where it is left out, and its score, float64.

    Predictions as for `auroc`.
    """
    ranked = scores(field(predictions, "score"), rows, (), (2,)).reshape(len(rows), -1)[:, -1]
    found = labels(rows, target)
    kept = np.array([others == "refuse" or label in classes for label in found.tolist()])
    truth = np.full(len(rows), -1)
    truth[kept] = codes(found[kept], classes, f"target '{target}'")
    return truth, ranked


def refuse_one_class(what: str, truth: np.ndarray, target: str, classes: Sequence = (0, 1)) -> None:
    """GoldfoldError where `truth`, as `truth_and_scores` gives it, lacks one of the two classes `what` needs."""
    found = np.unique(truth[truth >= 0])
    if not len(found):
        raise GoldfoldError(
            f"{what} needs rows with '{target}' {classes[0]!r} and {classes[1]!r}, but all {len(truth)} rows have "
            "another: look at `classes`"
        )
    if len(found) < 2:
        count, only = (truth >= 0).sum(), classes[found[0]]
        raise GoldfoldError(f"{what} needs both classes of '{target}', but all {count} rows are {only!r}: stratify")


def misranked(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each row the share of the other class on the wrong side of it, ties counting one half; 0 where left out."""
    low, high = scores[truth == 0], scores[truth == 1]
    return np.select([truth == 1, truth == 0], [_share_above(scores, low), _share_above(-scores, -high)], 0.0)


def _share_above(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each score the share of `others` that is larger, ties counting one half; 0 where there are no others."""
    ranked = np.sort(others)
    below, up_to = (np.searchsorted(ranked, scores, side=side) for side in ("left", "right"))
    return 1 - (below + up_to) / (2 * len(ranked)) if len(ranked) else np.zeros(len(scores))


def permutation_test(negatives: np.ndarray, positives: np.ndarray) -> PermutationTest:
    """Permutation test of the AUROC of these scores, (n,) each, none empty.

    The p-value is exact, ties included, if the rarer class has at most 50 rows and counting takes at most 1e9 additions
    (a second): 50 against 50, or 20 against 1000. Otherwise it is that of the normal approximation of the Mann-Whitney
    U with corrections for ties and continuity, and never below the smallest float64.
    """
    from scipy import stats

    rarer, together = min(len(negatives), len(positives)), np.concatenate([negatives, positives])
    if rarer == len(positives):
        ranks = stats.rankdata(-together)  # from the end at which the rarer class should be
        at_most = 2 * ranks[len(negatives) :].sum()
    else:
        ranks = stats.rankdata(together)
        at_most = 2 * ranks[: len(negatives)].sum()
    doubled = (2 * ranks).astype(np.int64)  # the rank of a tie is a half
    usable = doubled[doubled <= at_most]
    if rarer <= COUNTED and rarer * at_most * len(usable) <= ADDITIONS:
        p = _subsets(usable, rarer, int(at_most)) / math.comb(len(together), rarer)
    else:
        p = stats.mannwhitneyu(positives, negatives, alternative="greater", method="asymptotic").pvalue
    return PermutationTest(float(np.clip(p, np.finfo(np.float64).tiny, 1.0)), rarer)


def _subsets(numbers: np.ndarray, size: int, at_most: int) -> float:
    """How many subsets of `size` of these positive integers have a sum of `at_most`."""
    ways = np.zeros((size + 1, at_most + 1))  # of so many numbers with that sum
    ways[0, 0] = 1
    for number in numbers:
        ways[1:, number:] += ways[:-1, : at_most + 1 - number]
    return float(ways[size].sum())


def area_by_level(negatives: np.ndarray, positives: np.ndarray) -> float:
    """The area under the ROC curve of scores counted by level, (levels,) each in ascending order of the score."""
    below = negatives.cumsum() - negatives / 2  # ties count one half
    return float(positives @ below / (positives.sum() * negatives.sum()))


def average_precision(targets: str | Sequence[str], *, empty: Literal["skip", "zero"] = "skip") -> Metric:
    """Mean over classes of the average precision, the step-wise sum of (R_k - R_{k-1}) P_k.

    targets: a column of 0 and 1 (or bool) per class. Predictions: (n, classes) scores; for one class (n,), or
        records with a field `score`.
    empty: a class without positive rows is left out of the mean, or counts 0 as in scikit-learn and torchmetrics; the
        metric's name says which. No positive at all under "skip": GoldfoldError.
    Chance is the mean share of positives, the exact score of a constant and the limit of a random ranking.
    `row_error` is the mean of |y - score| over classes, meant for probabilities.
    """
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    if empty not in ("skip", "zero"):
        raise unknown("treatment of empty classes", empty, ("skip", "zero"))

    def truth_of(rows: DataFrame) -> np.ndarray:
        return np.stack([codes(labels(rows, target), (0, 1), f"target '{target}'") for target in targets], axis=1)

    def scores_of(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        shapes = [(len(targets),), *([()] if len(targets) == 1 else [])]
        return scores(field(predictions, "score"), rows, *shapes).reshape(len(rows), len(targets))

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
        options=MetricOptions(
            row_error=lambda rows, predictions: np.abs(truth_of(rows) - scores_of(rows, predictions)).mean(axis=1)
        ),
    )
