"""One model per class, with class routing; a competition rule of one model for all classes forbids it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import nn

from goldfold.anomaly import class_routing
from goldfold.competition import Plan, Stage
from goldfold.data import fields
from goldfold.errors import GoldfoldError
from goldfold.images import reading

if TYPE_CHECKING:
    from pandas import DataFrame

    Pictures = Callable[[nn.Module | None, Any, DataFrame], Mapping[str, np.ndarray]]
    Route = Callable[[Sequence[str], Sequence[Any], DataFrame], class_routing.Routed]


class ClassModels(nn.ModuleList):
    """One model per class; the first argument of a call is the position of the class."""

    def forward(self, position: int, *arguments: Any) -> Any:
        """Call the model of the class at `position`."""
        return self[position](*arguments)


def plan(
    build: Callable[[DataFrame], Plan],
    rows: DataFrame,
    normal: DataFrame,
    column: str | None,
    textures: Collection[str] = (),
    route: Route | None = None,
) -> Plan:
    """A plan with one model per class, each trained on its own rows; routing selects the model of each image.

    build: a class's rows -> its plan; all plans must predict records with the same fields.
    rows: training rows with `path` and the class in `column`. normal: the subset that routing is fitted on.
    textures: classes that are told apart by color.
    route: (classes, what each class's `finish` returned, rows) -> where each row belongs; by default
        `class_routing.by_prototype` of the normal images.

    No label selects a model, and predictions report the chosen class in `routed`.

    Raises GoldfoldError for rows without the column or with missing classes.
    """
    if column is None or column not in rows:
        raise GoldfoldError(
            "no_class_column",
            f"one model per class needs a column with each row's class, got {column or 'none'}: set models=one or "
            "libraries=one",
        )
    route = route or _by_look(normal, column, textures)
    classes, of_class = (
        np.unique(class_routing.class_names(normal[column])).tolist(),
        class_routing.class_names(rows[column]),
    )
    plans = [build(rows[of_class == name]) for name in classes]
    routed = partial(route, classes)
    models = [each.model for each in plans if each.model is not None]
    trained = len(models) == len(plans)
    pictures = [each.pictures for each in plans if each.pictures is not None]
    return Plan(
        model=ClassModels(models) if trained else None,
        stages=[_stage(stage, at) for at, each in enumerate(plans) for stage in each.stages] if trained else [],
        finish=lambda model: [each.finish(_member(model, at)) for at, each in enumerate(plans)],
        predict=partial(_predict, plans, routed),
        pictures=partial(_pictures, pictures, routed) if len(pictures) == len(plans) else None,
    )


def example(rows: int, models: str) -> dict[str, np.ndarray]:
    """The field that `plan` adds to predictions, (rows,), where there is a model per class."""
    return {"routed": np.full(rows, "class", "U64")} if models == "per_class" else {}


def _member(model: nn.Module | None, at: int) -> nn.Module | None:
    """The model of one class; None if there is no model."""
    return None if model is None else cast(ClassModels, model)[at]


def _stage(stage: Stage, at: int) -> Stage:
    """A class's stage, applied to its own model."""
    return replace(
        stage,
        name=f"{stage.name}_{at + 1}",
        losses=lambda model, batch: stage.losses(cast(nn.Module, partial(model, at)), batch),
        optimizer=lambda model: stage.optimizer(cast(ClassModels, model)[at]),
    )


def _by_look(normal: DataFrame, column: str, textures: Collection[str]) -> Route:
    """Route by the appearance of the normal images."""
    known = class_routing.prototypes(map(reading.read, normal["path"]), normal[column], textures)
    return lambda classes, finished, rows: class_routing.by_prototype(map(reading.read, rows["path"]), known)


def _predict(
    plans: Sequence[Plan],
    route: Callable[..., class_routing.Routed],
    model: nn.Module | None,
    finished: Sequence,
    rows: DataFrame,
) -> np.ndarray:
    """Predict each row with the plan of the class it is routed to, in the order of the rows."""
    routed = route(finished, rows)
    positions, parts = [], []
    for at, each in enumerate(plans):
        own = np.flatnonzero(routed.positions == at)
        if len(own):
            positions.append(own)
            parts.append(each.predict(_member(model, at), finished[at], rows.iloc[own].reset_index(drop=True)))
    order = np.argsort(np.concatenate(positions))
    together = np.concatenate(parts)[order]
    return fields.records(**{name: together[name] for name in together.dtype.names or ()}, routed=routed.names)


def _pictures(
    pictures: Sequence[Pictures],
    route: Callable[..., class_routing.Routed],
    model: nn.Module | None,
    finished: Sequence,
    rows: DataFrame,
) -> dict[str, np.ndarray]:
    """The pictures of each row by the plan of the class it is routed to."""
    positions = route(finished, rows).positions
    shown = [
        pictures[at](_member(model, at), finished[at], rows.iloc[[row]].reset_index(drop=True))
        for row, at in enumerate(positions)
    ]
    return {name: np.concatenate([each[name] for each in shown]) for name in shown[0]}
