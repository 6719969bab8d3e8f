"""AUROC of two classes: a metric that depends only on the order of the predicted scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.competition import Metric
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics.inputs import class_indices, labels, scores
from goldfold.optional_parts import MetricOptions, PermutationTest

if TYPE_CHECKING:
    from pandas import DataFrame

OtherClasses = Literal["raise", "leave_out"]
MAX_EXACT_ROWS = 50  # of the rarer class; up to here the exact permutation p-value is counted
MAX_ADDITIONS = 1e9  # of the exact count, about a second


def auroc(target: str, *, classes: Sequence = (0, 1), other_classes: OtherClasses = "raise") -> Metric:
    """Area under the ROC curve: the share of (negative, positive) pairs that are ranked in the right order.

    Range: [0, 1], higher is better. Chance: 0.5.
    Ties: a tied pair counts one half.
    Empty classes: GoldfoldError if the rows have one class only.

    target: a column that holds `classes`, negative class first; 0 and 1 may be False and True.
    other_classes: "raise": a row of any other class is an error. "leave_out": such rows are left out, and the metric's
        name says which classes are ranked. For example, solar cells are judged defective with probability 0, 1/3, 2/3
        or 1, and the doubtful ones are left out.
    Predictions: (n,) scores, larger for the positive class, (n, 2) with the positive class second, or records with a
    field `score`.

    `row_error` is the share of the other class that a row is ranked on the wrong side of, ties counting one half. Its
    mean over either class is 1 - AUROC; it is 0 for rows left out. `p_value` is that of `permutation_test`. It treats
    rows as exchangeable: ten photographs of one object count as ten.
    """
    if other_classes not in ("raise", "leave_out"):
        raise unknown("treatment of other classes", other_classes, ("raise", "leave_out"), code="unknown_option")

    def truth_of(rows: DataFrame, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return truth_and_scores(rows, predictions, target, classes, other_classes)

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        from sklearn.metrics import roc_auc_score

        truth, positive = truth_of(rows, predictions)
        require_both_classes("AUROC", truth, target, classes)
        return float(roc_auc_score(truth[truth >= 0], positive[truth >= 0]))

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        truth, positive = truth_of(rows, predictions)
        _, level = np.unique(positive, return_inverse=True)

        def score_of(index: np.ndarray) -> float:
            require_both_classes("AUROC", truth[index], target, classes)
            counts = (np.bincount(level[index], truth[index] == code, level.max() + 1) for code in (0, 1))
            return area_from_counts(*counts)

        return score_of

    def p_value(rows: DataFrame, predictions: np.ndarray) -> PermutationTest:
        truth, positive = truth_of(rows, predictions)
        require_both_classes("AUROC", truth, target, classes)
        return permutation_test(positive[truth == 0], positive[truth == 1])

    return Metric(
        name=metric_name("auroc", target, classes, other_classes),
        score=score,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: 0.5,
        options=MetricOptions(
            row_error=lambda rows, predictions: misranked_share(*truth_of(rows, predictions)),
            resampled=resampled,
            p_value=p_value,
            classes=tuple(classes) if other_classes == "raise" else None,
        ),
    )


def metric_name(name: str, target: str, classes: Sequence, other_classes: OtherClasses) -> str:
    """`name`, extended by the two ranked classes if rows of other classes are left out."""
    if other_classes == "raise":
        return name
    negative, positive = (f"{label:g}" if isinstance(label, Real) else str(label) for label in classes)
    return f"{name}_{target}_{positive}_against_{negative}"


def truth_and_scores(
    rows: DataFrame,
    predictions: np.ndarray,
    target: str,
    classes: Sequence = (0, 1),
    other_classes: OtherClasses = "raise",
) -> tuple[np.ndarray, np.ndarray]:
    """The class index and the score of each row: int64 (n,), -1 for rows left out, and float64 (n,).

    Predictions as for `auroc`.
    """
    ranked = scores(field(predictions, "score"), rows, (), (2,)).reshape(len(rows), -1)[:, -1]
    found = labels(rows, target)
    kept = np.array([other_classes == "raise" or label in classes for label in found.tolist()])
    truth = np.full(len(rows), -1)
    truth[kept] = class_indices(found[kept], classes, f"target '{target}'")
    return truth, ranked


def require_both_classes(what: str, truth: np.ndarray, target: str, classes: Sequence = (0, 1)) -> None:
    """Raise GoldfoldError if one of the two classes is absent.

    truth: class indices from `truth_and_scores`. what: the metric's name for the message.
    """
    found = np.unique(truth[truth >= 0])
    if not len(found):
        raise GoldfoldError(
            "metric_one_class",
            f"{what} needs rows with '{target}' {classes[0]!r} and {classes[1]!r}, but all {len(truth)} rows have "
            "another class: "
            "check `classes`",
        )
    if len(found) < 2:
        count, only = (truth >= 0).sum(), classes[found[0]]
        raise GoldfoldError(
            "metric_one_class",
            f"{what} needs both classes of '{target}', but all {count} rows are {only!r}: stratify the split",
        )


def misranked_share(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Share of the other class that each row is ranked on the wrong side of, (n,); ties count one half.

    Rows left out (truth -1) get 0.
    """
    low, high = scores[truth == 0], scores[truth == 1]
    return np.select([truth == 1, truth == 0], [_share_above(scores, low), _share_above(-scores, -high)], 0.0)


