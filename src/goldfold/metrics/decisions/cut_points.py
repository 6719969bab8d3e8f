"""Cut points between ordinal classes, fitted to quadratic kappa."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import class_indices
from goldfold.optional_parts import Decision, DecisionParameter

if TYPE_CHECKING:
    from pandas import DataFrame

QUANTILES = 32  # places that are tried for a cut point; more of them fit noise, and flatter
ROUNDS = 10


def of_ordinal(target: str, classes: Sequence) -> Decision | None:
    """The cut points between numeric `classes` for (n,) values; None for classes that are no ascending numbers."""
    scale = np.asarray(classes)
    if scale.dtype.kind not in "fiu" or len(scale) < 2 or not (np.diff(scale.astype(np.float64)) > 0).all():
        return None
    scale = scale.astype(np.float64)

    def search(rows: DataFrame, predictions: np.ndarray) -> tuple[float, ...]:
        truth = class_indices(rows[target].to_numpy(), classes, f"target '{target}'")
        return best_kappa(truth, predictions.astype(np.float64), scale)

    def apply(rows: DataFrame, predictions: np.ndarray, values: Mapping[str, Any]) -> np.ndarray:
        if predictions.ndim != 1 or predictions.dtype.kind != "f":
            raise GoldfoldError(
                "decision_unsuitable",
                f"cut points need one value for each row, as a regression predicts them, got {predictions.dtype} of "
                f"the shape {predictions.shape}: set a recipe that predicts values, or leave `decide:` out",
            )
        return scale[np.searchsorted(values["cut_points"], predictions, side="left")]

    cut_points = DecisionParameter(middles(scale), (), lambda value: _not_cuts(value, len(scale) - 1), search=search)
    return Decision(parameters={"cut_points": cut_points}, apply=apply)


def middles(scale: np.ndarray) -> tuple[float, ...]:
    """The middle between each two neighboring classes: cut points of the nearest class.

    >>> middles(np.array([1, 2, 4]))
    (1.5, 3.0)
    """
    return tuple(((scale[1:] + scale[:-1]) / 2).tolist())


def _not_cuts(value: Any, count: int) -> str:
    numbers = isinstance(value, (list, tuple)) and all(
        isinstance(each, (int, float)) and not isinstance(each, bool) for each in value
    )
    if numbers and len(value) == count and (np.diff(value) >= 0).all() and np.isfinite(value).all():
        return ""
    return f"cut points are a list of {count} ascending numbers, such as one candidate of a list of them"


def best_kappa(truth: np.ndarray, values: np.ndarray, scale: np.ndarray) -> tuple[float, ...]:
    """Cut points with a high quadratic kappa, ascending, (classes - 1,): a local optimum, the same for equal inputs.

    truth: class indices (n,). values: predictions (n,). scale: the classes' numbers, ascending. One cut point after the
    other is moved between the quantiles of the values to where kappa is largest, until none moves. It starts at the
    middles, and at the quantiles that give each class its share of the truth; the better end counts, and of equally
    good ones the middles.
    """
    values, order = np.sort(values), np.argsort(values, kind="stable")
    counts = np.concatenate([np.zeros((1, len(scale))), np.eye(len(scale))[truth[order]].cumsum(axis=0)])
    ranks = np.unique(np.linspace(0, len(values), QUANTILES + 1).astype(np.int64))[1:-1]
    places = np.array([_between(values, rank) for rank in ranks if values[rank - 1] < values[rank]])
    shares = np.bincount(truth, minlength=len(scale)).cumsum()[:-1]
    by_share = tuple(_between(values, min(max(int(rank), 1), len(values) - 1)) for rank in shares)
    ends = [_climbed(start, places, values, counts) for start in (middles(scale), by_share)]
    return max(ends, key=lambda end: end[1])[0]  # the first of equal ones


def _between(values: np.ndarray, rank: int) -> float:
    return float((values[rank - 1] + values[rank]) / 2)


def _climbed(
    start: Sequence[float], places: np.ndarray, values: np.ndarray, counts: np.ndarray
) -> tuple[tuple[float, ...], float]:
    """The cut points that are reached from a start, and their kappa."""
    cuts = list(start)
    best = _kappa(np.searchsorted(values, cuts, side="right"), counts)
    for _ in range(ROUNDS):
        before = best
        for at, place in product(range(len(cuts)), places.tolist()):
            moved = [*cuts[:at], place, *cuts[at + 1 :]]
            tried = _kappa(np.searchsorted(values, moved, side="right"), counts) if moved == sorted(moved) else best
            if tried > best + 1e-12:
                cuts, best = moved, tried
        if best <= before:
            break
    return tuple(cuts), best


def _kappa(ranks: np.ndarray, counts: np.ndarray) -> float:
    """Quadratic kappa of cuts behind these ranks of the sorted values.

    counts: (n + 1, classes), rows of each class among the first ones.
    """
    edges = counts[np.concatenate([[0], ranks, [len(counts) - 1]])]
    observed = np.diff(edges, axis=0)
    numbers = np.arange(counts.shape[1])
    weights = (numbers[:, None] - numbers) ** 2.0
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / max(len(counts) - 1, 1)
    below = float((weights * expected).sum())
    return 1 - float((weights * observed).sum()) / below if below > 0 else -np.inf
