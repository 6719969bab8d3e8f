"""Score predictions, with range check, spread over folds and bootstrap interval over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.data.fold_checks import codes_of
from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Competition, Metric

RESAMPLES = 1000
MANY_CELLS = 1_000_000  # rows x classes, beyond which only `FEW_RESAMPLES` are drawn, where each is ranked again
FEW_RESAMPLES = 200
MISFITS = frozenset(
    {
        "classes_not_numeric",
        "column_not_a_name",
        "labels_not_binary",
        "not_probabilities",
        "predictions_not_numeric",
        "predictions_wrong_length",
        "routes_not_names",
        "threshold_needs_one_column",
        "unknown_class",
        "unknown_column",
        "unknown_field",
        "wrong_embedding_shape",
        "wrong_prediction_shape",
    }
)
"""Codes of errors of metrics for predictions or columns of another kind, whatever the values."""


def score(metric: Metric, rows: DataFrame, predictions: np.ndarray) -> float:
    """Compute a metric for `rows`.

    Raises:
        GoldfoldError: the value is outside the metric's bounds, so labels or predictions are not what the metric
            expects; one of `MISFITS`, with the name of the metric.
    """
    return _checked(metric, lambda: metric.score(rows, predictions))


def score_in_index(
    metric: Metric, rows: DataFrame, predictions: np.ndarray, training: DataFrame, index: Mapping[str, np.ndarray]
) -> tuple[float, float]:
    """Score and chance level of a metric of `metrics_of_index` on validation rows; raises as `score`.

    training, index: the training rows of their fit and its code index.
    """
    database = metric.options.training_database
    assert database is not None, "other metrics are scored by `score`"
    value = _checked(metric, lambda: database.score(rows, predictions, training, index))
    return value, float(database.chance(rows, training))


def _checked(metric: Metric, compute: Callable[[], float]) -> float:
    try:
        value = float(compute())
    except GoldfoldError as error:
        if error.code in MISFITS:
            raise GoldfoldError(error.code, f"metric {metric.name}: {error.message}") from error
        raise
    low, high = metric.bounds
    slack = 1e-9  # rounding at the edge of the range
    if not low - slack <= value <= high + slack:
        raise GoldfoldError(
            "score_out_of_bounds",
            f"{metric.name} must lie in [{low:g}, {high:g}], and it is {value:g}: the number means nothing. Check the "
            "targets and the scale of the predictions",
        )
    return value


def metrics_for(competition: Competition, predictions: np.ndarray) -> list[Metric]:
    """The metrics of `predictions`: the competition's own, the same for other scores, and those of `also`."""
    held = predictions.dtype.names or ()
    also = [metric for metric in competition.also if metric.options.field in (None, *held)]
    return [*metrics_per_score(competition, predictions), *(each for each in also if not _of_training_rows(each))]


def metrics_of_index(competition: Competition, predictions: np.ndarray) -> list[Metric]:
    """The metrics of `also` whose queries search the training rows, if `predictions` have what they read."""
    held = predictions.dtype.names or ()
    return [each for each in competition.also if _of_training_rows(each) and each.options.field in (None, *held)]


def _of_training_rows(metric: Metric) -> bool:
    return metric.options.training_database is not None


def metrics_per_score(competition: Competition, predictions: np.ndarray) -> list[Metric]:
    """The competition's metric, and the same metric for each of the recipes' `other_scores` in `predictions`."""
    metric, held = competition.metric, predictions.dtype.names or ()
    if metric.options.field:  # it reads another field than the score
        return [metric]
    others = {name: own for recipe in competition.recipes.values() for name, own in recipe.other_scores.items()}
    return [metric, *(_of_field(metric, name, own) for name, own in others.items() if own in held)]


def _of_field(metric: Metric, name: str, of: str) -> Metric:
    """The metric applied to the field `of` of predicted records."""

    def reading(part: Callable) -> Callable:
        return lambda rows, predictions: part(rows, predictions[of])

    own = metric.options
    options = replace(
        own,
        per_row=own.per_row and reading(own.per_row),
        resampled=own.resampled and reading(own.resampled),
        row_error=own.row_error and reading(own.row_error),
        p_value=own.p_value and reading(own.p_value),
        field=of,
    )
    return replace(metric, name=f"{metric.name} of {name}", score=reading(metric.score), options=options)


def score_all(metrics: Sequence[Metric], rows: DataFrame, predictions: np.ndarray) -> dict[str, float]:
    """Metric name -> its value for `rows`; raises as `score`."""
    return {metric.name: score(metric, rows, predictions) for metric in metrics}


def fold_statistics(values: Sequence[float], bounds: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (ddof=1) and 95 % t interval of the mean over folds, clipped to `bounds`.

    The interval is somewhat too narrow, since folds share training rows (Bengio & Grandvalet, 2004).
    """
    from scipy import stats

    scores, n = np.asarray(values, dtype=float), len(values)
    mean, sd, interval = float(scores.mean()), None, None
    if n > 1:
        sd = float(scores.std(ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
        interval = [max(mean - half, bounds[0]), min(mean + half, bounds[1])]
    return {"n": n, "mean": mean, "sd_ddof1": sd, "interval_95_t": interval}


def bootstrap_interval(
    metric: Metric, rows: DataFrame, predictions: np.ndarray, groups: np.ndarray | None = None
) -> list[float] | None:
    """Compute the 95 % percentile bootstrap interval of a metric, over rows or over whole groups.

    Returns [low, high], or None if fewer than half of the draws can be scored (a tiny set that often lacks a class).
    """
    score_of = resampling_scorer(metric, rows, predictions)
    options = metric.options
    draws = RESAMPLES if options.per_row else draws_for(len(rows) * max(1, len(options.classes or ())))
    values = []
    for index in islice(resamples(len(rows), groups), draws):
        try:
            values.append(score_of(index))
        except GoldfoldError:
            continue
    if len(values) < draws / 2:
        return None
    return [float(edge) for edge in np.percentile(values, [2.5, 97.5])]


def draws_for(cells: int) -> int:
    """The number of resamples of so many rows x classes: fewer of many, since each is ranked again."""
    return RESAMPLES if cells <= MANY_CELLS else FEW_RESAMPLES


def resamples(count: int, groups: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Draw positions of `count` rows with repeats, or of whole groups, `RESAMPLES` times; always the same draws."""
    generator = np.random.default_rng(0)
    members = _members(count, groups)
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, len(members), len(members))
        yield drawn if groups is None else np.concatenate([members[i] for i in drawn])


def resampling_scorer(metric: Metric, rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return a function from positions of resampled rows to their score."""
    options = metric.options
    if options.per_row:
        per_row = options.per_row(rows, predictions)
        return lambda index: per_row[index].mean()
    if options.resampled:
        return options.resampled(rows, predictions)
    return lambda index: metric.score(rows.iloc[index].reset_index(drop=True), predictions[index])


def _members(count: int, groups: np.ndarray | None) -> Sequence[np.ndarray] | np.ndarray:
    if groups is None:
        return np.arange(count)[:, None]
    codes, _ = codes_of(groups, "group")
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
