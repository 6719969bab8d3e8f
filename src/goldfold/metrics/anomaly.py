"""Metrics of anomaly detection for whole images: AUROC within classes or against synthetic defects, F1 at a threshold.

Predictions are (n,) scores, larger for more anomalous images, or records with such a field `score`. `target` is a
column with 0 for normal and 1 for anomalous rows. Rows that lack one of the two raise GoldfoldError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.anomaly import thresholds
from goldfold.competition import Metric
from goldfold.data import columns
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError, unknown
from goldfold.metrics.auroc import (
    OtherClasses,
    area_from_counts,
    auroc,
    metric_name,
    misranked_share,
    require_both_classes,
    truth_and_scores,
)
from goldfold.metrics.inputs import labels, scores
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    Rule = Callable[[np.ndarray, np.ndarray], thresholds.Threshold]
    ScoreOf = Callable[[np.ndarray], float]


RANDOM_RANKINGS, RANDOM_SCORES = (50, 1000), 1e6  # least and most rankings of a chance level, and scores drawn for it


def auroc_class_mean(
    target: str, by: str, *, classes: Sequence = (0, 1), other_classes: OtherClasses = "raise"
) -> Metric:
    """Mean of the AUROCs within each value of the column `by`.

    Range: [0, 1], higher is better. Chance: 0.5.
    Ties: a tied pair counts one half.
    Empty classes: values of `by` that have only one label are left out of the mean; GoldfoldError if no value remains.

    `auroc` of all rows also compares scores across the values of `by`. It rewards scores on one common scale, which one
    threshold for all classes needs and a threshold per class does not (Heo and Kang, arXiv:2508.02477, on both). This
    mean does not depend on the scales. Either of the two can be the higher one.

    classes, other_classes: as for `auroc`. `row_error` is that of `auroc` within the row's value of `by`.
    """
    within = auroc(target, classes=classes, other_classes=other_classes)

    def parts(rows: DataFrame, predictions: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Row positions, truth and scores of each value of `by`."""
        truth, ranked = truth_and_scores(rows, predictions, target, classes, other_classes)
        values = _column(rows, by)
        positions = (np.flatnonzero(values == value) for value in np.unique(values))
        return [(at, truth[at], ranked[at]) for at in positions]

    def resampled(rows: DataFrame, predictions: np.ndarray) -> ScoreOf:
        levels = [(at, truth, np.unique(s, return_inverse=True)[1]) for at, truth, s in parts(rows, predictions)]

        def score_of(index: np.ndarray) -> float:
            times = np.bincount(index, minlength=len(rows))
            counts = [[np.bincount(s, times[at] * (truth == code)) for code in (0, 1)] for at, truth, s in levels]
            areas = [area_from_counts(*both) for both in counts if all(side.any() for side in both)]
            if not areas:
                raise GoldfoldError(
                    "metric_one_class",
                    f"the mean AUROC needs a value of '{by}' with both classes of '{target}', and none of "
                    f"{len(levels)} has both: "
                    "stratify the split, or use `auroc` of all rows",
                )
            return float(np.mean(areas))

        return score_of

    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        errors = np.zeros(len(rows))
        for at, truth, ranked in parts(rows, predictions):
            errors[at] = misranked_share(truth, ranked)
        return errors

    return Metric(
        name=metric_name("auroc_class_mean", target, classes, other_classes),
        score=_score_all(resampled),
        higher_is_better=True,
        bounds=within.bounds,
        chance=within.chance,
        options=MetricOptions(row_error=error, resampled=resampled, classes=within.options.classes),
    )


def _column(rows: DataFrame, by: str) -> np.ndarray:
    columns.require(rows, by, "column")
    missing = int(rows[by].isna().sum())
    if missing:
        raise GoldfoldError(
            "values_missing",
            f"column '{by}' is missing in {missing} of {len(rows)} rows: fill it, since the metric groups rows by it",
        )
    return rows[by].to_numpy().astype(str)


def pseudo_auroc(target: str, normal: Any = 0) -> Metric:
    """AUROC of normal images against copies of them with a synthetic defect: field `score` against field `pseudo`.

    Range: [0, 1], higher is better. Chance: 0.5.
    Ties: a tied pair counts one half.
    Empty classes: only rows whose `target` is `normal` count; GoldfoldError if there are none.

    A model can reach 1.0 on synthetic defects and be at chance on real ones. Therefore the metric's name carries a
    warning, and `MetricOptions.proxy` is set.
    """

    def resampled(rows: DataFrame, predictions: np.ndarray) -> ScoreOf:
        if np.asarray(predictions).dtype.names is None:
            raise unknown("field of the predictions", "pseudo", (), code="unknown_field")
        pair = np.stack([scores(field(predictions, name), rows, ()) for name in ("score", "pseudo")])
        levels, level = np.unique(pair, return_inverse=True)
        level, kept = level.reshape(pair.shape), labels(rows, target) == normal

        def score_of(index: np.ndarray) -> float:
            at = index[kept[index]]
            if not len(at):
                raise GoldfoldError(
                    "metric_no_normal_rows",
                    f"pseudo AUROC needs normal rows, but none of {len(index)} has '{target}' {normal!r}: check "
                    "`normal` and the split",
                )
            return area_from_counts(*(np.bincount(side[at], minlength=len(levels)) for side in level))

        return score_of

    return Metric(
        name="pseudo_auroc (says nothing about real defects)",
        score=_score_all(resampled),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: 0.5,
        options=MetricOptions(resampled=resampled, field="pseudo", proxy=True),
    )


