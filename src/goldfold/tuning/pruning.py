"""Decide that a trial is pruned: after a fold by its scores so far, within a fold by its learning curve so far.

A fold's score is compared with the same folds of complete trials; an epoch's metric with other trials' curves on the
same fold at the same share of training. Both give the probability that the trial's mean over all folds will beat the
best complete trial's. Stopping by this probability is from Domhan et al., Speeding Up Automatic Hyperparameter
Optimization of Deep Neural Networks by Extrapolation of Learning Curves, IJCAI 2015.

A partial mean is never compared with a full one, only a forecast of the full one. If the trials so far do not show how
much scores vary, the trial goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

from goldfold.tuning.trials import TrialRecord

MIN_PROBABILITY = (
    0.07  # to beat the best, below which a trial is pruned; set on other seeds than benchmarks/tuning.py reports
)
ENOUGH = 3  # different complete trials, or curves, needed to conclude anything
NEAREST = 6  # curves of the local regression, at least
FIRST_SHARE = 0.2  # of a fit's epochs; earlier points of curves do not rank trials
NOISELESS = 1e-9  # sd relative to the largest score, below which it is rounding error

Curve = Sequence[tuple[float, float]]


def prune_after_fold(
    folds: Mapping[int, float], order: Sequence[int], earlier: Sequence[TrialRecord], higher_is_better: bool
) -> str | None:
    """Return why a trial should stop after a fold, in one clause, or None.

    folds: fold -> metric of the trial. order: all folds of the study. earlier: the study's other trials in any state.
    """
    known = _experience(order, earlier, higher_is_better)
    if known is None or not 0 < len(folds) < len(order) or not _finite(folds.values()):
        return None
    done = {fold: known.sign * score for fold, score in folds.items()}
    return known.verdict(known.finished(done), f"after {len(done)} of {len(order)} folds")


def prune_within_fold(
    fold: int,
    curve: Curve,
    folds: Mapping[int, float],
    order: Sequence[int],
    earlier: Sequence[TrialRecord],
    higher_is_better: bool,
) -> str | None:
    """Return why a trial should stop within `fold`, in one clause, or None.

    curve: (share of the fit's epochs done, in (0, 1]; metric) of every validation of this fold so far, in order. folds:
        fold -> metric of the folds done before. order, earlier: as for `prune_after_fold`.
    """
    known = _experience(order, earlier, higher_is_better)
    if known is None or fold in folds or not curve or not FIRST_SHARE <= curve[-1][0] < 1:
        return None
    if not _finite([*folds.values(), *(value for _, value in curve)]):
        return None
    own = _best_so_far(curve, known.sign)
    others = [
        (_best_so_far(trial.curves[fold], known.sign), known.sign * trial.folds[fold])
        for trial in earlier
        if trial.curves.get(fold) and _finite([trial.folds.get(fold, math.nan), *(v for _, v in trial.curves[fold])])
    ]
    end = _forecast_end(own, others)
    if end is None or _rising_faster(own):
        return None
    done = {fold: known.sign * score for fold, score in folds.items()}
    forecast = known.finished_with(done, fold, end)
    return known.verdict(forecast, f"at {curve[-1][0]:.0%} of fold {fold}, where the metric is {curve[-1][1]:.4g}")


class _Forecast(NamedTuple):
    """A Student t distribution: mean, squared scale, degrees of freedom."""

    mean: float
    variance: float
    freedom: int


@dataclass(frozen=True)
class _Experience:
    """What the complete trials show, with every score signed so that higher is better.

    columns: fold -> its column in `scores`, (trials, folds), of the better half of the trials. noise: variance of a
        score around the sum of its trial's level and its fold's difficulty. best: the best trial's mean over all folds;
        number: of that trial.
    """

    sign: int
    columns: Mapping[int, int]
    scores: np.ndarray
    noise: float
    best: float
    number: int

    @property
    def freedom(self) -> int:
        trials, folds = self.scores.shape
        return (trials - 1) * (folds - 1)

    def finished(self, done: Mapping[int, float]) -> _Forecast:
        """Forecast the mean over all K folds of a trial with the scores `done` on k of them.

        Scores are a trial's level + a fold's difficulty + noise (two-way layout, Scheffé, The Analysis of Variance,
        1959, chapter 4). The difference between the remaining folds and those done is then the same in every trial, but
        for noise of variance s² (1/k + 1/(K - k)); estimated from m trials, its mean adds 1/m of that. Without
        assumptions on the trial's level, the mean is that of the folds done + (K - k)/K of that difference.
        """
        at = [self.columns[fold] for fold in done]
        rest = [column for column in self.columns.values() if column not in at]
        mean = float(np.mean(list(done.values())))
        if not rest:
            return _Forecast(mean, 0.0, self.freedom)
        share = len(rest) / len(self.columns)
        harder = float((self.scores[:, rest].mean(axis=1) - self.scores[:, at].mean(axis=1)).mean())
        variance = share**2 * self.noise * (1 / len(at) + 1 / len(rest)) * (1 + 1 / len(self.scores))
        return _Forecast(mean + share * harder, variance, self.freedom)

    def finished_with(self, done: Mapping[int, float], fold: int, end: _Forecast) -> _Forecast:
        """The same forecast with one more fold, whose score is itself the forecast `end` of its curve."""
        if done:
            end = _combined(end, self._next(done, fold))
        finished = self.finished({**done, fold: end.mean})
        variance = finished.variance + end.variance / (len(done) + 1) ** 2
        return _Forecast(finished.mean, variance, min(finished.freedom, end.freedom))

    def _next(self, done: Mapping[int, float], fold: int) -> _Forecast:
        """Forecast one fold's score from those of the folds done."""
        at = [self.columns[other] for other in done]
        harder = float((self.scores[:, self.columns[fold]] - self.scores[:, at].mean(axis=1)).mean())
        variance = self.noise * (1 + 1 / len(at)) * (1 + 1 / len(self.scores))
        return _Forecast(float(np.mean(list(done.values()))) + harder, variance, self.freedom)

    def verdict(self, forecast: _Forecast, when: str) -> str | None:
        """The reason to stop, if the forecast leaves too small a probability to beat the best trial; else None."""
        sd = math.sqrt(forecast.variance)
        if sd == 0:
            return None
        probability = float(stdtr(forecast.freedom, (forecast.mean - self.best) / sd))
        if probability >= MIN_PROBABILITY:
            return None
        shown = "less than 0.1 %" if probability < 0.001 else f"{probability:.1%}".replace("%", " %")
        return (
            f"{when}, its mean over all folds is forecast as {self.sign * forecast.mean:.4g} ± {sd:.1g}, which beats "
            f"trial {self.number}'s {self.sign * self.best:.4g} with a probability of {shown}"
        )


def _experience(order: Sequence[int], earlier: Sequence[TrialRecord], higher_is_better: bool) -> _Experience | None:
    """The experience of the complete trials; None with fewer than 3 different ones, or without noise in their scores.

    Only the better half (3 at least) is used: noise and fold difficulty matter near the best trials.
    """
    sign = 1 if higher_is_better else -1
    complete = [trial for trial in earlier if trial.state == "complete" and set(order) <= trial.folds.keys()]
    by_scores = {tuple(sign * trial.folds[fold] for fold in order): trial.number for trial in reversed(complete)}
    ranked = sorted((scores for scores in by_scores if _finite(scores)), key=sum, reverse=True)
    if len(ranked) < ENOUGH or len(order) < 2:
        return None
    scores = np.array(ranked[: max(ENOUGH, math.ceil(len(ranked) / 2))])
    levels, difficulty = scores.mean(axis=1, keepdims=True), scores.mean(axis=0)
    left = scores - levels - difficulty + scores.mean()
    noise = float((left**2).sum()) / ((len(scores) - 1) * (len(order) - 1))
    if math.sqrt(noise) <= NOISELESS * float(abs(scores).max()):
        return None
    columns = {fold: column for column, fold in enumerate(order)}
    return _Experience(sign, columns, scores, noise, float(levels.max()), by_scores[ranked[0]])


def _best_so_far(curve: Curve, sign: int) -> np.ndarray:
    """Shares and the best metric up to each, (2, validations): a temporary drop is no reason to stop."""
    shares, values = np.array(curve, dtype=float).T
    return np.stack([shares, np.maximum.accumulate(sign * values)])


def _forecast_end(own: np.ndarray, others: Sequence[tuple[np.ndarray, float]]) -> _Forecast | None:
    """Forecast a fit's final score: regress final scores on the metric at this share, over the nearest earlier fits.

    A local straight line (Cleveland, Robust Locally Weighted Regression, JASA 1979, without the weights) with its
    prediction interval: slow fits that end well are near one another, and a line through all fits would miss them. None
    with too few different curves, if no earlier fit was as low at this share (how such a fit continues is unknown), or
    if the curves do not yet rank as they end.
    """
    share, value = own[:, -1]
    known = {(float(np.interp(share, *curve)), score) for curve, score in others if curve[0, 0] <= share}
    if len(known) < ENOUGH or value < min(known)[0]:
        return None
    near = sorted(known, key=lambda pair: (abs(pair[0] - value), pair))[: max(NEAREST, math.ceil(len(known) / 2))]
    x, y = np.array(near).T
    spread = float(((x - x.mean()) ** 2).sum())
    together = float(((x - x.mean()) * (y - y.mean())).sum())
    if spread == 0 or together <= 0:
        return None
    slope, freedom = together / spread, len(near) - 2
    left = float(((y - y.mean() - slope * (x - x.mean())) ** 2).sum()) / freedom
    if math.sqrt(left) <= NOISELESS * float(abs(y).max()):
        return None
    variance = left * (1 + 1 / len(near) + (value - x.mean()) ** 2 / spread)
    return _Forecast(float(y.mean() + slope * (value - x.mean())), float(variance), freedom)


def _rising_faster(own: np.ndarray) -> bool:
    """Whether a curve gained more in its last interval than before: a straight line cannot forecast its end."""
    shares, gains = np.diff(own)
    return len(gains) > 1 and bool(gains[-1] * shares[-2] > gains[-2] * shares[-1])


def _combined(one: _Forecast, other: _Forecast) -> _Forecast:
    """Combine two forecasts of one number, weighted by precision."""
    weight = other.variance / (one.variance + other.variance)
    mean = weight * one.mean + (1 - weight) * other.mean
    return _Forecast(mean, weight * one.variance, min(one.freedom, other.freedom))


def _finite(values: Iterable[float]) -> bool:
    return all(math.isfinite(value) for value in values)
