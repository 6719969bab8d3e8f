"""Parameters of a recipe or of the engine: flat, typed and frozen, with strict names and types."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound=BaseModel)
Mark = TypeVar("Mark")


class Params(BaseModel):
    """Base class of all parameters: they are frozen, and unknown names, infinities and NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Not:
    """Any value but this one, as a condition of `Needs`."""

    value: Any


class Needs:
    """Annotation of a parameter that has an effect only with certain values of another one.

    conditions: name of another parameter -> the value it must have, a tuple of such values, or `Not(value)`. One of
        them is enough; of several annotations all must hold. The other parameter must have an effect itself.

    >>> class Head(Params):
    ...     schedule: Literal["cosine", "constant"] = "constant"
    ...     warmup: Annotated[float, Needs(schedule="cosine")] = 0.1
    >>> without_effect(Head(warmup=0.2))
    {'warmup': 'warmup=0.2, which has no effect with schedule=constant: set schedule=cosine or leave warmup at 0.1'}
    """

    def __init__(self, **conditions: Any) -> None:
        self.conditions = conditions

    def lacking(self, params: BaseModel) -> dict[str, Any]:
        """The conditions to choose from, if none holds: name of the other parameter -> the values it may have."""
        found: dict[str, Any] = {}
        for name, wanted in self.conditions.items():
            lacks = _lacking(params, name) or ({} if _meets(getattr(params, name), wanted) else {name: wanted})
            if not lacks:
                return {}
            found |= lacks
        return found


@dataclass(frozen=True)
class Unused:
    """Annotation of a parameter that has no effect in one competition; reason: in one clause."""

    reason: str


class Role(Enum):
    """What a recipe's parameter means to the engine and to competition rules, whatever its name.

    It is an annotation of the parameter's type: `views: Annotated[Views, Role.VIEWS] = "none"`. Only the recipe reads
    parameters without a role.
    """

    EPOCHS = "number of epochs of a stage; 0, if allowed, leaves the stage out"
    BATCH_SIZE = "samples per batch of a stage, which the capacity probe may change"
    WHOLE_BATCH = "batch size that no accumulation replaces: the loss compares its samples, or the rate follows it"
    LEARNING_RATE = "learning rate that follows the number of samples per optimizer step, where a rule is asked for"
    BACKBONE = "timm's name of the backbone"
    PRETRAINED = "whether the backbone starts from pretrained weights"
    WEIGHTS = "file of weights for the backbone; its content enters the run's identity; empty for others"
    TOWERS = "folder of pretrained towers of image and text; empty for others"
    TEXT_ENCODER = "text encoder: a package's, a folder whose content enters the run's identity, hf-hub:..., or none"
    VIEWS = "set of test-time views that predictions are averaged over, one of a Literal"
    MIRRORS = "whether images are mirrored: True, or a named augmentation, some of which mirror"
    MODELS = "one model for all classes, or one per class"
    LIBRARIES = "one memory bank, or one per class"
    COLUMN = "name of a column of the train table, or None; it is checked before anything is computed"
    LABEL = "name of the column of identities to train on, or None for the recipe's own"
    TEXT = "name of the column of both tables with the text of a row; rows without text are reported"


Epochs = Annotated[int, Role.EPOCHS]
BatchSize = Annotated[int, Role.BATCH_SIZE]
WholeBatch = Annotated[int, Role.BATCH_SIZE, Role.WHOLE_BATCH]
LearningRate = Annotated[float, Role.LEARNING_RATE]
BackboneName = Annotated[str, Role.BACKBONE]
Pretrained = Annotated[bool, Role.PRETRAINED]
WeightsFile = Annotated[
    str,
    Role.WEIGHTS,
    BeforeValidator(lambda file: "" if file is None else file),  # SET="weights="
    Field(
        description="file of weights to start from (.safetensors, .pth or .pt), instead of pretrained ones; empty: none"
    ),
]
Models = Annotated[Literal["one", "per_class"], Role.MODELS]
Towers = Annotated[str, Role.TOWERS, BeforeValidator(lambda folder: "" if folder is None else folder)]  # SET="towers="
Column = Annotated[str, Role.COLUMN]
Libraries = Annotated[Literal["one", "per_class"], Role.LIBRARIES]
LabelColumn = Annotated[str | None, Role.COLUMN, Role.LABEL]
TextColumn = Annotated[str, Role.COLUMN, Role.TEXT]
SecondTextColumn = Annotated[str | None, Role.COLUMN, Role.TEXT]
TextEncoder = Annotated[str, Role.TEXT_ENCODER]


