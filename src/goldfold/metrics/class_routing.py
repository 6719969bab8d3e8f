"""Metrics of routing: whether an image was taken for one of its own class, and so judged by the right library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldfold.competition import Metric
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import checked, labels
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame


def routing_accuracy(column: str) -> Metric:
    """Share of rows that were routed to their class.

    column: holds class names, strings. Name it among the competition's targets, so that nothing can look it up.
    Predictions: records with a field `routed` of class names, as `routing.Routed.names` gives them. Names mean the same
    in all folds, while a position in a list shifts where a fold lacks a class.

    Chance is the share of the most frequent class: the best that routes all images alike.
    GoldfoldError: a row without a class or a route, and rows of several classes of which none was routed to any, since
    then the names are not the same ones.
    """

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return (_routes(rows, predictions) == _classes(rows, column)).astype(np.float64)

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        routed, truth = _routes(rows, predictions), np.unique(_classes(rows, column))
        if len(truth) > 1 and not np.isin(routed, truth).any():
            raise GoldfoldError(
                f"images were routed to classes such as '{routed[0]}', and '{column}' holds others such as "
                f"'{truth[0]}' only: look at how images and class names were matched"
            )
        return float(per_row(rows, predictions).mean())

    def chance(rows: DataFrame) -> float:
        _, sizes = np.unique(_classes(rows, column), return_counts=True)
        return float(sizes.max() / len(rows))

    return Metric(
        name="routing_accuracy",
        score=score,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=chance,
        options=MetricOptions(
            per_row=per_row,
            row_error=lambda rows, predictions: 1 - per_row(rows, predictions),
            field="routed",
        ),
    )


def _routes(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
    routed = checked(field(predictions, "routed"), rows, ())
    if routed.dtype.kind != "U" or (routed == "").any():
        found = f"{(routed == '').sum()} empty ones" if routed.dtype.kind == "U" else str(routed.dtype)
        raise GoldfoldError(f"routes are class names, got {found}: predict `Routed.names` as the field 'routed'")
    return routed


def _classes(rows: DataFrame, column: str) -> np.ndarray:
    from goldfold.anomaly.class_routing import names  # torch comes with it

    return names(labels(rows, column))
