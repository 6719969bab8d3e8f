"""Parameters of a recipe or of the engine: flat, typed, frozen, and strict about names and types."""

from __future__ import annotations

from copy import copy
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

Model = TypeVar("Model", bound=BaseModel)


class Params(BaseModel):
    """What every set of parameters inherits: it is frozen and refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def with_defaults(params: type[Model], **defaults: Any) -> type[Model]:
    """`params` with other defaults, as a competition's baseline wants them.

    >>> class Head(Params):
    ...     epochs: int = 10
    >>> with_defaults(Head, epochs=3)().epochs
    3
    """
    unknown = defaults.keys() - params.model_fields.keys()
    if unknown:
        raise TypeError(f"{params.__name__} has no field {', '.join(sorted(unknown))}")
    fields = {}
    for name, value in defaults.items():
        field = copy(params.model_fields[name])  # keeps the description and the bounds
        field.default = value
        fields[name] = (field.annotation, field)
    return create_model(params.__name__, __base__=params, **fields)