def names(params: type[BaseModel], role: Role) -> list[str]:
    """Names of the parameters with this role, in the order of the fields; without `Unused` ones.

    >>> class Head(Params):
    ...     epochs: Epochs = 10
    ...     rate: float = 0.1
    >>> names(Head, Role.EPOCHS)
    ['epochs']
    """
    idle = unused(params)
    return [name for name, field in params.model_fields.items() if role in field.metadata and name not in idle]


def values(params: BaseModel, role: Role) -> dict[str, Any]:
    """Names and values of the parameters with this role that have an effect with the others."""
    return {name: getattr(params, name) for name in names(type(params), role) if not _lacking(params, name)}


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
    fields = {name: copy(params.model_fields[name]) for name in defaults}  # keeps the description and the bounds
    for name, value in defaults.items():
        fields[name].default = value
    return _with_fields(params, fields)


def mark_unused(params: type[Model], reason: str, *unused: str) -> type[Model]:
    """A subclass of `params` in which the parameters `unused` have no effect; reason: in one clause.

    >>> class Head(Params):
    ...     backbone: str = "resnet18"
    >>> without_effect(mark_unused(Head, "the network is the competition's own", "backbone")(backbone="vit"))
    {'backbone': "backbone=vit, which has no effect, since the network is the competition's own: leave it out"}
    """
    fields = {name: copy(params.model_fields[name]) for name in unused}
    for field in fields.values():
        field.metadata = [*field.metadata, Unused(reason)]
    return _with_fields(params, fields)


def _with_fields(params: type[Model], fields: dict[str, FieldInfo]) -> type[Model]:
    changed: dict[str, Any] = {name: (field.annotation, field) for name, field in fields.items()}
    return create_model(params.__name__, __base__=params, **changed)


def unused(params: type[BaseModel]) -> dict[str, str]:
    """Name -> reason of the parameters that are `Unused`."""
    return {name: mark.reason for name in params.model_fields for mark in _marks(params, name, Unused)}


def without_effect(params: BaseModel) -> dict[str, str]:
    """Name -> value, reason and remedy of the parameters that are not at their default and have no effect."""
    idle, told = unused(type(params)), {}
    for name, field in type(params).model_fields.items():
        if field.is_required() or getattr(params, name) == field.default:
            continue
        told_of = f"{name}={_text(getattr(params, name))}, which has no effect"
        if name in idle:
            told[name] = f"{told_of}, since {idle[name]}: leave it out"
        elif lacks := _lacking(params, name):
            has = " and ".join(f"{key}={_text(getattr(params, key))}" for key in lacks)
            wants = " or ".join(_wish(key, wanted) for key, wanted in lacks.items())
            told[name] = f"{told_of} with {has}: set {wants} or leave {name} at {_text(field.default)}"
    return told


def effective(params: Model) -> Model:
    """The same parameters, with the default for each that has no effect."""
    fields = type(params).model_fields
    return params.model_copy(update={name: fields[name].default for name in without_effect(params)})


def modes_of(params: type[BaseModel], name: str) -> set[str]:
    """Names of the parameters that decide whether `name` has an effect."""
    others = {other for need in _marks(params, name, Needs) for other in need.conditions}
    return others.union(*(modes_of(params, other) for other in others))


def _marks(params: type[BaseModel], name: str, kind: type[Mark]) -> Iterator[Mark]:
    return (mark for mark in params.model_fields[name].metadata if isinstance(mark, kind))


def _lacking(params: BaseModel, name: str) -> dict[str, Any]:
    """The first unmet conditions of a parameter; empty if it has an effect."""
    lacks = (need.lacking(params) for need in _marks(type(params), name, Needs))
    return next(filter(None, lacks), {})


def _meets(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Not):
        return value != wanted.value
    return value in (wanted if isinstance(wanted, tuple) else (wanted,))


def _wish(name: str, wanted: Any) -> str:
    if isinstance(wanted, Not):
        return f"{name} to another value than {_text(wanted.value)}"
    return f"{name}={' or '.join(map(_text, wanted if isinstance(wanted, tuple) else (wanted,)))}"


def _text(value: Any) -> str:
    """A value as in a config file."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
