"""Score predictions, with range check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.clock import CLOCK

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Competition, Metric

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
    with CLOCK.phase("scoring"):
        return {metric.name: score(metric, rows, predictions) for metric in metrics}


def resampling_scorer(metric: Metric, rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return a function from positions of rows, which may repeat, to their score."""
    options = metric.options
    if options.per_row:
        per_row = options.per_row(rows, predictions)
        return lambda index: per_row[index].mean()
    if options.resampled:
        return options.resampled(rows, predictions)
    return lambda index: metric.score(rows.iloc[index].reset_index(drop=True), predictions[index])
