"""Read a config file with overrides as typed parameters: flat keys, strict types, suggestions for typos."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from goldfold import params
from goldfold.competition import Recipe
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.fits import Protocol
from goldfold.io import yaml_text
from goldfold.params import Role
from goldfold.training.settings import LoopOptions

# floats with an exponent as in YAML 1.2, arguments of `add_implicit_resolver`: tag, pattern, first characters
FLOAT = ("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))
AUTO = "auto"  # value of a batch size that is probed before training
REFERENCE = "reference"  # name of the config among its variants
BLOCKS = ("search", "ablation", "capacity", "decide", "tracker")  # keys of a file that are no parameters
LONGEST_NAME = 200  # bytes of a config's name; file systems allow 255, and files of its runs add endings
LISTS = ("tuple_type", "list_type")  # pydantic's types of error


@dataclass(frozen=True)
class Config:
    """A resolved config; all keys are flat in the file.

    name: of the file. recipe: its name in the competition. params: the recipe's parameters. loop, protocol: keys of
        every config. search: the search space for tuning, as written. ablation: name of a variant -> the keys in which
        it differs from the config, as written. automatic: batch sizes that are `auto`; until they are probed, `params`
        has the recipe's defaults. capacity: how, as written. decide: what is fitted out of fold after the predictions,
        as written. tracker: where the run is sent to, as written; it is no part of what the run is.
    """

    name: str
    recipe: str
    params: BaseModel
    loop: LoopOptions
    protocol: Protocol
    search: Mapping[str, Any]
    ablation: Mapping[str, Any] = field(default_factory=dict)
    automatic: tuple[str, ...] = ()
    capacity: Mapping[str, Any] = field(default_factory=dict)
    decide: Mapping[str, Any] = field(default_factory=dict)
    tracker: Any = None

    def resolved(self) -> dict[str, Any]:
        """Return every key with its value, defaults included, as the run records it; without unused parameters."""
        parts = (self.protocol, self.loop, self.params)
        unused = set(params.unused(type(self.params)))
        flat = {key: value for part in parts for key, value in part.model_dump(mode="json", exclude=unused).items()}
        decide = {"decide": self.decide} if self.decide else {}
        return {"config": self.name, "recipe": self.recipe, **flat, **decide}

    def effective(self) -> Config:
        """The same config, with the default for each parameter that has no effect."""
        return replace(self, params=params.effective(self.params))


class _Loader(yaml.SafeLoader):
    """A YAML loader that reads `5e-5` as a number, as YAML 1.2 does, and refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        repeated = next((key for key in keys if keys.count(key) > 1), None)
        if repeated is not None:
            raise yaml.YAMLError(f"it has the key '{repeated}' twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(*FLOAT)


def read_config(path: Path, overrides: Sequence[str], recipes: Mapping[str, Recipe]) -> Config:
    """Read the config at `path` and apply `key=value` overrides.

    Raises:
        GoldfoldError: the file, a key or the recipe does not exist (similar names are suggested), a value has the
            wrong type, or a parameter has no effect with the others.
    """
    values = _values(path, overrides)
    config = resolve_config(path.stem, values, recipes)
    _check_effects(config, values)
    return config


def read_variants(path: Path, overrides: Sequence[str], recipes: Mapping[str, Recipe]) -> dict[str, Config]:
    """Read the config at `path` and the variants of its `ablation:` block; `REFERENCE` is the config itself.

    Overrides hold for all of them, below a variant's own keys. Each keeps the config's name; parameters that a variant
    leaves without effect have their defaults.

    Raises:
        GoldfoldError: as `read_config`; there is no such block (`no_ablation`); a variant is no mapping or changes
            nothing (`variant_changes_nothing`), or names an unknown key.
    """
    values = _values(path, overrides)
    reference = read_config(path, overrides, recipes)
    if not isinstance(reference.ablation, Mapping) or not reference.ablation:
        raise GoldfoldError(
            "no_ablation",
            f"config '{reference.name}' has no block `ablation:` of named variants: add one, such as "
            "`ablation: {small: {learning_rate: 0.0001}}`",
        )
    found = {REFERENCE: reference.effective()}
    for name, changed in reference.ablation.items():
        if not isinstance(changed, dict) or not changed or name == REFERENCE:
            raise GoldfoldError(
                "variant_changes_nothing",
                f"variant '{name}' of config '{reference.name}' must list the keys that it changes, and it has "
                f"{changed!r}: write {name}: {{key: value}}",
            )
        try:
            variant = resolve_config(reference.name, {**values, **changed}, recipes)
            _check_effects(variant, changed)
        except GoldfoldError as error:
            raise GoldfoldError(error.code, f"variant '{name}': {error}") from error
        found[str(name)] = variant.effective()
        if found[str(name)].resolved() == found[REFERENCE].resolved():
            raise GoldfoldError(
                "variant_changes_nothing",
                f"variant '{name}' of config '{reference.name}' has the values of the config: change another value",
            )
    return found


def _values(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The keys of a config file with overrides applied, not yet checked."""
    if not path.exists():
        raise unknown(
            f"config in {path.parent}",
            path.stem,
            [file.stem for file in path.parent.glob("*.yaml")],
            code="unknown_config",
        )
    if len(path.stem.encode()) > LONGEST_NAME:
        raise GoldfoldError(
            "config_name_too_long",
            f"a config's name is part of file names and may have {LONGEST_NAME} bytes, and '{path.stem[:20]}...' has "
            f"{len(path.stem.encode())}: rename the file",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise GoldfoldError(
            "config_not_text", f"{path} cannot be read as UTF-8 text ({error}): save it as UTF-8"
        ) from error
    values = parsed(text, str(path))
    if not isinstance(values, dict):
        raise GoldfoldError(
            "config_not_a_mapping",
            f"{path} must hold `key: value` lines, and it holds {type(values).__name__}: see another config for an "
            "example",
        )
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise GoldfoldError(
                "override_without_value",
                f"an override has the form key=value, and '{override}' has no equals sign: write {override}=<value>",
            )
        values[key.strip()] = parsed(text, f"override {override}")
    return values


def _check_effects(config: Config, given: Mapping[str, Any]) -> None:
    """Refuse a given value that has no effect, unless a search space has the parameter or one that it depends on."""
    model, searched = type(config.params), set(config.search or ())
    for key, fault in params.without_effect(config.params).items():
        if key in given and (key in params.unused(model) or not {key, *params.modes_of(model, key)} & searched):
            raise GoldfoldError("parameter_without_effect", f"config '{config.name}' has {fault}")


def resolve_config(name: str, values: Mapping[str, Any], recipes: Mapping[str, Recipe]) -> Config:
    """Resolve flat `values` to a config called `name`.

    Raises:
        GoldfoldError: as `read_config`.
    """
    values = dict(values)
    blocks = {name: values.pop(name, {}) for name in BLOCKS}
    recipe = values.pop("recipe", None)
    if recipe is None:
        raise GoldfoldError(
            "config_without_recipe", f"config '{name}' names no recipe: add a line `recipe: {next(iter(recipes))}`"
        )
    if not isinstance(recipe, str) or recipe not in recipes:
        raise unknown("recipe", str(recipe), recipes, code="unknown_recipe")
    models: dict[str, type[BaseModel]] = {"protocol": Protocol, "loop": LoopOptions, "params": recipes[recipe].params}
    owners: dict[str, str] = dict.fromkeys(("config", "recipe", *BLOCKS), "file")
    for part, model in models.items():
        for key in model.model_fields:
            if key in owners:
                raise GoldfoldError(
                    "parameter_name_reserved",
                    f"recipe '{recipe}' has a parameter '{key}', which is a key of every config: rename the parameter",
                )
            owners[key] = part
    for key in values:
        if owners.get(key, "file") == "file":
            raise _unknown_key(str(key), recipe, owners.keys() - {"config"}, recipes)
    sizes = params.names(models["params"], Role.BATCH_SIZE)
    automatic = tuple(key for key in sizes if values.get(key) == AUTO)
    values = {key: value for key, value in values.items() if key not in automatic}
    parts = {
        part: validated(model, {key: value for key, value in values.items() if owners[key] == part}, name)
        for part, model in models.items()
    }
    return Config(name=name, recipe=recipe, automatic=automatic, **blocks, **parts)


def _unknown_key(key: str, recipe: str, known: Collection[str], recipes: Mapping[str, Recipe]) -> GoldfoldError:
    error = unknown(f"key for recipe {recipe}", key, known, code="unknown_key")
    others = [name for name, own in recipes.items() if key in own.params.model_fields]
    if not others:
        return error
    return GoldfoldError(error.code, f"{error}. Recipe {' and '.join(others)} has a key '{key}': set recipe to use it")


def parsed(text: str, where: str) -> Any:
    """The value of a YAML text; GoldfoldError `invalid_yaml` names `where`."""
    try:
        return yaml_text.load(text, _Loader)
    except yaml.YAMLError as error:
        problem = str(error).replace("\n", " ")
        raise GoldfoldError("invalid_yaml", f"{where} is not valid YAML ({problem}): fix that line") from error


def validated(model: type[BaseModel], values: dict[str, Any], name: str) -> Any:
    """Validate by JSON's rules: a list may become a tuple, but a string never becomes a number."""
    try:
        return model.model_validate_json(json.dumps(values, ensure_ascii=False, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        given = f"{key}: {first['input']!r}" if key else "the keys together"
        field = model.model_fields.get(str(first["loc"][0])) if first["loc"] else None
        meaning = f" ({field.description})" if field and field.description else ""
        needed = _list_such_as(first["input"], field) if first["type"] in LISTS else _lower(first["msg"])
        raise GoldfoldError(
            "invalid_value", f"config '{name}' has {given}, and {needed}{meaning}: change it"
        ) from error


def _list_such_as(given: Any, field: FieldInfo | None) -> str:
    """What to write instead of a value that is no list: a text alone may be its one entry."""
    example = [0, 1]
    if isinstance(given, str) and field is not None and field.annotation is not None:
        with suppress(ValidationError):
            example = list(TypeAdapter(field.annotation).validate_json(json.dumps([given]), strict=True))
    return f"it must be a list such as {example}"


def _lower(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
