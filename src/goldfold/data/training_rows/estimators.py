"""Fit scikit-learn estimators on rows with weights and soft targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.data.training_rows.soft_targets import RowTargets, reserved, take
from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def fit(estimator: Any, rows: DataFrame, labels: Series, classes: Sequence | None) -> Any:
    """Fit an estimator on rows as their reserved columns want it, and return it.

    A row of weight w, share a and soft targets q becomes rows of the same features: one for its label, of weight
    w (1 - a), and one for each class, of weight w a q, which gives a log-loss its exact value. Those of weight 0 are
    left out. Only the last step of a pipeline gets them: what comes before, a scaler or a feature made of targets, sees
    each row once, with its label.

    classes: in the order of q; None for values.

    Raises:
        GoldfoldError: `soft_targets_unsupported`, the estimator takes no weights.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.utils import _safe_indexing
    from sklearn.utils.validation import has_fit_parameter

    found = take(rows)
    features: Any = rows.drop(columns=reserved(rows))
    if found is None:
        return estimator.fit(features, labels)
    steps = isinstance(estimator, Pipeline)
    last = estimator.steps[-1][1] if steps else estimator
    if not has_fit_parameter(last, "sample_weight"):
        raise GoldfoldError(
            "soft_targets_unsupported",
            "weights of rows and soft targets need an estimator whose fit() takes sample_weight, and "
            f"{type(last).__name__} takes none: take another one, or pseudo_labels with labels: hard and weight: 1",
        )
    if steps and len(estimator.steps) > 1:
        features = estimator[:-1].fit_transform(features, labels)
    places, targets, weights = _weighted(found, labels, classes)
    last.fit(_safe_indexing(features, places), targets, sample_weight=weights)
    return estimator


def _weighted(found: RowTargets, labels: Series, classes: Sequence | None) -> tuple[np.ndarray, pd.Series, np.ndarray]:
    """Positions of rows, their targets and weights; a row is there once for each target of a weight above 0."""
    rows, given = np.arange(len(labels)), found.soft.shape[1] > 0
    parts = [(labels, found.weight * (1 - found.share))]
    for number, each in enumerate(classes or ()) if given else ():
        value = pd.Series([each] * len(rows)).astype(labels.dtype)
        parts.append((value, found.weight * found.share * found.soft[:, number]))
    targets = pd.concat([values for values, _ in parts], ignore_index=True)
    weights = np.concatenate([weights for _, weights in parts])
    counted = weights > 0
    return np.tile(rows, len(parts))[counted], targets[counted].reset_index(drop=True), weights[counted]
