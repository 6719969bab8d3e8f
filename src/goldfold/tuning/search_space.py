"""The search space of a config: which parameters tuning may change, checked against their types before the first trial.

search:
  learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}      # a range; whole numbers where the parameter is one
  epochs: {low: 4, high: 12, step: 2}
  estimator: [linear, forest, boosting]                      # a choice
  boosting_rate: {low: 0.01, high: 0.3, log: true, when: {estimator: boosting}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, get_args

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.fits import Protocol

if TYPE_CHECKING:
    from optuna import Trial

RANGE = ("low", "high", "log", "step", "when")
CHOICE = ("choices", "when")
Check = Callable[[Mapping[str, Any]], Any]  # takes config values; raises GoldfoldError unless they are parameters


@dataclass(frozen=True)
class Entry:
    """One searched parameter. choices: of a categorical one, in the order of the distribution's; else empty.

    when: parameter -> the values of it with which this one is searched.
    """

    key: str
    distribution: BaseDistribution
    choices: tuple[Any, ...]
    when: Mapping[str, tuple[Any, ...]]

    def active(self, values: Mapping[str, Any]) -> bool:
        return all(values.get(key) in wanted for key, wanted in self.when.items())

    def drawn(self, trial: Trial) -> Any:
        """The value the trial's sampler draws, or that it has already."""
        kind = self.distribution
        if isinstance(kind, CategoricalDistribution):
            return self.value(trial.suggest_categorical(self.key, kind.choices))
        suggest = trial.suggest_int if isinstance(kind, IntDistribution) else trial.suggest_float
        return suggest(self.key, kind.low, kind.high, step=kind.step, log=kind.log)

    def value(self, stored: Any) -> Any:
        """What a storage holds, as the parameter's value."""
        return self.choices[self.distribution.choices.index(stored)] if self.choices else stored

    def stored(self, value: Any) -> Any:
        """A parameter's value as a storage holds it.

        Raises:
            GoldfoldError: it is not in the space.
        """
        if self.choices and value in self.choices:
            return self.distribution.choices[self.choices.index(value)]
        if self.choices or not _inside(self.distribution, value):
            raise GoldfoldError(
                f"trial 0 is the config itself, and its {self.key}: {value!r} is not in the search of it: add that "
                "value to the search, or change the config's own"
            )
        return value


