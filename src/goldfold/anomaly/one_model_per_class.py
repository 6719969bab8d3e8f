"""A plan made of one plan per class, and the routing of images to them: what a rule of one model for all forbids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from goldfold.anomaly import class_routing
from goldfold.competition import Plan, Stage
from goldfold.data import fields
from goldfold.errors import GoldfoldError
from goldfold.images import reading as images

if TYPE_CHECKING:
    from pandas import DataFrame

    Route = Callable[[Sequence[str], Sequence[Any], DataFrame], class_routing.Routed]


class Members(nn.ModuleList):
    """One model per class; called with the position of its class first."""

    def forward(self, position: int, *arguments: Any) -> Any:
        return self[position](*arguments)


def plan(
    build: Callable[[DataFrame], Plan],
    rows: DataFrame,
    normal: DataFrame,
    column: str | None,
    textures: Collection[str] = (),
    route: Route | None = None,
) -> Plan:
    """A plan whose every class learns from its own rows alone and predicts the images that look like it.

    build: a class's rows -> its plan; all must predict records of the same fields. rows: of training, with `path` and
    the class in `column`; normal: those of them that routing learns from. textures: classes told apart by colour.
    route: (classes, what each class's finish returned, rows) -> where each row belongs; `routing.by_prototype` of the
        normal images where there is none.

    No label picks a model, and predictions say in `routed` which one was asked.

    Raises:
        GoldfoldError: rows without the column or with gaps in it.
    """
    if column not in rows:
        raise GoldfoldError(
            f"one per class needs a column with each row's class, and there is {column or 'none'}: learn them all "
            "together, models=one or libraries=one"
        )
    route = route or _by_look(normal, column, textures)
    classes, of_class = np.unique(class_routing.names(normal[column])).tolist(), class_routing.names(rows[column])
    plans = [build(rows[of_class == name]) for name in classes]
    routed = partial(route, classes)
    if any(each.model is None for each in plans):
        model, stages = None, []
    else:
        model = Members(each.model for each in plans)
        stages = [_stage(stage, at) for at, each in enumerate(plans) for stage in each.stages]
    return Plan(
        model=model,
        stages=stages,
        finish=lambda model: [each.finish(_member(model, at)) for at, each in enumerate(plans)],
        predict=partial(_predict, plans, routed),
        pictures=partial(_pictures, plans, routed) if plans[0].pictures else None,
    )


def _member(model: Members | None, at: int) -> nn.Module | None:
    return model if model is None else model[at]


def _stage(stage: Stage, at: int) -> Stage:
    return replace(
        stage,
        name=f"{stage.name}_{at + 1}",
        losses=lambda model, batch: stage.losses(partial(model, at), batch),
        optimizer=lambda model: stage.optimizer(model[at]),
    )


def _by_look(normal: DataFrame, column: str, textures: Collection[str]) -> Route:
    known = class_routing.prototypes(map(images.read, normal["path"]), normal[column], textures)
    return lambda classes, finished, rows: class_routing.by_prototype(map(images.read, rows["path"]), known)


def _predict(
    plans: Sequence[Plan],
    route: Callable[..., class_routing.Routed],
    model: Members | None,
    finished: Sequence,
    rows: DataFrame,
) -> np.ndarray:
    routed = route(finished, rows)
    places, parts = [], []
    for at, each in enumerate(plans):
        own = np.flatnonzero(routed.positions == at)
        if len(own):
            places.append(own)
            parts.append(each.predict(_member(model, at), finished[at], rows.iloc[own].reset_index(drop=True)))
    order = np.argsort(np.concatenate(places))
    together = np.concatenate(parts)[order]
    return fields.records(**{name: together[name] for name in together.dtype.names}, routed=routed.names)


def _pictures(
    plans: Sequence[Plan],
    route: Callable[..., class_routing.Routed],
    model: Members | None,
    finished: Sequence,
    rows: DataFrame,
) -> dict[str, np.ndarray]:
    positions = route(finished, rows).positions
    shown = [
        plans[at].pictures(_member(model, at), finished[at], rows.iloc[[row]].reset_index(drop=True))
        for row, at in enumerate(positions)
    ]
    return {name: np.concatenate([each[name] for each in shown]) for name in shown[0]}
