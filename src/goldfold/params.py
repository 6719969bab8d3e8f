"""Parameters of a recipe or of the engine: flat, typed, frozen, and strict about names and types."""

from __future__ import annotations

from copy import copy
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

Model = TypeVar("Model", bound=BaseModel)


class Params(BaseModel):
    """What every set of parameters inherits: it is frozen and refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Role(Enum):
    """What a recipe's parameter means to the engine and to competition rules, whatever its name.

    It is an annotation of the parameter's type: `views: Annotated[Views, Role.VIEWS] = "none"`. Parameters without a
    role are read by their recipe alone.
    """

    EPOCHS = "number of epochs of a stage; 0, if allowed, leaves the stage out"
    BACKBONE = "timm's name of a network"
    PRETRAINED = "whether the backbone starts from pretrained weights"
    VIEWS = "set of views that predictions are averaged over, one of a Literal"
    MODELS = "one model, or one per class"
    LIBRARIES = "one library of features, or one per class"


Epochs = Annotated[int, Role.EPOCHS]
BackboneName = Annotated[str, Role.BACKBONE]
Pretrained = Annotated[bool, Role.PRETRAINED]
Models = Annotated[Literal["one", "per_class"], Role.MODELS]
Libraries = Annotated[Literal["one", "per_class"], Role.LIBRARIES]


def names(params: type[BaseModel], role: Role) -> list[str]:
    """The parameters with this role, in their order.

    >>> class Head(Params):
    ...     epochs: Epochs = 10
    ...     rate: float = 0.1
    >>> names(Head, Role.EPOCHS)
    ['epochs']
    """
    return [name for name, field in params.model_fields.items() if role in field.metadata]


def values(params: BaseModel, role: Role) -> dict[str, Any]:
    """Name -> value of the parameters with this role."""
    return {name: getattr(params, name) for name in names(type(params), role)}


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
