"""Metrics of anomaly detection on whole images: rankings within classes and of damaged copies, decisions by threshold.

Predictions are (n,) scores, larger = more anomalous, or records with such a field `score`. `target` is a column of 0
for normal and 1 for anomalous rows. Rows that lack one of the two cannot be scored: GoldfoldError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.anomaly import thresholds
from goldfold.competition import Metric
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics.auroc_and_ap import (
    Others,
    area_by_level,
    auroc,
    misranked,
    named,
    refuse_one_class,
    truth_and_scores,
)
from goldfold.metrics.inputs import labels, scores
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    Rule = Callable[[np.ndarray, np.ndarray], thresholds.Threshold]
    ScoreOf = Callable[[np.ndarray], float]


def auroc_class_mean(target: str, by: str, *, classes: Sequence = (0, 1), others: Others = "refuse") -> Metric:
    """Mean of the AUROCs within each value of the column `by`; chance is 0.5.

    Not `auroc` of all rows at once: that compares scores across classes too, so it rewards scores on one scale, which a
    threshold for all classes needs and a threshold per class does not (Heo and Kang, arXiv:2508.02477, on both); this
    mean does not see scales. Either may be the higher one.

    classes, others: as for `auroc`. Values of `by` that have one label alone are left out of the mean; none left:
    GoldfoldError. `row_error` is `auroc`'s within the row's value of `by`.
    """
    within = auroc(target, classes=classes, others=others)

    def parts(rows: DataFrame, predictions: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Of each value of `by`: positions, truth, scores."""
        truth, ranked = truth_and_scores(rows, predictions, target, classes, others)
        values = _column(rows, by)
        places = (np.flatnonzero(values == value) for value in np.unique(values))
        return [(at, truth[at], ranked[at]) for at in places]

    def resampled(rows: DataFrame, predictions: np.ndarray) -> ScoreOf:
        levels = [(at, truth, np.unique(s, return_inverse=True)[1]) for at, truth, s in parts(rows, predictions)]

        def score_of(index: np.ndarray) -> float:
            times = np.bincount(index, minlength=len(rows))
            counts = [[np.bincount(s, times[at] * (truth == code)) for code in (0, 1)] for at, truth, s in levels]
            areas = [area_by_level(*both) for both in counts if all(side.any() for side in both)]
            if not areas:
                raise GoldfoldError(
                    f"the mean AUROC needs a value of '{by}' with both classes of '{target}', and none of "
                    f"{len(levels)} has them: stratify, or rank all rows at once"
                )
            return float(np.mean(areas))

        return score_of

    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        found = np.zeros(len(rows))
        for at, truth, ranked in parts(rows, predictions):
            found[at] = misranked(truth, ranked)
        return found

    return Metric(
        name=named("auroc_class_mean", target, classes, others),
        score=_of_all(resampled),
        higher_is_better=True,
        bounds=within.bounds,
        chance=within.chance,
        options=MetricOptions(row_error=error, resampled=resampled),
    )


def _column(rows: DataFrame, by: str) -> np.ndarray:
    if by not in rows.columns:
        raise unknown("column", by, map(str, rows.columns))
    if rows[by].isna().any():
        raise GoldfoldError(f"a mean over the values of '{by}' needs one in each row, found none in some: fill them")
    return rows[by].to_numpy().astype(str)


def pseudo_auroc(target: str, normal: Any = 0) -> Metric:
    """AUROC of normal images against damaged copies of the same images: field `score` against field `pseudo`.

    Only rows whose `target` is `normal` count; none: GoldfoldError. Chance is 0.5. A model may reach 1.0 on damage of
    one's own making and be at chance on real defects, which is why the name says so.
    """

    def resampled(rows: DataFrame, predictions: np.ndarray) -> ScoreOf:
        if np.asarray(predictions).dtype.names is None:
            raise unknown("field of the predictions", "pseudo", ())
        both = np.stack([scores(field(predictions, name), rows, ()) for name in ("score", "pseudo")])
        levels, level = np.unique(both, return_inverse=True)
        level, kept = level.reshape(both.shape), labels(rows, target) == normal

        def score_of(index: np.ndarray) -> float:
            at = index[kept[index]]
            if not len(at):
                raise GoldfoldError(
                    f"pseudo AUROC needs normal rows, but none of {len(index)} has '{target}' {normal!r}: look at "
                    "`normal` and at the split"
                )
            return area_by_level(*(np.bincount(side[at], minlength=len(levels)) for side in level))

        return score_of

    return Metric(
        name="pseudo_auroc (says nothing about real defects)",
        score=_of_all(resampled),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: 0.5,
        options=MetricOptions(resampled=resampled, field="pseudo", proxy=True),
    )