@dataclass(frozen=True)
class Space:
    """What may be changed; entries stand after those they depend on. written: the block as it stands in the config."""

    entries: tuple[Entry, ...]
    written: Mapping[str, Any]

    def drawn(self, trial: Trial, base: Mapping[str, Any]) -> dict[str, Any]:
        """The searched parameters of a trial; base: the config's own values of all parameters."""
        values: dict[str, Any] = {}
        for entry in self.entries:
            if entry.active({**base, **values}):
                values[entry.key] = entry.drawn(trial)
        return values

    def own(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """The config's own values as the storage holds them; raises GoldfoldError where the space leaves one out."""
        return {entry.key: entry.stored(base[entry.key]) for entry in self.entries if entry.active(base)}


def parse_space(
    written: Mapping[str, Any], base: Mapping[str, Any], annotations: Mapping[str, Any], check: Check
) -> Space:
    """The space a config's `search:` block asks for.

    base: the config's own values. annotations: of every parameter that may be searched. check: `resolve` of the config
    with other values.

    Raises:
        GoldfoldError: a key that is no parameter (the near miss is named), an empty or upside-down range, a logarithm
            of 0, a value its parameter does not take, a condition that never holds, a config outside its own space.
    """
    if not isinstance(written, Mapping) or not written:
        raise GoldfoldError(
            "the config has no search space: add a block such as `search: {learning_rate: {low: 1.0e-4, high: 1.0e-2, "
            "log: true}}`"
        )
    entries = {key: _entry(key, value, annotations) for key, value in written.items()}
    for entry in entries.values():
        _check_conditions(entry, entries, base)
    ordered = tuple(entries[key] for key in _order(entries))
    for entry in ordered:
        _check_values(entry, entries, base, check)
    found = Space(ordered, dict(written))
    found.own(base)
    return found


def _entry(key: str, value: Any, annotations: Mapping[str, Any]) -> Entry:
    if key in Protocol.model_fields:
        raise GoldfoldError(
            f"search must not change '{key}', since trials are compared on equal folds and seeds: take it out"
        )
    if key not in annotations:
        raise unknown("parameter to search", str(key), annotations)
    value = {"choices": value} if isinstance(value, list) else value
    if not isinstance(value, Mapping) or not ({"low", "high"} <= value.keys() or "choices" in value):
        raise GoldfoldError(
            f"search of {key} must be a list of values or {{low: ..., high: ...}}, it is {value!r}: write one of them"
        )
    allowed = CHOICE if "choices" in value else RANGE
    for name in value:
        if name not in allowed:
            raise unknown(f"word in the search of {key}", str(name), allowed)
    when = {name: _several(wanted) for name, wanted in _mapping(key, value.get("when", {})).items()}
    if "choices" in value:
        choices = _choices(key, value["choices"])
        return Entry(key, CategoricalDistribution([_scalar(choice) for choice in choices]), choices, when)
    return Entry(key, _range(key, value, _number_types(annotations[key])), (), when)


def _mapping(key: str, when: Any) -> Mapping[str, Any]:
    if not isinstance(when, Mapping):
        raise GoldfoldError(f"`when` of {key} must be {{parameter: value}}, it is {when!r}: write it so")
    return when


def _several(wanted: Any) -> tuple[Any, ...]:
    return tuple(wanted) if isinstance(wanted, list) else (wanted,)


def _choices(key: str, choices: Any) -> tuple[Any, ...]:
    if not isinstance(choices, list) or len(choices) < 2 or any(choices.count(choice) > 1 for choice in choices):
        raise GoldfoldError(f"search of {key} needs two or more different values, it has {choices!r}: add some")
    return tuple(choices)


def _scalar(choice: Any) -> Any:
    """What a storage can hold: lists go in as JSON."""
    return choice if choice is None or isinstance(choice, (bool, int, float, str)) else json.dumps(choice)


def _number_types(annotation: Any) -> set[type]:
    return {kind for kind in (annotation, *get_args(annotation)) if kind in (int, float)}


def _range(key: str, value: Mapping[str, Any], types: set[type]) -> BaseDistribution:
    if not types:
        raise GoldfoldError(f"{key} is no number, so it cannot be searched from low to high: give a list of its values")
    low, high, log, step = (value.get(name) for name in ("low", "high", "log", "step"))
    numbers = [number for number in (low, high, step) if number is not None]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise GoldfoldError(f"the range of {key} must be made of numbers and has {number!r}: change it")
        if float not in types and not isinstance(number, int):
            raise GoldfoldError(f"{key} is a whole number and its range has {number!r}: write whole numbers")
    if low >= high:
        raise GoldfoldError(f"the range of {key} must have low below high, it goes from {low} to {high}: change it")
    if log not in (None, True, False):
        raise GoldfoldError(f"`log` of {key} must be true or false, it is {log!r}: change it")
    if log and low <= 0:
        raise GoldfoldError(
            f"{key} is searched by its logarithm and its low end is {low}: raise it above 0, or drop log"
        )
    if log and step is not None:
        raise GoldfoldError(f"{key} has both log and step, which exclude each other: drop one")
    if step is not None and not 0 < step <= high - low:
        raise GoldfoldError(f"the step of {key} must lie in (0, {high - low:g}], it is {step}: change it")
    return _distribution(low, high, bool(log), step, whole=float not in types)


def _distribution(low: float, high: float, log: bool, step: float | None, whole: bool) -> BaseDistribution:
    if step is not None:  # the last value a step reaches, which Optuna would else say in a warning
        high = low + math.floor((high - low) / step * (1 + 1e-12)) * step
    if whole:
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(float(low), float(high), log=log, step=step)


def _inside(kind: BaseDistribution, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not kind.low <= value <= kind.high:
        return False
    steps = (value - kind.low) / kind.step if kind.step and not kind.log else 0
    return abs(steps - round(steps)) < 1e-8


def _check_conditions(entry: Entry, entries: Mapping[str, Entry], base: Mapping[str, Any]) -> None:
    for key, wanted in entry.when.items():
        if key not in base:
            raise unknown(f"parameter that {entry.key} depends on", key, base)
        source = entries.get(key)
        possible = source.choices if source and source.choices else None if source else (base[key],)
        for value in wanted:
            if possible is not None and value not in possible:
                told = ", ".join(map(repr, possible))
                raise GoldfoldError(
                    f"{entry.key} is searched when {key} is {value!r}, which it never is (only {told}): change one of "
                    "them"
                )


def _order(entries: Mapping[str, Entry]) -> Sequence[str]:
    """Keys in the order written, but after those they depend on."""
    sorter = TopologicalSorter(
        {key: [name for name in entry.when if name in entries] for key, entry in entries.items()}
    )
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        raise GoldfoldError(
            f"searched parameters depend on each other in a circle, {error.args[1]}: break it"
        ) from error


def _check_values(entry: Entry, entries: Mapping[str, Entry], base: Mapping[str, Any], check: Check) -> None:
    """The parameter takes both ends or every choice, beside values with which it is searched."""
    beside = {key: wanted[0] for key, wanted in _conditions(entry, entries).items()}
    ends = entry.choices or (entry.distribution.low, entry.distribution.high)
    for value in ends:
        try:
            check({**base, **beside, entry.key: value})
        except GoldfoldError as error:
            raise GoldfoldError(f"search of {entry.key}: {error}") from error


def _conditions(entry: Entry, entries: Mapping[str, Entry]) -> dict[str, tuple[Any, ...]]:
    """All that must hold for an entry to be searched, its conditions' own conditions too."""
    found = dict(entry.when)
    for key in entry.when:
        if key in entries:
            found = _conditions(entries[key], entries) | found
    return found
