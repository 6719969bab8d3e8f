"""Blend methods: make one prediction of several runs', by means, weights or stacking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame, Series

from goldfold.competition import Metric
from goldfold.ensemble.names import FIXED
from goldfold.ensemble.weight_search import Objective, ensemble_selection, optimize_weights, weighted_mean
from goldfold.errors import GoldfoldError

EXPONENTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
TINY = 1e-6  # probabilities count as at least this far from 0 and 1
WEIGHTED = ("mean", "weights", "greedy", FIXED)  # methods whose blend is the weighted mean
STRENGTH = 1.0  # inverse of the L2 penalty of stacking, on standardized features

Apply = Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class BlendTask:
    """What a method may learn from: out-of-fold predictions of several runs, (n, ...) each, and targets of the rows."""

    metric: Metric
    targets: Sequence[str]
    rows: DataFrame
    oof: Sequence[np.ndarray]
    objective: Objective


@dataclass(frozen=True)
class Blender:
    """A learned blend.

    apply: the runs' predictions of some rows, (m, ...) each -> (m, ...). weights: (runs,) weights of a mean, or
        coefficients of stacking; None if there are none. description: a description.
    """

    apply: Apply
    weights: np.ndarray | None = None
    description: str = ""


@dataclass(frozen=True)
class Method:
    """A blend method.

    learn: (task, positions of the rows whose targets it may use) -> Blender; raises GoldfoldError if it cannot. learns:
        whether it uses targets. plain: whether it accepts only (n,) and (n, classes) floats.
    """

    learn: Callable[[BlendTask, np.ndarray], Blender]
    learns: bool
    plain: bool


def check_method(method: Method, task: BlendTask) -> None:
    """Check that a method can blend such predictions.

    Raises:
        GoldfoldError: it cannot.
    """
    first = task.oof[0]
    if method.plain and (first.dtype.kind != "f" or first.ndim > 2):
        shape = "records" if first.dtype.names else f"{first.dtype} of shape {first.shape}"
        raise GoldfoldError(
            "method_unsuitable", f"it blends float predictions of shape (n,) or (n, classes), and these are {shape}"
        )


def _mean(task: BlendTask, positions: np.ndarray) -> Blender:
    return weighted_blender(np.full(len(task.oof), 1 / len(task.oof)))


def _weights(task: BlendTask, positions: np.ndarray) -> Blender:
    return weighted_blender(optimize_weights(task.objective.on(positions), len(task.oof), task.objective.slow))


def _greedy(task: BlendTask, positions: np.ndarray) -> Blender:
    if task.objective.slow:
        raise GoldfoldError("method_too_slow", "it scores the runs hundreds of times, which takes too long for maps")
    return weighted_blender(ensemble_selection(task.objective.on(positions), len(task.oof)))


def weighted_blender(weights: np.ndarray) -> Blender:
    """The weighted mean; weights: (runs,), of sum 1."""
    return Blender(lambda predictions: weighted_mean(predictions, weights), weights)


def _rank_mean(task: BlendTask, positions: np.ndarray) -> Blender:
    def apply(predictions: Sequence[np.ndarray]) -> np.ndarray:
        return _normalize_like(predictions, np.mean([rank_shares(each) for each in predictions], axis=0))

    return Blender(apply)


def _normalize_like(predictions: Sequence[np.ndarray], blended: np.ndarray) -> np.ndarray:
    """Normalize rows of `blended` (m, classes) to sum 1 if all runs' rows do, as class probabilities."""
    if blended.ndim == 2 and all(np.allclose(each.sum(axis=1), 1, atol=1e-3) for each in predictions):
        return blended / blended.sum(axis=1, keepdims=True)
    return blended


def rank_shares(predictions: np.ndarray) -> np.ndarray:
    """Rank each column's values as shares in (0, 1): (rank - 1/2) / n; equal values share their mean rank."""
    from scipy import stats

    return (stats.rankdata(predictions, axis=0) - 0.5) / len(predictions)


def _power_mean(task: BlendTask, positions: np.ndarray) -> Blender:
    if min(each.min() for each in task.oof) < 0:
        raise GoldfoldError("predictions_negative", "it needs predictions of at least 0")
    sign = 1 if task.metric.higher_is_better else -1
    rows, seen = task.rows.iloc[positions].reset_index(drop=True), [each[positions] for each in task.oof]
    goodness = [round(sign * task.metric.score(rows, power_mean(seen, p)), 12) for p in EXPONENTS]
    best = EXPONENTS[int(np.argmax(goodness))]
    return Blender(lambda predictions: power_mean(predictions, best), description=f"p = {best:g}")


