"""Parameters of a recipe or of the engine: flat, typed and frozen, with strict names and types."""

from __future__ import annotations

from copy import copy
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

Model = TypeVar("Model", bound=BaseModel)


class Params(BaseModel):
    """Base class of all parameters: they are frozen, and unknown names, infinities and NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Role(Enum):
    """What a recipe's parameter means to the engine and to competition rules, whatever its name.

    It is an annotation of the parameter's type: `views: Annotated[Views, Role.VIEWS] = "none"`. Only the recipe reads
    parameters without a role.
    """

    EPOCHS = "number of epochs of a stage; 0, if allowed, leaves the stage out"
    BACKBONE = "timm's name of the backbone"
    PRETRAINED = "whether the backbone starts from pretrained weights"
    VIEWS = "set of test-time views that predictions are averaged over, one of a Literal"
    MODELS = "one model for all classes, or one per class"
    LIBRARIES = "one memory bank, or one per class"


Epochs = Annotated[int, Role.EPOCHS]
BackboneName = Annotated[str, Role.BACKBONE]
Pretrained = Annotated[bool, Role.PRETRAINED]
Models = Annotated[Literal["one", "per_class"], Role.MODELS]
Libraries = Annotated[Literal["one", "per_class"], Role.LIBRARIES]


def names(params: type[BaseModel], role: Role) -> list[str]:
    """Names of the parameters with this role, in the order of the fields.

    >>> class Head(Params):
    ...     epochs: Epochs = 10
    ...     rate: float = 0.1
    >>> names(Head, Role.EPOCHS)
    ['epochs']
    """
    return [name for name, field in params.model_fields.items() if role in field.metadata]


def values(params: BaseModel, role: Role) -> dict[str, Any]:
    """Names and values of the parameters with this role."""
    return {name: getattr(params, name) for name in names(type(params), role)}


def with_defaults(params: type[Model], **defaults: Any) -> type[Model]:
    """A subclass of `params` with other defaults, for the baseline of a competition.

    Descriptions and bounds of the fields stay. Raises TypeError for a name that is not a field.

    >>> class Head(Params):
    ...     epochs: int = 10
    >>> with_defaults(Head, epochs=3)().epochs
    3
    """
    unknown = defaults.keys() - params.model_fields.keys()
    if unknown:
        raise TypeError(f"{params.__name__} has no field {', '.join(sorted(unknown))}")
    fields: dict[str, Any] = {}
    for name, value in defaults.items():
        field = copy(params.model_fields[name])  # keeps the description and the bounds
        field.default = value
        fields[name] = (field.annotation, field)
    return create_model(params.__name__, __base__=params, **fields)
