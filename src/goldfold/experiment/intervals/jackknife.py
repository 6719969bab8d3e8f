"""Sampling variance of a score: rows or whole groups are left out in turn, the delete-a-group jackknife.

Source: Shao and Tu, The Jackknife and Bootstrap, 1995, section 2.3; for a mean over folds the variances of the folds
add up, as in LeDell et al., Computationally efficient confidence intervals for cross-validated AUC, 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goldfold.data.fold_checks import codes_of
from goldfold.errors import GoldfoldError
from goldfold.experiment.scoring import resampling_scorer

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Metric

BLOCKS = 200  # of rows that are left out together, over all folds


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Rows that are scored together, such as one fold.

    predictions: one array per seed; the score is the mean over them. groups: (n,), whose rows depend on each other;
        None: rows are independent.
    """

    rows: DataFrame
    predictions: list[np.ndarray]
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Sampling:
    """How far a mean over sets of scored rows varies with the rows.

    variance: None where a row or group cannot be left out, since the others lack a class or are none. degrees: of
        freedom of the variance. rows: in all. groups: None for independent rows. rarest: rows of the rarest class;
        None if the score does not depend on classes.
    """

    variance: float | None
    degrees: int
    rows: int
    groups: int | None = None
    rarest: int | None = None

    @property
    def units(self) -> int:
        """Independent units that the score rests on: groups, rows of the rarest class, or rows."""
        return min(each for each in (self.groups, self.rarest, self.rows) if each is not None)


def sampling(metric: Metric, parts: Sequence[ScoredRows], rarest: int | None = None) -> Sampling:
    """Estimate how far the mean of a metric over `parts` varies.

    rarest: rows of the rarest class in all parts, for a metric of classes; it bounds the degrees of freedom, except of
        a mean over rows.
    """
    rarest = None if metric.options.per_row else rarest
    rows = sum(len(part.rows) for part in parts)
    groups = None
    if all(part.groups is not None for part in parts):
        groups = len(set().union(*(np.asarray(part.groups).tolist() for part in parts)))
    variances: list[float] = []
    degrees = -len(parts)
    for part in parts:
        found = _variance(metric, part, max(2, round(BLOCKS * len(part.rows) / rows)))
        if found is None:
            return Sampling(None, len(parts) - 1, rows, groups, rarest)
        variances.append(found[0])
        degrees += found[1]
    if rarest is not None:
        degrees = max(1, min(degrees, rarest - len(parts)))
    return Sampling(sum(variances) / len(parts) ** 2, degrees, rows, groups, rarest)


def _variance(metric: Metric, part: ScoredRows, blocks: int) -> tuple[float, int] | None:
    """Variance of the score of one set of rows, and the number of units left out; None if one cannot be."""
    scorers = [resampling_scorer(metric, part.rows, predictions) for predictions in part.predictions]
    if metric.options.per_row and part.groups is None:
        values = np.mean([metric.options.per_row(part.rows, each) for each in part.predictions], axis=0)
        return (float(values.var(ddof=1)) / len(values), len(values)) if len(values) > 1 else None
    units = units_of(len(part.rows), part.groups, blocks)
    return left_out(units, len(part.rows), lambda kept: float(np.mean([score_of(kept) for score_of in scorers])))


def units_of(count: int, groups: np.ndarray | None, blocks: int = BLOCKS) -> list[np.ndarray]:
    """Positions of `count` rows that are left out together: whole groups, else at most `blocks` random blocks."""
    if groups is None:
        return np.array_split(np.random.default_rng(0).permutation(count), min(count, blocks))
    codes, _ = codes_of(groups, "group")
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def left_out(
    units: Sequence[np.ndarray], count: int, score_of: Callable[[np.ndarray], float]
) -> tuple[float, int] | None:
    """The jackknife variance of a score, and the number of units; None if rows without one of them have no score.

    units: positions of rows. score_of: positions of the rows that are kept, ascending -> their score.
    """
    if len(units) < 2:
        return None
    scores = []
    for unit in units:
        kept = np.ones(count, bool)
        kept[unit] = False
        try:
            scores.append(score_of(np.flatnonzero(kept)))
        except GoldfoldError:
            return None
    return float(variance(np.array(scores))), len(units)


def variance(scores: np.ndarray) -> np.ndarray:
    """The jackknife variance from scores (units, ...) without each unit; shape (...)."""
    units = len(scores)
    return (units - 1) ** 2 / units * scores.var(axis=0, ddof=1)
