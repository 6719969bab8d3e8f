"""What `Recipe.with_stage`, `with_plan` and `with_params` do: a recipe is changed without a copy of its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from goldfold.errors import unknown

if TYPE_CHECKING:
    from pandas import DataFrame
    from pydantic import BaseModel

    from goldfold.competition import Plan, Runtime

    Build = Callable[[Any, DataFrame, Runtime], Plan]
    Change = Callable[[Plan, Any, DataFrame, Runtime], Plan]

FUNCTIONS = ("batches", "losses", "optimizer", "schedule", "untrained_loss", "row_losses")  # of a stage
OF_LOSSES = ("untrained_loss", "row_losses")  # measured by the losses, so they go where the losses change


def of_stage(name: str, functions: Mapping[str, Callable]) -> Change:
    """The change of a plan that gives its stage `name` other functions.

    Raises:
        GoldfoldError: `unknown_stage_function`; the change itself: `unknown_stage`.
    """
    for each in functions:
        if each not in FUNCTIONS:
            raise unknown("function of a stage", each, FUNCTIONS, code="unknown_stage_function")
    return partial(with_stage, name=name, functions=functions)


def with_stage(
    plan: Plan, params: Any, rows: DataFrame, runtime: Runtime, *, name: str, functions: Mapping[str, Callable]
) -> Plan:
    """The plan with other functions in one of its stages; functions take `params` first.

    New losses leave `untrained_loss` and `row_losses` out unless they are given, too: those measure the old ones.

    Raises:
        GoldfoldError: `unknown_stage`.
    """
    known = [stage.name for stage in plan.stages]
    if name not in known:
        raise unknown("stage", name, known, code="unknown_stage")
    changed: dict[str, Any] = dict.fromkeys(OF_LOSSES) if "losses" in functions else {}
    changed |= {field: partial(function, params) for field, function in functions.items()}
    stages = [replace(stage, **changed) if stage.name == name else stage for stage in plan.stages]
    return replace(plan, stages=stages)


def build(first: Build, change: Change, params: Any, rows: DataFrame, runtime: Runtime) -> Plan:
    """The plan that `first` builds, changed."""
    return change(first(params, rows, runtime), params, rows, runtime)


def joined(more: type[BaseModel], params: type[BaseModel]) -> type[BaseModel]:
    """Parameters with the fields of both; a field of `more` takes the place of one of the same name."""
    from pydantic import create_model

    return create_model(params.__name__, __base__=(more, params))
