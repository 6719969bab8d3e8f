"""Rules that hosts of competitions set and a run's parameters can break."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldfold.competition import Rule

if TYPE_CHECKING:
    from pydantic import BaseModel


def _several_models(params: BaseModel) -> str | None:
    models = getattr(params, "models", "one")
    return None if models == "one" else f"models={models} trains one model for each class"


def _several_libraries(params: BaseModel) -> str | None:
    libraries = getattr(params, "libraries", "one")
    return None if libraries == "one" else f"libraries={libraries} compares each class with features of its own"


ONE_MODEL = Rule(text="one model for all classes, trained on all data", broken=_several_models)
"""A recipe whose parameters have a field `models` other than "one" breaks it; one without such a field never does."""

ONE_LIBRARY = Rule(text="one library of features for all classes", broken=_several_libraries)
"""For hosts who count a library fitted to one class as a model of its own; without it that is post-processing."""
