"""From anomaly scores (higher = more anomalous) to a decision threshold that says how it was found.

A score that equals its threshold is anomalous: `decide` alone says so, and every rule here is meant for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from goldfold import errors
from goldfold.errors import GoldfoldError

LOWEST = 20  # scores whose mean gap is the unit a jump is measured in


@dataclass(frozen=True)
class Threshold:
    """Scores at or above `value` are anomalous; +inf where a rule found nothing anomalous.

    how: the rule and what it saw, one sentence without a full stop, fit for a report.
    transductive: whether it came from the very scores it decides about, so that the verdict on one image depends on
        the images that were scored with it.
    """

    value: float
    how: str
    transductive: bool


def decide(scores: ArrayLike, threshold: Threshold) -> np.ndarray:
    """Bool (n,): which of the scores (n,) are anomalous, score >= threshold."""
    return _finite(scores) >= threshold.value


def fixed(value: float) -> Threshold:
    """A threshold set by hand, a finite number."""
    return Threshold(float(_finite([value])[0]), f"set to {value:g} by hand", transductive=False)


def validation_quantile(scores: ArrayLike, q: float) -> Threshold:
    """The `q` quantile (0 < q < 1, linear interpolation) of the scores (n,) of normal validation images.

    About a share 1 - q of normal images will be called anomalous. Fewer than 1 / (1 - q) scores cannot tell that
    quantile: refused with GoldfoldError.
    """
    values = _finite(scores)
    if not 0 < q < 1:
        raise GoldfoldError(f"a quantile lies between 0 and 1, got {q:g}; for 95 percent write 0.95")
    needed = int(np.ceil(round(1 / (1 - q), 6)))  # 1 / (1 - 0.95) is a rounding error above 20
    _enough(values, needed, f"the {q:g} quantile")
    how = f"{q:g} quantile of the scores of {len(values)} normal validation images"
    return Threshold(float(np.quantile(values, q)), how, transductive=False)


def best_f1(scores: ArrayLike, labels: ArrayLike) -> Threshold:
    """The score among `scores` (n,) that, as a threshold, gives the highest F1 of the anomalous class.

    labels: (n,) bool or 0 / 1, 1 = anomalous; both must occur, otherwise an extreme would win: GoldfoldError.

    Of equal F1 the highest threshold wins, which calls the fewest images anomalous. On test images this is a choice
    made on the test set.
    """
    values, anomalous = _finite(scores), _labels(labels)
    if len(values) != len(anomalous):
        raise GoldfoldError(f"every score needs one label, got {len(values)} scores and {len(anomalous)} labels")
    positives = int(anomalous.sum())
    if not 0 < positives < len(values):
        raise GoldfoldError(
            f"the best F1 needs labelled anomalous and normal images, got {positives} anomalous of {len(values)}; "
            "use a quantile of normal validation images instead"
        )
    cuts = np.unique(values)[::-1]
    called = len(values) - np.searchsorted(np.sort(values), cuts)
    hits = positives - np.searchsorted(np.sort(values[anomalous]), cuts)
    f1 = 2 * hits / (called + positives)
    best = int(f1.argmax())
    how = f"best F1 ({f1[best]:.4f}) on {len(values)} labelled images, {positives} of them anomalous"
    return Threshold(float(cuts[best]), how, transductive=False)


def first_jump(scores: ArrayLike, kappa: float = 5.0, search_from: int = LOWEST) -> Threshold:
    """The first score (n,) that lies a jump above the next lower one, from the scores to be decided alone.

    Sorted s_1 <= ... <= s_n with gaps g_i = s_(i+1) - s_i; a jump is the first i >= search_from with g_i > kappa times
    the mean gap among the lowest 20 scores (19 gaps); the threshold is s_(i+1), or +inf where nothing jumps.

    search_from: so many of the lowest scores are never anomalous. From 0 a gap in the low tail is enough: of 40 normal
        scores drawn from a Gaussian about 37 % are called anomalous, from 20 about 2 %.

    Fewer than 21 scores, or no more than search_from, are refused with GoldfoldError.
    """
    values = np.sort(_finite(scores))
    if not (np.isfinite(kappa) and kappa > 0 and search_from >= 0):
        raise GoldfoldError(
            f"first jump needs a finite kappa above 0 and search_from of at least 0, got {kappa} and {search_from}"
        )
    _enough(values, max(LOWEST, search_from) + 1, f"first jump from score {search_from}")
    gaps = np.diff(values)
    unit = gaps[: LOWEST - 1].mean()
    found = np.flatnonzero(gaps > kappa * unit) + 1  # i as the formula counts
    found = found[found >= search_from]
    rule = f"{kappa:g} times the mean gap {unit:.4g} of the lowest {LOWEST} of {len(values)} scores"
    if not len(found):
        return Threshold(np.inf, f"first jump: no gap from score {search_from} on exceeds {rule}", transductive=True)
    at = found[0]
    how = f"first jump: gap {gaps[at - 1]:.4g} above score {at} exceeds {rule}"
    return Threshold(float(values[at]), how, transductive=True)


def per_class(rule: Callable[..., Threshold], classes: ArrayLike, *columns: ArrayLike) -> dict[str, Threshold]:
    """`rule(*columns)` for the rows of each class: class -> Threshold, in the order of the names.

    classes: (n,) the class of every row. columns: (n,) each, what the rule takes: scores, and labels for `best_f1`.

    A class the rule refuses, for too few scores say, is named in the GoldfoldError.

    >>> per_class(lambda scores: validation_quantile(scores, 0.5), ["a", "a"], [1.0, 3.0])["a"].value
    2.0
    """
    names, *rows = _paired(classes, *columns)
    found = {}
    for name in np.unique(names).tolist():
        try:
            found[name] = rule(*(column[names == name] for column in rows))
        except GoldfoldError as error:
            raise GoldfoldError(f"class '{name}': {error}") from None
    return found


def decide_per_class(scores: ArrayLike, classes: ArrayLike, thresholds: Mapping[str, Threshold]) -> np.ndarray:
    """Bool (n,): which of the scores (n,) are anomalous by the threshold of their class (n,)."""
    names, values = _paired(classes, _finite(scores))
    anomalous = np.zeros(len(values), bool)
    for name in np.unique(names).tolist():
        if name not in thresholds:
            raise errors.unknown("threshold for class", str(name), map(str, thresholds))
        anomalous[names == name] = decide(values[names == name], thresholds[name])
    return anomalous


def _finite(scores: ArrayLike) -> np.ndarray:
    try:
        values = np.asarray(scores, np.float64)
    except (TypeError, ValueError):
        raise GoldfoldError("scores are numbers, got something else; pass one number per image") from None
    if values.ndim != 1 or not values.size:
        raise GoldfoldError(f"scores are one number per image, got shape {values.shape}; pass at least one, shape (n,)")
    odd = np.flatnonzero(~np.isfinite(values))
    if odd.size:
        raise GoldfoldError(
            f"scores are finite numbers, got {values[odd[0]]} at position {odd[0]} ({odd.size} of {values.size} such); "
            "look at what the detector made of that image"
        )
    return values


def _labels(labels: ArrayLike) -> np.ndarray:
    values = np.asarray(labels)
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise GoldfoldError(f"labels are 0 for normal and 1 for anomalous, shape (n,), got {np.unique(values)[:5]}")
    return values.astype(bool)


def _enough(values: np.ndarray, needed: int, what: str) -> None:
    if len(values) < needed:
        raise GoldfoldError(
            f"{what} needs at least {needed} scores, got {len(values)}; "
            "pool classes, or set a fixed threshold, or take a validation quantile that so many scores can tell"
        )


def _paired(classes: ArrayLike, *columns: ArrayLike) -> list[np.ndarray]:
    names, *rows = (np.asarray(column) for column in (classes, *columns))
    if any(row.shape[:1] != names.shape for row in rows):
        raise GoldfoldError(f"every score needs one class, got {names.shape} classes and {rows[0].shape} scores")
    if any(name is None or name != name for name in names.tolist()):
        raise GoldfoldError("every image needs a class, got a missing one; name it, or use one threshold for all")
    return [names, *rows]
