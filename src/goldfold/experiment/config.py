"""A config file and overrides become typed parameters: flat keys, strict types, near misses named."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from goldfold.competition import Recipe
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.fits import Protocol
from goldfold.training.settings import Loop

# YAML 1.2's floats with an exponent, for `add_implicit_resolver` of a loader or dumper: tag, pattern, first characters
FLOAT = ("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))


@dataclass(frozen=True)
class Config:
    """recipe: its name in the competition; params: the recipe's own model. All keys are flat in the file.

    search: the file's search space for tuning, as written.
    """

    name: str
    recipe: str
    params: BaseModel
    loop: Loop
    protocol: Protocol
    search: Mapping[str, Any]

    def resolved(self) -> dict[str, Any]:
        """Every key with its value, defaults included, as the run records it."""
        parts = (self.protocol, self.loop, self.params)
        flat = {key: value for part in parts for key, value in part.model_dump(mode="json").items()}
        return {"config": self.name, "recipe": self.recipe, **flat}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: `5e-5` is a number, which YAML 1.1 (PyYAML's own rule) reads as a string. No key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        repeated = next((key for key in keys if keys.count(key) > 1), None)
        if repeated is not None:
            raise yaml.YAMLError(f"it has the key '{repeated}' twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(*FLOAT)


def read(path: Path, overrides: Sequence[str], recipes: Mapping[str, Recipe]) -> Config:
    """The config at `path` with `key=value` overrides.

    Raises:
        GoldfoldError: no such file, no such key or recipe (the near miss is named), a value of the wrong type.
    """
    if not path.exists():
        raise unknown(f"config in {path.parent}", path.stem, [file.stem for file in path.parent.glob("*.yaml")])
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise GoldfoldError(f"{path} cannot be read as utf-8 text ({error}): save it as utf-8") from error
    values = _parsed(text, str(path))
    if not isinstance(values, dict):
        raise GoldfoldError(
            f"{path} must hold `key: value` lines and holds {type(values).__name__}: see another config"
        )
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise GoldfoldError(f"an override is key=value and this one is '{override}': write it with an equals sign")
        values[key.strip()] = _parsed(text, f"override {override}")
    return resolve(path.stem, values, recipes)


def resolve(name: str, values: Mapping[str, Any], recipes: Mapping[str, Recipe]) -> Config:
    """Typed parameters from flat `values`."""
    values = dict(values)
    search = values.pop("search", {})
    recipe = values.pop("recipe", None)
    if recipe is None:
        raise GoldfoldError(f"config '{name}' names no recipe: add a line `recipe: {next(iter(recipes))}`")
    if not isinstance(recipe, str) or recipe not in recipes:
        raise unknown("recipe", str(recipe), recipes)
    models = {"protocol": Protocol, "loop": Loop, "params": recipes[recipe].params}
    owners: dict[str, str] = dict.fromkeys(("config", "recipe", "search"), "file")
    for part, model in models.items():
        for key in model.model_fields:
            if key in owners:
                raise GoldfoldError(
                    f"recipe '{recipe}' has a parameter '{key}', which is a key of the engine: rename it"
                )
            owners[key] = part
    for key in values:
        if owners.get(key, "file") == "file":
            raise unknown(f"key for recipe {recipe}", str(key), owners.keys() - {"config"})
    parts = {
        part: _validated(model, {key: value for key, value in values.items() if owners[key] == part}, name)
        for part, model in models.items()
    }
    return Config(name=name, recipe=recipe, search=search, **parts)


def _parsed(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        problem = str(error).replace("\n", " ")
        raise GoldfoldError(f"{where} is not YAML ({problem}): mend that line") from error


def _validated(model: type[BaseModel], values: dict[str, Any], name: str) -> BaseModel:
    """Validate by JSON's rules, where a list may become a tuple but a string never a number."""
    try:
        return model.model_validate_json(json.dumps(values, ensure_ascii=False, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        given = f"{key}: {first['input']!r}" if key else "the keys together"
        raise GoldfoldError(f"config '{name}' has {given}, and {_lower(first['msg'])}: change it") from error


def _lower(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