def power_mean(predictions: Sequence[np.ndarray], p: float) -> np.ndarray:
    """Compute (mean of x^p)^(1/p) over runs; for p = 0 its limit, the geometric mean. x >= 0, at least 1e-6 for p = 0.

    If the rows of every run sum to 1, as class probabilities do, those of the result do too.
    """
    values = np.stack(predictions).astype(np.float64).clip(0)
    if p == 0:
        blended = np.exp(np.log(values.clip(TINY)).mean(axis=0))
    else:
        top = values.max()  # so that no power overflows
        blended = top * ((values / top) ** p).mean(axis=0) ** (1 / p) if top else values[0]
    return _normalize_like(predictions, blended.clip(values.min(axis=0), values.max(axis=0)))


def _stacking(task: BlendTask, positions: np.ndarray) -> Blender:
    """Logistic regression where the target has classes, else ridge, on the runs' predictions (Wolpert, 1992)."""
    if len(task.targets) != 1:
        raise GoldfoldError(
            "several_targets",
            f"it needs exactly one target to learn, and this competition has {', '.join(task.targets)}",
        )
    answers, seen = task.rows[task.targets[0]], [each[positions] for each in task.oof]
    classes, known = list(task.metric.options.classes or sorted(answers.unique())), answers.iloc[positions]
    columns = 1 if seen[0].ndim == 1 else seen[0].shape[1]
    if columns == 1 and len(classes) == 2:
        return _logistic(
            seen, known, list(task.metric.options.classes or _classes_by_prediction(seen, known)), binary=True
        )
    if columns == len(classes) and columns > 1:
        return _logistic(seen, known, classes, binary=False)
    if columns == 1 and answers.dtype.kind in "fiu" and not task.metric.options.classes:
        return _ridge(seen, known)
    raise GoldfoldError(
        "columns_do_not_fit", f"{columns} columns of predictions do not fit the {len(classes)} values of the target"
    )


def _classes_by_prediction(seen: Sequence[np.ndarray], answers: Series) -> list:
    """Classes ordered by their mean prediction, for metrics that do not name the positive class."""
    level = np.mean([rank_shares(each) for each in seen], axis=0)
    return sorted(answers.unique(), key=lambda own: level[(answers == own).to_numpy()].mean())


def stacking_features(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenate runs' predictions, (m, ...) each: (m, runs x columns) float64."""
    return np.concatenate([each.reshape(len(each), -1) for each in predictions], axis=1).astype(np.float64)


def log_odds(shares: np.ndarray) -> np.ndarray:
    """ln(x / (1 - x)), with x clipped to [1e-6, 1 - 1e-6]."""
    inside = shares.clip(TINY, 1 - TINY)
    return np.log(inside / (1 - inside))


def _logistic(seen: Sequence[np.ndarray], answers: Series, classes: Sequence, binary: bool) -> Blender:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    joined = stacking_features(seen)
    shares = joined.min() >= 0 and joined.max() <= 1
    fitted = make_pipeline(
        FunctionTransformer(log_odds if shares else None),
        StandardScaler(),
        LogisticRegression(C=STRENGTH, max_iter=2000),
    ).fit(joined, answers)
    known = list(fitted.classes_)
    if len(known) < len(classes):
        raise GoldfoldError("classes_missing", f"the rows it learns from have {len(known)} of {len(classes)} classes")
    order = [known.index(each) for each in classes]

    def apply(predictions: Sequence[np.ndarray]) -> np.ndarray:
        found = fitted.predict_proba(stacking_features(predictions))[:, order]
        return found[:, 1] if binary else found

    return Blender(apply, fitted[-1].coef_[0] if binary else None, "logistic regression")


def _ridge(seen: Sequence[np.ndarray], answers: Series) -> Blender:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted = make_pipeline(StandardScaler(), Ridge(alpha=1 / STRENGTH)).fit(stacking_features(seen), answers)
    return Blender(
        lambda predictions: fitted.predict(stacking_features(predictions)), fitted[-1].coef_, "ridge regression"
    )


METHODS = {
    "mean": Method(_mean, learns=False, plain=False),
    "rank_mean": Method(_rank_mean, learns=False, plain=True),
    "power_mean": Method(_power_mean, learns=True, plain=True),
    "weights": Method(_weights, learns=True, plain=False),
    "greedy": Method(_greedy, learns=True, plain=False),
    "stacking": Method(_stacking, learns=True, plain=True),
}
"""Of equally good methods the earlier is preferred: from learning nothing to learning most."""
