"""The order of the classes in predicted probabilities: one for the recipe, all metrics and all folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import class_indices

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Competition, Recipe


def class_order(competition: Competition, recipe: Recipe, train: DataFrame) -> tuple | None:
    """All labels in the order of the columns that a recipe predicts; None if it predicts no probabilities of classes.

    It is the order that the recipe names, else that of the first metric that names one, else that of the sorted labels.

    Raises:
        GoldfoldError: `class_order_differs`, the recipe and a metric, or two metrics, name other classes or another
            order; `unknown_class`, a train row has another label; `single_class`; `values_not_sortable`.
    """
    if recipe.labels is None:
        return None
    column, order = recipe.labels
    source = "the recipe"
    for metric in (competition.metric, *competition.also):
        declared = metric.options.classes
        if declared is None or metric.options.field:
            continue
        if order is None:
            order, source = declared, f"metric {metric.name}"
        elif not _agree(order, declared):
            raise GoldfoldError(
                "class_order_differs",
                f"{source} has the classes {list(order)} and metric {metric.name} {list(declared)}, but the columns of "
                "predictions have one order: give both the same `classes`",
            )
    if column not in train:
        return order
    labels = train[column].to_numpy()
    order = _sorted(labels.tolist(), column) if order is None else order
    found = class_indices(labels, order, f"target '{column}'")
    if (found == found[0]).all():
        raise GoldfoldError(
            "single_class",
            f"target '{column}' is {order[found[0]]!r} in all {len(found)} train rows, and a classifier needs two "
            "classes: check which rows load() reads",
        )
    return order


def _agree(order: tuple, other: tuple) -> bool:
    """Whether columns of one are columns of the other: equal, or as many classes of another target column."""
    return order == other or (len(order) == len(other) and not set(order) & set(other))


def _sorted(labels: list, column: str) -> tuple:
    try:
        return tuple(sorted(set(labels)))
    except TypeError as error:
        raise GoldfoldError(
            "values_not_sortable",
            f"labels in '{column}' must be text, numbers or bools, got {labels[0]!r} first ({error}): convert them in "
            "load() with .astype(str)",
        ) from None
