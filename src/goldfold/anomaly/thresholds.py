"""Decision thresholds for anomaly scores (higher = more anomalous): fixed, quantile, best F1, first jump, per class.

A score equal to its threshold counts as anomalous; `decide` applies this to every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from goldfold import errors
from goldfold.errors import GoldfoldError

LOWEST = 20  # number of lowest scores whose mean gap is the unit of a jump


@dataclass(frozen=True)
class Threshold:
    """A decision threshold: scores at or above `value` are anomalous; +inf if a rule found nothing anomalous.

    description: the rule and what it used, one sentence without a full stop, fit for a report.
    transductive: whether it was computed from the scores it decides about, so that the decision on one image depends on
        the images scored with it.
    """

    value: float
    description: str
    transductive: bool


def decide(scores: ArrayLike, threshold: Threshold) -> np.ndarray:
    """Whether each of the scores (n,) is anomalous, score >= threshold: bool (n,)."""
    return _finite(scores) >= threshold.value


def fixed(value: float) -> Threshold:
    """A threshold set by hand, a finite number."""
    return Threshold(float(_finite([value])[0]), f"set to {value:g} by hand", transductive=False)


def validation_quantile(scores: ArrayLike, q: float) -> Threshold:
    """The `q` quantile of the scores (n,) of normal validation images, 0 < q < 1, by linear interpolation.

    About a share 1 - q of normal images will be called anomalous. Raises GoldfoldError for fewer than 1 / (1 - q)
    scores, which cannot determine that quantile.
    """
    values = _finite(scores)
    if not 0 < q < 1:
        raise GoldfoldError(
            "quantile_out_of_range", f"q must lie between 0 and 1, got {q:g}: for 95 percent write 0.95"
        )
    needed = int(np.ceil(round(1 / (1 - q), 6)))  # 1 / (1 - 0.95) is a rounding error above 20
    _enough(values, needed, f"the {q:g} quantile")
    description = f"{q:g} quantile of the scores of {len(values)} normal validation images"
    return Threshold(float(np.quantile(values, q)), description, transductive=False)


def best_f1(scores: ArrayLike, labels: ArrayLike) -> Threshold:
    """The score among `scores` (n,) that gives the highest F1 of the anomalous class as a threshold.

    labels: (n,) bool or 0 / 1, 1 = anomalous. Raises GoldfoldError unless both occur, since an extreme would win then.

    Of thresholds with equal F1 the highest wins, which calls the fewest images anomalous. On test images this is a
    choice made on the test set.
    """
    values, anomalous = _finite(scores), _labels(labels)
    if len(values) != len(anomalous):
        raise GoldfoldError(
            "lengths_differ",
            f"every score needs one label, got {len(values)} scores and {len(anomalous)} labels: pass both for the "
            "same images",
        )
    positives = int(anomalous.sum())
    if not 0 < positives < len(values):
        raise GoldfoldError(
            "metric_one_class",
            f"the best F1 needs labeled anomalous and normal images, got {positives} anomalous of {len(values)}: use a "
            "quantile of normal validation images instead",
        )
    cuts = np.unique(values)[::-1]
    called = len(values) - np.searchsorted(np.sort(values), cuts)
    hits = positives - np.searchsorted(np.sort(values[anomalous]), cuts)
    f1 = 2 * hits / (called + positives)
    best = int(f1.argmax())
    description = f"best F1 ({f1[best]:.4f}) on {len(values)} labeled images, {positives} of them anomalous"
    return Threshold(float(cuts[best]), description, transductive=False)


def first_jump(scores: ArrayLike, kappa: float = 5.0, search_from: int = LOWEST) -> Threshold:
    """The first score (n,) that lies a jump above the next lower one; it uses only the scores to be decided.

    Sorted s_1 <= ... <= s_n with gaps g_i = s_(i+1) - s_i; a jump is the first i >= search_from with g_i > kappa times
    the mean gap among the lowest 20 scores (19 gaps). The threshold is s_(i+1), or +inf if nothing jumps.

    search_from: so many of the lowest scores are never anomalous. With 0, a gap in the low tail is enough: of 40 normal
        scores drawn from a Gaussian about 37 % are called anomalous, with 20 about 2 %.

    Raises GoldfoldError for fewer than 21 scores, and for no more scores than search_from.
    """
    values = np.sort(_finite(scores))
    if not (np.isfinite(kappa) and kappa > 0 and search_from >= 0):
        raise GoldfoldError(
            "jump_parameter_out_of_range",
            f"first jump needs a finite kappa above 0 and search_from of at least 0, got {kappa} and {search_from}: 5 "
            "and 20 are the defaults",
        )
    _enough(values, max(LOWEST, search_from) + 1, f"first jump from score {search_from}")
    gaps = np.diff(values)
    unit = gaps[: LOWEST - 1].mean()
    found = np.flatnonzero(gaps > kappa * unit) + 1  # i as in the formula
    found = found[found >= search_from]
    rule = f"{kappa:g} times the mean gap {unit:.4g} of the lowest {LOWEST} of {len(values)} scores"
    if not len(found):
        return Threshold(np.inf, f"first jump: no gap from score {search_from} on exceeds {rule}", transductive=True)
    at = found[0]
    description = f"first jump: gap {gaps[at - 1]:.4g} above score {at} exceeds {rule}"
    return Threshold(float(values[at]), description, transductive=True)


def per_class(rule: Callable[..., Threshold], classes: ArrayLike, *columns: ArrayLike) -> dict[str, Threshold]:
    """A threshold for each class: `rule(*columns)` for its rows, in the order of the class names.

    classes: (n,) the class of every row. columns: (n,) each, the arguments of the rule: scores, and labels for
    `best_f1`.
    Raises the rule's GoldfoldError with the name of the class, for example for too few scores.

    >>> per_class(lambda scores: validation_quantile(scores, 0.5), ["a", "a"], [1.0, 3.0])["a"].value
    2.0
    """
    names, *rows = _paired(classes, *columns)
    found = {}
    for name in np.unique(names).tolist():
        try:
            found[name] = rule(*(column[names == name] for column in rows))
        except GoldfoldError as error:
            raise GoldfoldError(error.code, f"class '{name}': {error}") from None
    return found


def decide_per_class(scores: ArrayLike, classes: ArrayLike, thresholds: Mapping[str, Threshold]) -> np.ndarray:
    """Whether each of the scores (n,) is anomalous by the threshold of its class (n,): bool (n,)."""
    names, values = _paired(classes, _finite(scores))
    anomalous = np.zeros(len(values), bool)
    for name in np.unique(names).tolist():
        if name not in thresholds:
            raise errors.unknown("threshold for class", str(name), map(str, thresholds), code="unknown_class")
        anomalous[names == name] = decide(values[names == name], thresholds[name])
    return anomalous


def _finite(scores: ArrayLike) -> np.ndarray:
    """Scores as float64 (n,), checked."""
    try:
        values = np.asarray(scores, np.float64)
    except (TypeError, ValueError):
        raise GoldfoldError("scores_not_numeric", "scores must be numbers, one per image: convert them first") from None
    if values.ndim != 1 or not values.size:
        raise GoldfoldError(
            "wrong_score_shape",
            f"scores must be one number per image, shape (n,), got shape {values.shape}: pass at least one",
        )
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise GoldfoldError(
            "scores_not_finite",
            f"scores must be finite, got {values[wrong[0]]} at position {wrong[0]} ({wrong.size} of {values.size} are "
            "not): check the detector's output for that image",
        )
    return values


def _labels(labels: ArrayLike) -> np.ndarray:
    """Labels as bool (n,), checked."""
    values = np.asarray(labels)
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise GoldfoldError(
            "labels_not_binary",
            f"labels must be 0 for normal and 1 for anomalous, shape (n,), got {np.unique(values)[:5]}: convert them "
            "first",
        )
    return values.astype(bool)


def _enough(values: np.ndarray, needed: int, what: str) -> None:
    """Raise GoldfoldError for fewer scores than the rule needs."""
    if len(values) < needed:
        raise GoldfoldError(
            "too_few_scores",
            f"{what} needs at least {needed} scores, got {len(values)}: pool classes, set a fixed threshold, or use a "
            "lower quantile",
        )


def _paired(classes: ArrayLike, *columns: ArrayLike) -> list[np.ndarray]:
    """The classes and columns as arrays of one length, checked."""
    names, *rows = (np.asarray(column) for column in (classes, *columns))
    if any(row.shape[:1] != names.shape for row in rows):
        raise GoldfoldError(
            "lengths_differ",
            f"every score needs one class, got {names.shape} classes and {rows[0].shape} scores: pass both for the "
            "same images",
        )
    if any(name is None or name != name for name in names.tolist()):
        raise GoldfoldError(
            "class_missing", "every image needs a class, but one is missing: name it, or use one threshold for all"
        )
    return [names, *rows]
