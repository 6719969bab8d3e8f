"""Scores with what makes them readable: range, chance level, spread over folds, interval over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Competition, Metric

RESAMPLES = 1000
OTHER_SCORE = "score_"  # fields of predictions that score the same rows in other ways


def scored(metric: Metric, rows: DataFrame, predictions: np.ndarray) -> float:
    """The metric's value for `rows`.

    Raises:
        GoldfoldError: the value is outside the metric's own range, so labels or predictions are not what they seem.
    """
    value = float(metric.score(rows, predictions))
    low, high = metric.bounds
    slack = 1e-9  # rounding at the edge of the range
    if not low - slack <= value <= high + slack:
        raise GoldfoldError(
            f"{metric.name} must lie in [{low:g}, {high:g}] and came out as {value:g}: look at the targets and at the "
            "predictions' scale, this number means nothing"
        )
    return value


def measures(competition: Competition, predictions: np.ndarray) -> list[Metric]:
    """What can be measured of `predictions`: the competition's metric, the same of their other scores, and the rest."""
    held = predictions.dtype.names or ()
    also = [metric for metric in competition.also if metric.needs is None or metric.needs in held]
    return [*by_each_score(competition.metric, predictions), *also]


def by_each_score(metric: Metric, predictions: np.ndarray) -> list[Metric]:
    """The metric, and the same metric of every field `score_<name>` of the predictions, taken as their score."""
    if metric.needs:  # it reads more than the score
        return [metric]
    others = [name for name in predictions.dtype.names or () if name.startswith(OTHER_SCORE)]
    return [metric, *(_of_field(metric, name) for name in others)]


def _of_field(metric: Metric, name: str) -> Metric:
    def reading(part: Callable | None) -> Callable | None:
        return part and (lambda rows, predictions: part(rows, predictions[name]))

    parts = {key: reading(getattr(metric, key)) for key in ("score", "per_row", "error", "resampled", "luck")}
    return replace(metric, name=f"{metric.name} of {name.removeprefix(OTHER_SCORE)}", needs=name, **parts)


def all_scored(metrics: Sequence[Metric], rows: DataFrame, predictions: np.ndarray) -> dict[str, float]:
    """Each metric's name -> its value for `rows`; raises as `scored`."""
    return {metric.name: scored(metric, rows, predictions) for metric in metrics}


def spread(values: Sequence[float], bounds: tuple[float, float]) -> dict[str, Any]:
    """Mean, sample standard deviation (ddof=1) and the 95 % t interval of the mean over folds, within `bounds`.

    Folds share training rows, so the interval is somewhat too narrow (Bengio & Grandvalet, 2004).
    """
    from scipy import stats

    values = np.asarray(values, dtype=float)
    found = {"n": len(values), "mean": float(values.mean()), "sd_ddof1": None, "interval_95_t": None}
    if len(values) > 1:
        sd = float(values.std(ddof=1))
        half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / math.sqrt(len(values))
        low, high = max(found["mean"] - half, bounds[0]), min(found["mean"] + half, bounds[1])
        found |= {"sd_ddof1": sd, "interval_95_t": [low, high]}
    return found


def bootstrap(
    metric: Metric, rows: DataFrame, predictions: np.ndarray, groups: np.ndarray | None = None
) -> list[float] | None:
    """The 95 % percentile interval of the metric when rows (or whole groups) are drawn again with replacement.

    None where fewer than half of the draws can be scored (a tiny set that often lacks a class).
    """
    generator = np.random.default_rng(0)
    members = _members(len(rows), groups)
    score_of = resampled(metric, rows, predictions)
    values = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, len(members), len(members))
        index = drawn if groups is None else np.concatenate([members[i] for i in drawn])
        try:
            values.append(score_of(index))
        except GoldfoldError:
            continue
    if len(values) < RESAMPLES / 2:
        return None
    return [float(edge) for edge in np.percentile(values, [2.5, 97.5])]


def resampled(metric: Metric, rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
    """Positions of drawn rows -> their score."""
    if metric.per_row:
        per_row = metric.per_row(rows, predictions)
        return lambda index: per_row[index].mean()
    if metric.resampled:
        return metric.resampled(rows, predictions)
    return lambda index: metric.score(rows.iloc[index], predictions[index])


def _members(count: int, groups: np.ndarray | None) -> Sequence[np.ndarray]:
    if groups is None:
        return np.arange(count)[:, None]
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.split(np.argsort(inverse, kind="stable"), np.cumsum(sizes)[:-1])
