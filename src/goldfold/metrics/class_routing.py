"""Routing accuracy: whether images were routed to the model or memory bank of their own class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldfold.competition import Metric
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import check_predictions, labels
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame


def routing_accuracy(column: str) -> Metric:
    """Share of rows that were routed to their own class.

    Range: [0, 1], higher is better. Chance: the share of the most frequent class, which is the best that routing all
    images alike can reach.
    Ties: none, since every row has exactly one route.
    Empty classes: classes without rows do not count. GoldfoldError if a row lacks its class or route, or if rows of
    several classes have routes to none of these classes, since then the two sets of names do not match.

    column: holds class names, strings. Name it among the competition's targets, so that no model sees it.
    Predictions: records with a field `routed` of class names, as `class_routing.Routed.names` gives them. Names mean
    the same in all folds, while a position in a list shifts if a fold lacks a class.
    """

    def per_row(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return (_routes(rows, predictions) == _classes(rows, column)).astype(np.float64)

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        routed, truth = _routes(rows, predictions), np.unique(_classes(rows, column))
        if len(truth) > 1 and not np.isin(routed, truth).any():
            raise GoldfoldError(
                "class_names_disagree",
                f"images were routed to classes such as '{routed[0]}', but '{column}' holds only others such as "
                f"'{truth[0]}': "
                "check how images and class names were matched",
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
    routed = check_predictions(field(predictions, "routed"), rows, ())
    if routed.dtype.kind != "U" or (routed == "").any():
        found = f"{(routed == '').sum()} empty ones" if routed.dtype.kind == "U" else str(routed.dtype)
        raise GoldfoldError(
            "routes_not_names", f"routes must be class names, got {found}: predict `Routed.names` as the field 'routed'"
        )
    return routed


def _classes(rows: DataFrame, column: str) -> np.ndarray:
    from goldfold.anomaly.class_routing import class_names  # imports torch

    return class_names(labels(rows, column))