def _share_above(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of `others` larger than each score, ties counting one half; 0 if there are no others."""
    ranked = np.sort(others)
    below, up_to = (np.searchsorted(ranked, scores, side=side) for side in ("left", "right"))
    return 1 - (below + up_to) / (2 * len(ranked)) if len(ranked) else np.zeros(len(scores))


def permutation_test(negatives: np.ndarray, positives: np.ndarray) -> PermutationTest:
    """Permutation test of the AUROC of these scores, (n,) each, none empty.

    The p-value is exact, ties included, if the rarer class has at most 50 rows and counting takes at most 1e9 additions
    (about a second): 50 against 50, or 20 against 1000. Otherwise it is the p-value of the normal approximation of the
    Mann-Whitney U statistic, corrected for ties and continuity. It is never below the smallest positive float64.
    """
    from scipy import stats

    rarer, together = min(len(negatives), len(positives)), np.concatenate([negatives, positives])
    if rarer == len(positives):
        ranks = stats.rankdata(-together)  # counted from the end where the rarer class belongs
        at_most = 2 * ranks[len(negatives) :].sum()
    else:
        ranks = stats.rankdata(together)
        at_most = 2 * ranks[: len(negatives)].sum()
    doubled = (2 * ranks).astype(np.int64)  # tied ranks are multiples of one half
    usable = doubled[doubled <= at_most]
    if rarer <= MAX_EXACT_ROWS and rarer * at_most * len(usable) <= MAX_ADDITIONS:
        p = _count_subsets(usable, rarer, int(at_most)) / math.comb(len(together), rarer)
    else:
        p = stats.mannwhitneyu(positives, negatives, alternative="greater", method="asymptotic").pvalue
    return PermutationTest(float(np.clip(p, np.finfo(np.float64).tiny, 1.0)), rarer)


def _count_subsets(numbers: np.ndarray, size: int, at_most: int) -> float:
    """Number of subsets of these positive integers that have `size` members and a sum of at most `at_most`."""
    ways = np.zeros((size + 1, at_most + 1))  # (size, sum) -> number of subsets
    ways[0, 0] = 1
    for number in numbers:
        ways[1:, number:] += ways[:-1, : at_most + 1 - number]
    return float(ways[size].sum())


def area_from_counts(negatives: np.ndarray, positives: np.ndarray) -> float:
    """Area under the ROC curve from counts per score level, (levels,) each, in ascending order of the score."""
    below = negatives.cumsum() - negatives / 2  # ties count one half
    return float(positives @ below / (positives.sum() * negatives.sum()))
