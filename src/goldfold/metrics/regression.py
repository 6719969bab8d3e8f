"""Metrics of regression: RMSE and RMSLE. The target is a column of the rows; predictions are (n,)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import numeric_target, scores
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame


def rmse(target: str) -> Metric:
    """Root mean squared error, in the target's unit.

    Range: [0, inf), lower is better. Chance: the standard deviation (ddof 0) of the target, the score of its mean.
    Ties and empty classes do not apply. `row_error` is the squared error.
    """

    def error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return (numeric_target(rows, target) - scores(predictions, rows, ())) ** 2

    return Metric(
        name="rmse",
        score=lambda rows, predictions: float(np.sqrt(error(rows, predictions).mean())),
        higher_is_better=False,
        bounds=(0.0, float("inf")),
        chance=lambda rows: float(numeric_target(rows, target).std()),
        options=MetricOptions(row_error=error),
    )


def rmsle(target: str) -> Metric:
    """Root mean squared logarithmic error: the RMSE of ln(1 + x).

    Range: [0, inf), lower is better. Chance: the standard deviation (ddof 0) of ln(1 + target).
    Ties and empty classes do not apply. `row_error` is the squared error of the logarithms.

    Targets and predictions must be greater than -1, else GoldfoldError.
    """

    def logarithm(values: np.ndarray, source: str) -> np.ndarray:
        if (values <= -1).any():
            raise GoldfoldError(
                "value_at_most_minus_one",
                f"RMSLE needs {source} greater than -1, got {values.min():.4g}: clip them at 0",
            )
        return np.log1p(values)

    def truth(rows: DataFrame) -> np.ndarray:
        return logarithm(numeric_target(rows, target), f"values of '{target}'")

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
