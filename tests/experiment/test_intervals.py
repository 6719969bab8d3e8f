"""95 % intervals against SciPy, statsmodels' formulas and closed forms, and their coverage in small simulations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from goldfold import metrics
from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import Sampling, ScoredRows
from goldfold.optional_parts import MetricOptions

UNBOUNDED = (-np.inf, np.inf)


def mean_of(column: str, per_row: bool) -> Metric:
    def rows_of(rows, predictions):
        return rows[column].to_numpy()

    return Metric(
        name="mean",
        score=lambda rows, predictions: float(rows_of(rows, predictions).mean()),
        higher_is_better=True,
        bounds=UNBOUNDED,
        chance=lambda rows: 0.0,
        options=MetricOptions(per_row=rows_of if per_row else None),
    )


def column(values, groups=None) -> ScoredRows:
    return ScoredRows(pd.DataFrame({"x": values}), [np.asarray(values)], groups)


def of_labels(truth, guess) -> ScoredRows:
    return ScoredRows(pd.DataFrame({"y": truth}), [np.asarray(guess, float)])


def test_spread_is_numpys_and_scipys():
    values = [0.6644, 0.6982, 0.6805, 0.6701, 0.6805]
    found = limits.fold_statistics(values, (0, 1))
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert found["interval_95"] == pytest.approx([low, high])
    assert (found["n"], round(found["mean"], 5), round(found["sd_ddof1"], 5)) == (5, 0.67874, 0.01290)


def test_one_fold_has_a_mean_and_no_spread():
    assert limits.fold_statistics([0.5], (0, 1)) == {"n": 1, "mean": 0.5, "sd_ddof1": None, "interval_95": None}


def test_the_interval_ends_where_the_metric_does():
    low, high = limits.over_folds([0.9, 1.0, 1.0], (0, 1))
    assert low == pytest.approx(stats.t.interval(0.95, 2, 29 / 30, stats.sem([0.9, 1.0, 1.0]))[0])
    assert high == 1


@pytest.mark.parametrize("per_row", [True, False])
def test_the_variance_of_a_mean_is_that_of_its_standard_error(per_row):
    """Leaving out single rows gives it exactly; of two folds the mean has a quarter of the sum."""
    values = np.random.default_rng(1).normal(5, 2, 60)
    one = jackknife.sampling(mean_of("x", per_row), [column(values)])
    assert (one.variance, one.degrees, one.units) == (pytest.approx(stats.sem(values) ** 2), 59, 60)
    two = jackknife.sampling(mean_of("x", per_row), [column(values[:20]), column(values[20:])])
    expected = (stats.sem(values[:20]) ** 2 + stats.sem(values[20:]) ** 2) / 4
    assert (two.variance, two.degrees) == (pytest.approx(expected), 58)


def test_the_variance_of_auroc_is_delongs():
    """DeLong et al. 1988: the variances of the placements of both classes, over their numbers."""
    draw = np.random.default_rng(2)
    truth = np.repeat([0, 1], [70, 50])
    guess = draw.normal(size=120) + truth
    above = (guess[truth == 1][:, None] > guess[truth == 0][None]).astype(float)
    delong = above.mean(1).var(ddof=1) / 50 + above.mean(0).var(ddof=1) / 70
    found = jackknife.sampling(metrics.auroc("y"), [of_labels(truth, guess)], rarest=50)
    assert found.variance == pytest.approx(delong, rel=0.03)
    assert (found.degrees, found.units) == (49, 50)


def test_many_rows_are_left_out_in_blocks():
    """A block is left out 200 times, of 5 folds 40 times each, and the variance stays about the same."""
    values, seen = np.random.default_rng(3).normal(size=4000), []
    options = MetricOptions(
        resampled=lambda rows, _: lambda at: (seen.append(len(at)), rows["x"].to_numpy()[at].mean())[1]
    )
    metric = replace(mean_of("x", False), options=options)
    found = jackknife.sampling(metric, [column(part) for part in np.split(values, 5)])
    assert seen == [780] * 200
    assert found.variance == pytest.approx(stats.sem(values) ** 2, rel=0.3)


def test_groups_are_left_out_whole():
    """Ten copies of each of 30 values hold no more than 30 values do."""
    values = np.random.default_rng(4).normal(size=30)
    groups = np.repeat([f"录{i}" for i in range(30)], 10)
    found = jackknife.sampling(mean_of("x", False), [column(np.repeat(values, 10), groups)])
    assert (found.groups, found.units) == (30, 30)
    assert found.variance == pytest.approx(stats.sem(values) ** 2)
    low, high = limits.of_mean([values.mean()], UNBOUNDED, found)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 29) * stats.sem(values))


@pytest.mark.parametrize(("hits", "rows"), [(0, 6), (6, 6), (1, 6), (12, 40), (199, 200), (2000, 2000)])
def test_accuracy_has_wilsons_interval_inside_and_clopper_pearsons_at_the_edges(hits, rows):
    right = np.repeat([1.0, 0.0], [hits, rows - hits])
    share, quantile = hits / rows, stats.t.ppf(0.975, rows - 1)
    found = jackknife.sampling(mean_of("x", True), [column(right)])
    low, high = limits.of_mean([share], (0, 1), found)
    if hits in (0, rows):
        exact = stats.binomtest(hits, rows).proportion_ci(method="exact")
        assert (low, high) == pytest.approx((exact.low, exact.high))
        return
    n = rows - 1  # observations that have the sample variance
    center, half = share + quantile**2 / (2 * n), quantile * np.sqrt(share * (1 - share) / n + quantile**2 / (4 * n**2))
    assert (low, high) == pytest.approx(
        ((center - half) / (1 + quantile**2 / n), (center + half) / (1 + quantile**2 / n))
    )


def test_a_metric_between_other_bounds_has_the_interval_of_its_share():
    plain = limits.limits(0.8, 0.001, 30, (0, 1), 50)
    assert limits.limits(0.6, 0.004, 30, (-1, 1), 50) == pytest.approx([2 * edge - 1 for edge in plain])
    assert limits.limits(0.8, 0.001, 30, (0, np.inf), 50) == pytest.approx(
        [0.8 - stats.t.ppf(0.975, 30) * 0.001**0.5, 0.8 + stats.t.ppf(0.975, 30) * 0.001**0.5]
    )


def test_few_groups_widen_the_interval_and_fewer_than_five_have_none():
    scores = [0.7, 0.75, 0.8, 0.72, 0.78]
    of = lambda groups: limits.of_mean(scores, UNBOUNDED, Sampling(None, 4, 100, groups))  # noqa: E731
    assert of(4) is None
    wide, plain = of(5), limits.over_folds(scores, UNBOUNDED)
    assert np.ptp(wide) == pytest.approx(np.ptp(plain) * np.sqrt(5 / 4))


def test_the_interval_is_no_narrower_than_folds_that_differ():
    """Folds of two kinds of rows, each constant: rows within a fold do not vary, folds do."""
    found = jackknife.sampling(mean_of("x", True), [column(np.full(50, value)) for value in (0.2, 0.8, 0.5)])
    low, high = limits.of_mean([0.2, 0.8, 0.5], UNBOUNDED, found)
    assert found.variance == pytest.approx(0, abs=1e-12)
    assert (low, high) == pytest.approx(limits.over_folds([0.2, 0.8, 0.5], UNBOUNDED))


def test_degrees_of_freedom_are_those_of_the_rows_unless_folds_differ_more():
    found = Sampling(0.01, 99, 100)
    wide = limits.of_mean([0.4, 0.6], UNBOUNDED, found)  # folds: (0.2 / sqrt(2)) ** 2 / 2 = 0.01
    assert np.ptp(wide) == pytest.approx(2 * stats.t.ppf(0.975, 99) * 0.1)
    wider = limits.of_mean([0.2, 0.8], UNBOUNDED, found)
    assert 2 * stats.t.ppf(0.975, 99) * 0.3 < np.ptp(wider) <= 2 * stats.t.ppf(0.975, 1) * 0.3


def test_a_class_with_one_row_leaves_the_interval_over_folds():
    """AUROC without the only positive row of a fold is undefined."""
    parts = [of_labels([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.25]) for _ in range(2)]
    found = jackknife.sampling(metrics.auroc("y"), parts, rarest=2)
    assert found.variance is None
    assert limits.of_mean([2 / 3], (0, 1), found) is None
    edges = limits.of_mean([0.6, 0.7], (0, 1), found)
    assert edges[0] <= limits.over_folds([0.6, 0.7], (0, 1))[0] + 1e-12


def test_seeds_of_a_fold_are_scored_one_by_one():
    rows = pd.DataFrame({"y": [0, 1] * 20})
    guesses = [np.random.default_rng(seed).random(40) for seed in (5, 6)]
    both = jackknife.sampling(metrics.auroc("y"), [ScoredRows(rows, guesses)])
    single = [jackknife.sampling(metrics.auroc("y"), [ScoredRows(rows, [guess])]).variance for guess in guesses]
    assert both.variance < max(single)


def test_rows_are_numbered_anew_for_metrics_that_compare_columns():
    """A difference of two pandas columns pairs labels of an index, which must not be those of the kept rows."""
    rows = pd.DataFrame({"x": np.random.default_rng(2).normal(size=60)})
    guesses = rows["x"].to_numpy() + np.linspace(-1, 1, 60)
    by_labels, by_positions = (
        replace(mean_of("x", False), score=lambda rows, found, wrap=wrap: float(abs(rows["x"] - wrap(found)).mean()))
        for wrap in (pd.Series, np.asarray)
    )
    part = [ScoredRows(rows, [guesses])]
    assert jackknife.sampling(by_labels, part) == jackknife.sampling(by_positions, part)


def test_intervals_repeat_themselves_and_leave_random_states_alone():
    part = [column(np.random.default_rng(0).normal(size=500))]
    before = np.random.get_state()[1].copy()
    assert jackknife.sampling(mean_of("x", False), part) == jackknife.sampling(mean_of("x", False), part)
    assert np.array_equal(np.random.get_state()[1], before)


def test_a_score_without_rows_to_leave_out_has_no_interval():
    def score(rows, predictions):
        if rows["y"].nunique() < 3:
            raise GoldfoldError("metric_one_class", "a class is missing")
        return 1.0

    metric = Metric(name="x", score=score, higher_is_better=True, bounds=(0, 1), chance=lambda rows: 0.5)
    found = jackknife.sampling(metric, [ScoredRows(pd.DataFrame({"y": [0, 1, 2]}), [np.zeros(3)])])
    assert limits.of_mean([1.0], (0, 1), found) is None


def test_all_negative_predictions_in_stratified_folds_are_covered():
    """Accuracy of 10 % positives: every fold scores the same, so an interval over folds would be a point."""
    draw, covered = np.random.default_rng(7), 0
    for _ in range(40):
        wrong = draw.random(200) < 0.1
        folds = [np.sort(wrong)[start::5] for start in range(5)]
        found = jackknife.sampling(mean_of("x", True), [column(1.0 - fold) for fold in folds])
        low, high = limits.of_mean([1 - fold.mean() for fold in folds], (0, 1), found)
        covered += low <= 0.9 <= high
    assert 35 <= covered <= 40
