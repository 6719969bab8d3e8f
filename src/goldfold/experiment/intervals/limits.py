"""Limits of 95 % confidence intervals from a score, its variance and what it rests on.

`benchmarks/coverage.py` simulates how often they contain the true score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from goldfold.experiment.intervals.jackknife import Sampling

LEVEL = 0.95
UPPER = (1 + LEVEL) / 2
FEWEST_GROUPS = 5  # below, no interval over groups contains the true score reliably
FEW_GROUPS = 10  # below, the variance is enlarged by groups / (groups - 1)
FEW_OF_A_CLASS = 30  # rows of the rarest class below which the interval over folds is used where it is wider
ROUNDING = 1e-12


def over_folds(scores: Sequence[float], bounds: Sequence[float]) -> list[float] | None:
    """Student's t interval of a mean over folds, seeds or trials, clipped to `bounds`; None for one score."""
    from scipy import stats

    values, n = np.asarray(scores, dtype=float), len(scores)
    if n < 2:
        return None
    half = float(stats.t.ppf(UPPER, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    return [max(mean - half, bounds[0]), min(mean + half, bounds[1])]


def fold_statistics(scores: Sequence[float], bounds: Sequence[float]) -> dict[str, Any]:
    """Number, mean, sample standard deviation (ddof=1) and interval over folds of some scores."""
    sd = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return {"n": len(scores), "mean": float(np.mean(scores)), "sd_ddof1": sd, "interval_95": over_folds(scores, bounds)}


def of_mean(scores: Sequence[float], bounds: Sequence[float], found: Sampling) -> list[float] | None:
    """The interval of a mean over folds, as an estimate of the score that its models reach on new rows.

    The variance is that over rows or groups, and not less than that over folds. Where fewer than 30 rows are of the
    rarest class, the interval over folds is used as far as it is wider.

    Returns None for one fold in which no row can be left out, and for fewer than 5 groups.
    """
    if found.groups is not None and found.groups < FEWEST_GROUPS:
        return None
    values, k = np.asarray(scores, dtype=float), len(scores)
    if found.variance is None and k < 2:
        return None
    between = float(values.var(ddof=1)) / k if k > 1 else 0.0
    variance, degrees = _combined(found, between, k)
    if found.groups is not None and found.groups < FEW_GROUPS:
        variance *= found.groups / (found.groups - 1)
    edges = limits(float(values.mean()), variance, degrees, bounds, found.units)
    few = found.groups is None and found.rarest is not None and found.rarest < FEW_OF_A_CLASS
    widest = over_folds(scores, bounds) if few else None
    return [min(edges[0], widest[0]), max(edges[1], widest[1])] if widest else edges


def _combined(found: Sampling, between: float, folds: int) -> tuple[float, float]:
    """The larger variance, and its degrees of freedom after Satterthwaite (1946)."""
    if found.variance is None:
        return between, folds - 1
    degrees = found.degrees if found.groups is None else found.groups - 1
    beyond = between - found.variance
    if beyond <= 0:
        return found.variance, degrees
    return between, between**2 / (found.variance**2 / degrees + beyond**2 / (folds - 1))


def limits(score: float, variance: float, degrees: float, bounds: Sequence[float], units: int) -> list[float]:
    """The interval of a score with this variance, inside `bounds`.

    Between two bounds it is Wilson's score interval of a proportion (1927) with as many observations as have this
    variance, and Student's quantile. At a bound it is the exact one of `units` observations (Clopper and Pearson,
    1934), and without variance elsewhere Wilson's of `units`. With one bound or none it is Student's.
    """
    from scipy import stats

    low, high = bounds
    quantile = float(stats.t.ppf(UPPER, max(1, degrees)))
    if not (math.isfinite(low) and math.isfinite(high)):
        half = quantile * math.sqrt(variance)
        return [max(score - half, low), min(score + half, high)]
    share = min(1.0, max(0.0, (score - low) / (high - low)))
    edges = _of_share(share, variance / (high - low) ** 2, quantile, units)
    return [low + (high - low) * edge for edge in edges]


def _of_share(share: float, variance: float, quantile: float, units: int) -> tuple[float, float]:
    """The interval of a share in [0, 1]."""
    if share > 1 - ROUNDING:
        return (1 - UPPER) ** (1 / units), 1.0
    if share < ROUNDING:
        return 0.0, 1 - (1 - UPPER) ** (1 / units)
    observations = share * (1 - share) / variance if variance > ROUNDING**2 else float(units)
    squared = quantile**2 / observations
    center = (share + squared / 2) / (1 + squared)
    half = math.sqrt(squared * (share * (1 - share) + squared / 4)) / (1 + squared)
    return max(0.0, center - half), min(1.0, center + half)
