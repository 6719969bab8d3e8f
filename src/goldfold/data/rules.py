"""Rules that hosts of competitions set and a run's parameters can break."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldfold.optional_parts import Rule
from goldfold.params import Role, values

if TYPE_CHECKING:
    from pydantic import BaseModel


def _several_models(params: BaseModel) -> str | None:
    several = _not_one(params, Role.MODELS)
    return f"{several} trains one model for each class" if several else None


def _several_libraries(params: BaseModel) -> str | None:
    several = _not_one(params, Role.LIBRARIES)
    return f"{several} compares each class with features of its own" if several else None


def _not_one(params: BaseModel, role: Role) -> str | None:
    """The first parameter with this role that is not "one", as name=value."""
    return next((f"{name}={value}" for name, value in values(params, role).items() if value != "one"), None)


ONE_MODEL = Rule(text="one model for all classes, trained on all data", broken=_several_models)
"""A parameter of the role `Role.MODELS` other than "one" breaks it; a recipe without such a parameter never does."""

ONE_LIBRARY = Rule(text="one library of features for all classes", broken=_several_libraries)
"""For hosts who count a library fitted to one class as a model of its own; without it that is post-processing."""
