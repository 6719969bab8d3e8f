"""Metrics of a predicted number; the targets are a column of rows, predictions (n,)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import numbers, scores
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame


def rmse(target: str) -> Metric:
    """Root mean squared error, in the target's unit; chance is that of the mean: the standard deviation (ddof 0)."""

    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return (numbers(rows, target) - scores(predictions, rows, ())) ** 2

    return Metric(
        name="rmse",
        score=lambda rows, predictions: float(np.sqrt(error(rows, predictions).mean())),
        higher_is_better=False,
        bounds=(0.0, float("inf")),
        chance=lambda rows: float(numbers(rows, target).std()),
        options=MetricOptions(row_error=error),
    )


def rmsle(target: str) -> Metric:
    """Root mean squared error of ln(1 + x); chance is the standard deviation (ddof 0) of ln(1 + target).

    Targets and predictions must lie above -1, else GoldfoldError.
    """

    def logarithm(values: np.ndarray, of: str) -> np.ndarray:
        if (values <= -1).any():
            raise GoldfoldError(f"RMSLE needs {of} above -1, found {values.min():.4g}: clip them at 0")
        return np.log1p(values)

    def truth(rows: DataFrame) -> np.ndarray:
        return logarithm(numbers(rows, target), f"values of '{target}'")

    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return (truth(rows) - logarithm(scores(predictions, rows, ()), "predictions")) ** 2

    return Metric(
        name="rmsle",
        score=lambda rows, predictions: float(np.sqrt(error(rows, predictions).mean())),
        higher_is_better=False,
        bounds=(0.0, float("inf")),
        chance=lambda rows: float(truth(rows).std()),
        options=MetricOptions(row_error=error),
    )
