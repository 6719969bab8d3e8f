"""Find weights of a mean, at least 0 with sum 1, that maximize a metric on given rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations, permutations
from math import comb

import numpy as np
from pandas import DataFrame

from goldfold.competition import Metric
from goldfold.data import fields
from goldfold.experiment.scoring import resampling_scorer
from goldfold.io.seeding import derive

CHUNK = 2**22  # values converted to float64 at a time
MEMORY = 2**28  # bytes of cached row scores of tried weights
LARGE = 2**24  # values of a run from which a single score is slow
FIRST_STEP, FINEST_STEP, COARSE_STEP = 1 / 4, 1 / 64, 1 / 8  # of weight; the coarse one for slow scores
POLLS = 200
BAGS, ROUNDS = 10, 20

Goodness = Callable[[np.ndarray], float]  # (runs,) weights -> larger is better


def weighted_mean(predictions: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Compute the weighted mean of runs' predictions, (n, ...) each, in their widest dtype; weights sum to 1.

    Records are blended field by field. Values that are not floats, such as class names, become the one with most
    weight, that of the earliest run among equals. Each result lies between the smallest and the largest of its values.
    """
    if predictions[0].dtype.names:
        names = predictions[0].dtype.names
        return fields.records(**{name: weighted_mean([each[name] for each in predictions], weights) for name in names})
    if predictions[0].dtype.kind != "f":
        return _weighted_vote(np.stack(predictions), weights)
    blended = np.empty(predictions[0].shape, np.result_type(*predictions))
    rows = max(1, CHUNK * len(blended) // max(1, blended.size))
    for start in range(0, len(blended), rows):
        parts = [each[start : start + rows].astype(np.float64) for each in predictions]
        total = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        blended[start : start + rows] = total.clip(np.minimum.reduce(parts), np.maximum.reduce(parts))
    return blended


def _weighted_vote(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(runs, n, ...) values -> (n, ...), at each position the one with most weight."""
    shares = np.asarray(weights).reshape(-1, *[1] * (labels.ndim - 1))
    votes = np.stack([((labels == own) * shares).sum(axis=0) for own in labels])
    return np.take_along_axis(labels, votes.round(12).argmax(axis=0)[None], axis=0)[0]


class Objective:
    """How good a weighted mean is on some rows: the metric, with its sign changed if lower is better.

    A metric that is a mean over rows, or can be resampled fast, is computed once for all subsets of rows.
    """

    def __init__(self, metric: Metric, rows: DataFrame, predictions: Sequence[np.ndarray]) -> None:
        self.metric, self.rows, self.predictions = metric, rows, predictions
        self.sign = 1 if metric.higher_is_better else -1
        by_row = metric.options.per_row or metric.options.resampled
        held = 24 * len(rows) + (0 if by_row else predictions[0].nbytes)
        self._scorer = lru_cache(max(4, MEMORY // held))(self._scorer_of)

    def on(self, positions: np.ndarray) -> Goodness:
        """The goodness of weights on the rows at `positions`."""
        return lambda weights: self.sign * self._scorer(tuple((weights / weights.sum()).round(12)))(positions)

    @property
    def slow(self) -> bool:
        """Whether a single score takes so long that few weights can be tried: predictions are maps, or very many."""
        parts = fields.parts(self.predictions[0])
        return any(part.ndim > 2 for part in parts) or sum(part.size for part in parts) >= LARGE

    def _scorer_of(self, weights: tuple[float, ...]) -> Callable[[np.ndarray], float]:
        return resampling_scorer(self.metric, self.rows, weighted_mean(self.predictions, np.array(weights)))


def optimize_weights(goodness: Goodness, runs: int, slow: bool = False) -> np.ndarray:
    """Find the best weights, (runs,): by gradient if the metric is smooth, else by exchanging weight between runs.

    Never worse than equal weights or a single run; equal weights if nothing is better.
    """
    starts = [np.full(runs, 1 / runs), *np.eye(runs)]
    if not slow and is_smooth(goodness, starts[0]):
        starts.append(_by_gradient(goodness, starts[0]))
        return _best(goodness, starts)
    finest = COARSE_STEP if slow else FINEST_STEP
    found = [optimize_by_exchange(goodness, start, finest) for start in (starts[0], _best(goodness, starts[1:]))]
    return _best(goodness, found)


def _best(goodness: Goodness, candidates: Sequence[np.ndarray]) -> np.ndarray:
    """The first of the best; differences of rounding size count as equal."""
    return candidates[int(np.argmax(np.round([goodness(weights) for weights in candidates], 12)))]


def is_smooth(goodness: Goodness, weights: np.ndarray) -> bool:
    """Whether slopes over a long and a short step agree within 1 %; metrics that count rows or pairs do not.

    Slopes are central differences at `weights` along the exchange of weight between each run and the first.
    """
    directions = [unit - np.eye(len(weights))[0] for unit in np.eye(len(weights))[1:]]

    def slopes(way: float) -> np.ndarray:
        return np.array([(goodness(weights + way * d) - goodness(weights - way * d)) / (2 * way) for d in directions])

    far, near = slopes(1e-3), slopes(1e-5)
    scale = np.abs(far).max()
    return bool(scale > 1e-9 and np.abs(far - near).max() <= 0.01 * scale)


def _by_gradient(goodness: Goodness, start: np.ndarray) -> np.ndarray:
    """Sequential quadratic programming (Kraft, A Software Package for SQP, DFVLR-FB 88-28, 1988) by SciPy."""
    from scipy.optimize import minimize

    found = minimize(
        lambda weights: -goodness(weights),
        start,
        method="SLSQP",
        bounds=[(0, 1)] * len(start),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"ftol": 1e-10},
    )
    weights = np.where(found.x < 1e-6, 0, found.x)
    return weights / weights.sum()


def optimize_by_exchange(goodness: Goodness, start: np.ndarray, finest: float) -> np.ndarray:
    """Move weight between runs while that helps, by ever smaller steps down to `finest`; needs no derivative.

    A generating set search along the edges of the simplex (Kolda, Lewis and Torczon, Optimization by Direct Search,
    SIAM Review 45, 2003, section 3.4).
    """
    weights, best, step = start, goodness(start), FIRST_STEP
    for _ in range(POLLS):
        moves = [_moved(weights, step, *pair) for pair in permutations(range(len(weights)), 2) if weights[pair[0]]]
        values = [goodness(each) for each in moves]
        if max(values) > best + 1e-12:
            weights, best = moves[int(np.argmax(values))], max(values)
        elif step <= finest:
            break
        else:
            step /= 2
    return weights


def _moved(weights: np.ndarray, step: float, giver: int, taker: int) -> np.ndarray:
    moved, amount = weights.copy(), min(step, weights[giver])
    moved[giver] -= amount
    moved[taker] += amount
    return moved


def ensemble_selection(goodness: Goodness, runs: int) -> np.ndarray:
    """Compute weights by Caruana's ensemble selection (hill climbing), (runs,): the mean over bags.

    A bag is half of the runs, two at least; if there are more than 10 such bags, 10 are drawn (section 2.3 of Caruana
    et al., Ensemble Selection from Libraries of Models, ICML 2004).
    """
    size = max(min(2, runs), -(-runs // 2))
    if comb(runs, size) <= BAGS:
        bags = list(combinations(range(runs), size))
    else:
        draw = np.random.default_rng(derive("bags", runs))
        bags = [tuple(sorted(draw.choice(runs, size, replace=False))) for _ in range(BAGS)]
    return np.mean([select_from_bag(goodness, runs, bag) for bag in bags], axis=0)


def select_from_bag(goodness: Goodness, runs: int, bag: Sequence[int]) -> np.ndarray:
    """Run ensemble selection on one bag; returns weights of all runs, those of the best ensemble on the way.

    It starts with the N best runs, N by their score (section 2.2), then 20 times adds the run that helps most or hurts
    least, with replacement (section 2.1); the earliest of equal ones wins.
    """

    def goodness_of(counts: np.ndarray) -> float:
        return round(goodness(counts / counts.sum()), 12)

    ranked = sorted(bag, key=lambda run: -goodness_of(np.eye(runs)[run]))
    starts = [np.eye(runs)[ranked[:many]].sum(axis=0) for many in range(1, len(ranked) + 1)]
    counts = max(starts, key=goodness_of)
    passed = [counts]
    for _ in range(ROUNDS):
        counts = max((counts + np.eye(runs)[run] for run in bag), key=goodness_of)
        passed.append(counts)
    best = max(passed, key=goodness_of)
    return best / best.sum()
