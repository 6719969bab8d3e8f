"""Competition rules that can be checked against a run's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldfold.images import augmentation, views
from goldfold.optional_parts import Rule
from goldfold.params import Role, values

if TYPE_CHECKING:
    from pydantic import BaseModel


def _several_models(params: BaseModel) -> str | None:
    several = _not_one(params, Role.MODELS)
    return f"{several} trains a separate model for each class" if several else None


def _several_libraries(params: BaseModel) -> str | None:
    several = _not_one(params, Role.LIBRARIES)
    return f"{several} builds a separate feature library for each class" if several else None


def _not_one(params: BaseModel, role: Role) -> str | None:
    """Return the first parameter with this role that is not "one", as name=value."""
    return next((f"{name}={value}" for name, value in values(params, role).items() if value != "one"), None)


def no_mirroring_unless(column: str) -> Rule:
    """`NO_MIRRORING`, except for runs trained on `column`, in which left and right are one identity.

    It is kept by a recipe whose parameter with `Role.LABEL` names the column.
    """

    def broken(params: BaseModel) -> str | None:
        merged = column in values(params, Role.LABEL).values()
        return None if merged else _mirrored(params)

    return Rule(text=f"{NO_MIRRORING.text}, except in '{column}'", broken=broken)


def _mirrored(params: BaseModel) -> str | None:
    mirrors = {Role.MIRRORS: {True, *augmentation.MIRRORING}, Role.VIEWS: views.MIRRORING}
    told = (
        f"{name}={str(value).lower()} shows images mirrored"
        for role, names in mirrors.items()
        for name, value in values(params, role).items()
        if value in names
    )
    return next(told, None)


ONE_MODEL = Rule(text="one model for all classes, trained on all data", broken=_several_models)
"""Broken by a parameter with `Role.MODELS` that is not "one"; recipes without such a parameter always comply."""

ONE_LIBRARY = Rule(text="one library of features for all classes", broken=_several_libraries)
"""For hosts who count a feature library per class as a model per class. Otherwise it counts as post-processing."""

NO_MIRRORING = Rule(text="no image is mirrored, since left and right are different identities", broken=_mirrored)
"""For hands, ears and other things with a side: a mirrored right hand is a left one."""