def f1_at_quantile(target: str, q: float = 0.95, by: str | None = None) -> Metric:
    """F1 of the anomalous class at the `q` quantile of the scored rows' normal scores.

    It says what is found when a share r = 1 - q of normal images may be called anomalous; fewer than 1 / r normal rows:
    GoldfoldError. Chance is the F1 of flags that fall on any row with probability r, p being the share of anomalous
    rows: TP = p r, FP = (1 - p) r, FN = p (1 - r), so 2 TP / (2 TP + FP + FN) = 2 p r / (p + r). by: a column, with a
    threshold for each of its values.
    """
    if not 0 < q < 1:
        raise GoldfoldError(f"a quantile lies between 0 and 1, got {q:g}; for 95 percent write 0.95")

    def rule(ranked: np.ndarray, anomalous: np.ndarray) -> thresholds.Threshold:
        return thresholds.validation_quantile(ranked[anomalous == 0], q)

    return _f1(f"f1_at_{q:g}_quantile_of_normals", target, rule, flagged=1 - q, by=by)


def f1_best(target: str, by: str | None = None) -> Metric:
    """F1 of the anomalous class at the threshold that makes it highest, chosen with the labels of the scored rows.

    No threshold found beforehand does better. Chance is the F1 of calling each row anomalous, 2 p / (1 + p) with p the
    share of anomalous rows: the lowest of thresholds does that, so no scores come out below it. by: a column, with a
    threshold for each of its values.
    """
    return _f1("f1_best (threshold chosen on the scored rows)", target, thresholds.best_f1, by=by)


def f1_at_first_jump(target: str, by: str | None = None) -> Metric:
    """F1 of the anomalous class at `thresholds.first_jump` of all scored rows, which needs no labels.

    Transductive: the verdict on one image depends on those scored with it. Fewer than 21 rows: GoldfoldError. Chance is
    that of `f1_best`, the most that flags which know nothing can expect at any rate. Rows drawn again (`resampled`)
    keep the threshold found once, since a row drawn twice makes a gap of 0 that no set of images has. by: a column,
    with a threshold for each of its values.
    """
    name = "f1_at_first_jump (transductive)"
    return _f1(name, target, lambda ranked, anomalous: thresholds.first_jump(ranked), once=True, by=by)


def _f1(
    name: str, target: str, rule: Rule, *, flagged: float = 1.0, once: bool = False, by: str | None = None
) -> Metric:
    """F1 = 2 TP / (2 TP + FP + FN) of what is anomalous by `rule` (scores, truth), found for each value of `by` apart.

    flagged: of the rows, by chance. once: whether the threshold stays when rows are drawn again; those of classes stay,
    since a class may be drawn without an anomalous row.
    """

    def resampled(rows: DataFrame, predictions: np.ndarray) -> ScoreOf:
        truth, ranked = truth_and_scores(rows, predictions, target)
        if by:
            classes = _column(rows, by)
            called = thresholds.decide_per_class(ranked, classes, thresholds.per_class(rule, classes, ranked, truth))
        elif once:
            called = thresholds.decide(ranked, rule(ranked, truth))

        def score_of(index: np.ndarray) -> float:
            actual, scores_of = truth[index], ranked[index]
            refuse_one_class("F1", actual, target)
            found = called[index] if by or once else thresholds.decide(scores_of, rule(scores_of, actual))
            return float(2 * (found & (actual == 1)).sum() / (found.sum() + actual.sum()))

        return score_of

    def chance(rows: DataFrame) -> float:
        share = float((labels(rows, target) == 1).mean())
        return 2 * share * flagged / (share + flagged)

    return Metric(
        name=f"{name}, by {by}" if by else name,
        score=_of_all(resampled),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        options=MetricOptions(resampled=resampled),
    )


def _of_all(resampled: Callable[[DataFrame, np.ndarray], ScoreOf]) -> Callable[[DataFrame, np.ndarray], float]:
    """The score of all rows, from what scores rows drawn again."""
    return lambda rows, predictions: resampled(rows, predictions)(np.arange(len(rows)))