def f1_at_quantile(target: str, q: float = 0.95, by: str | None = None) -> Metric:
    """F1 of the anomalous class at the `q` quantile of the normal rows' scores.

    Range: [0, 1], higher is better. Chance: the mean score of random rankings.
    Ties: a score equal to the threshold counts as anomalous.
    Empty classes: GoldfoldError if a class is absent, or if there are fewer than 1 / r normal rows.

    It measures how many anomalies are found if a share r = 1 - q of the normal images may be called anomalous. With p
    the share of anomalous rows, chance is 2 p r / (p + r) in large sets and higher in small ones.

    by: a column; each of its values gets its own threshold.
    """
    if not 0 < q < 1:
        raise GoldfoldError(
            "quantile_out_of_range", f"q must lie between 0 and 1, got {q:g}: for 95 percent write 0.95"
        )

    def rule(ranked: np.ndarray, anomalous: np.ndarray) -> thresholds.Threshold:
        return thresholds.validation_quantile(ranked[anomalous == 0], q)

    return _f1(f"f1_at_{q:g}_quantile_of_normals", target, rule, by=by)


def f1_best(target: str, by: str | None = None) -> Metric:
    """F1 of the anomalous class at the threshold with the highest F1, chosen with the labels of the scored rows.

    Range: [0, 1], higher is better. Chance: the mean score of random rankings.
    Ties: a score equal to the threshold counts as anomalous.
    Empty classes: GoldfoldError if a class is absent.

    No threshold chosen beforehand scores better. The lowest threshold calls every row anomalous, so that no scores fall
    below 2 p / (1 + p), with p the share of anomalous rows. A random ranking does better, since its threshold is
    chosen, too: .266 against .182 for 6 of 60 rows.

    by: a column; each of its values gets its own threshold.
    """
    return _f1("f1_best (threshold chosen on the scored rows)", target, thresholds.best_f1, by=by)


def f1_at_first_jump(target: str, by: str | None = None) -> Metric:
    """F1 of the anomalous class at `thresholds.first_jump` of all scored rows, which needs no labels.

    Range: [0, 1], higher is better. Chance: 2 p / (1 + p), with p the share of anomalous rows, as for `f1_best`: the
    highest F1 that random flags can expect at any rate.
    Ties: a score equal to the threshold counts as anomalous.
    Empty classes: GoldfoldError if a class is absent, or if there are fewer than 21 rows.

    The metric is transductive: the decision on one image depends on the images scored with it. Bootstrap draws
    (`resampled`) keep the threshold of the original rows, since a row drawn twice makes a gap of 0 that no set of
    images has.

    by: a column; each of its values gets its own threshold.
    """
    name = "f1_at_first_jump (transductive)"
    return _f1(name, target, lambda ranked, anomalous: thresholds.first_jump(ranked), once=True, by=by)


def _f1(name: str, target: str, rule: Rule, *, once: bool = False, by: str | None = None) -> Metric:
    """F1 = 2 TP / (2 TP + FP + FN) of the rows that `rule` (scores, truth) calls anomalous, per value of `by` if given.

    once: whether bootstrap draws keep the threshold, and chance is the best that flags of any rate can expect: a gap
    between scores depends on their distribution, so there is no one random ranking. Thresholds per value of `by` are
    always kept, since a draw may leave a value without anomalous rows.
    """

    def resampled(rows: DataFrame, predictions: np.ndarray) -> ScoreOf:
        truth, ranked = truth_and_scores(rows, predictions, target)
        if by:
            classes = _column(rows, by)
            flags = thresholds.decide_per_class(ranked, classes, thresholds.per_class(rule, classes, ranked, truth))
        elif once:
            flags = thresholds.decide(ranked, rule(ranked, truth))

        def score_of(index: np.ndarray) -> float:
            actual, drawn = truth[index], ranked[index]
            require_both_classes("F1", actual, target)
            flagged_rows = flags[index] if by or once else thresholds.decide(drawn, rule(drawn, actual))
            return float(2 * (flagged_rows & (actual == 1)).sum() / (flagged_rows.sum() + actual.sum()))

        return score_of

    def chance(rows: DataFrame) -> float:
        share = float((labels(rows, target) == 1).mean())
        if once:
            return 2 * share / (1 + share)
        generator, everything = np.random.default_rng(0), np.arange(len(rows))
        draws = int(np.clip(RANDOM_SCORES / len(rows), *RANDOM_RANKINGS))
        return float(np.mean([resampled(rows, generator.random(len(rows)))(everything) for _ in range(draws)]))

    return Metric(
        name=f"{name}, by {by}" if by else name,
        score=_score_all(resampled),
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        options=MetricOptions(resampled=resampled),
    )


def _score_all(resampled: Callable[[DataFrame, np.ndarray], ScoreOf]) -> Callable[[DataFrame, np.ndarray], float]:
    """Turn the function for bootstrap draws into the score of all rows."""
    return lambda rows, predictions: resampled(rows, predictions)(np.arange(len(rows)))
