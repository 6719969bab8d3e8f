"""The search space of a config: which parameters tuning may change, checked against their types before the first trial.

search:
  learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}      # a range; whole numbers for integer parameters
  epochs: {low: 4, high: 12, step: 2}
  estimator: [linear, forest, boosting]                      # a choice
  boosting_rate: {low: 0.01, high: 0.3, log: true, when: {estimator: boosting}}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution, IntDistribution

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.fits import Protocol
from goldfold.tuning.search_ranges import NumberDistribution, is_inside, number_types, parse_range

if TYPE_CHECKING:
    from optuna import Trial

RANGE = ("low", "high", "log", "step", "when")
CHOICE = ("choices", "when")
Check = Callable[[Mapping[str, Any]], Any]  # takes config values; raises GoldfoldError unless they are valid


@dataclass(frozen=True)
class Entry:
    """One searched parameter.

    choices: of a categorical parameter, in the order of the distribution's; else empty. when: parameter -> the values
        of it with which this one is searched.
    """

    key: str
    distribution: CategoricalDistribution | NumberDistribution
    choices: tuple[Any, ...]
    when: Mapping[str, tuple[Any, ...]]

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether the parameter is searched, given the values of those it depends on."""
        return all(values.get(key) in wanted for key, wanted in self.when.items())

    def drawn(self, trial: Trial) -> Any:
        """The value that the trial's sampler draws, or drew before."""
        kind = self.distribution
        if isinstance(kind, CategoricalDistribution):
            return self.value(trial.suggest_categorical(self.key, kind.choices))
        if isinstance(kind, IntDistribution):
            return trial.suggest_int(self.key, kind.low, kind.high, step=kind.step, log=kind.log)
        return trial.suggest_float(self.key, kind.low, kind.high, step=kind.step, log=kind.log)

    def value(self, stored: Any) -> Any:
        """Convert a stored value to the parameter's value."""
        kind = self.distribution
        return self.choices[kind.choices.index(stored)] if isinstance(kind, CategoricalDistribution) else stored

    def stored(self, value: Any) -> Any:
        """Convert a parameter's value to what a storage can hold.

        Raises:
            GoldfoldError: the value is not in the space.
        """
        kind = self.distribution
        if isinstance(kind, CategoricalDistribution):
            inside = value in self.choices
            stored = kind.choices[self.choices.index(value)] if inside else None
        else:
            inside, stored = is_inside(kind, value), value
        if not inside:
            raise GoldfoldError(
                "config_outside_search",
                f"trial 0 is the config itself, and its {self.key}: {value!r} is not in the search space: add that "
                "value to the search, or change the config",
            )
        return stored


@dataclass(frozen=True)
class Space:
    """The searched parameters, each after those it depends on; written: the block as in the config."""

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
        """The config's own values of the searched parameters, as a storage holds them.

        Raises:
            GoldfoldError: the space leaves one of them out.
        """
        return {entry.key: entry.stored(base[entry.key]) for entry in self.entries if entry.active(base)}


def parse_space(
    written: Mapping[str, Any], base: Mapping[str, Any], annotations: Mapping[str, Any], check: Check
) -> Space:
    """Parse and check a config's `search:` block.

    base: the config's own values. annotations: type of every parameter that may be searched. check: resolves the config
        with other values.

    Raises:
        GoldfoldError: a key is no parameter (a similar one is suggested), a range is empty or reversed, a logarithm of
            0, a value that its parameter does not accept, a condition that never holds, or a config outside its own
            space.
    """
    if not isinstance(written, Mapping) or not written:
        raise GoldfoldError(
            "no_search_space",
            "the config has no search space: add a block such as `search: "
            "{learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}}`",
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
            "parameter_not_searchable",
            f"'{key}' cannot be searched, since trials are compared on equal folds and seeds: remove it from the "
            "search",
        )
    if key not in annotations:
        raise unknown("parameter to search", str(key), annotations, code="unknown_parameter")
    value = {"choices": value} if isinstance(value, list) else value
    if not isinstance(value, Mapping) or not ({"low", "high"} <= value.keys() or "choices" in value):
        raise GoldfoldError(
            "invalid_search_entry",
            f"the search of {key} must be a list of values or {{low: ..., high: ...}}, and it is {value!r}: write one "
            "of them",
        )
    allowed = CHOICE if "choices" in value else RANGE
    for name in value:
        if name not in allowed:
            raise unknown(f"key in the search of {key}", str(name), allowed, code="unknown_search_key")
    when = {name: _several(wanted) for name, wanted in _mapping(key, value.get("when", {})).items()}
    if "choices" in value:
        choices = _choices(key, value["choices"])
        return Entry(key, CategoricalDistribution([_scalar(choice) for choice in choices]), choices, when)
    return Entry(key, parse_range(key, value, number_types(annotations[key])), (), when)


def _mapping(key: str, when: Any) -> Mapping[str, Any]:
    if not isinstance(when, Mapping):
        raise GoldfoldError(
            "invalid_search_condition", f"`when` of {key} must be {{parameter: value}}, and it is {when!r}: write it so"
        )
    return when


def _several(wanted: Any) -> tuple[Any, ...]:
    return tuple(wanted) if isinstance(wanted, list) else (wanted,)


def _choices(key: str, choices: Any) -> tuple[Any, ...]:
    if not isinstance(choices, list) or len(choices) < 2 or any(choices.count(choice) > 1 for choice in choices):
        raise GoldfoldError(
            "too_few_choices",
            f"the search of {key} needs two or more different values, and it has {choices!r}: add some",
        )
    return tuple(choices)


def _scalar(choice: Any) -> Any:
    """A choice as a storage can hold it: lists are stored as JSON."""
    return choice if choice is None or isinstance(choice, (bool, int, float, str)) else json.dumps(choice)


def _check_conditions(entry: Entry, entries: Mapping[str, Entry], base: Mapping[str, Any]) -> None:
    """Check that an entry depends on parameters that can have the values of its condition."""
    for key, wanted in entry.when.items():
        if key not in base:
            raise unknown(f"parameter that {entry.key} depends on", key, base, code="unknown_parameter")
        source = entries.get(key)
        possible = source.choices if source and source.choices else None if source else (base[key],)
        for value in wanted:
            if possible is not None and value not in possible:
                shown = ", ".join(map(repr, possible))
                raise GoldfoldError(
                    "condition_never_holds",
                    f"{entry.key} is searched when {key} is {value!r}, and {key} is only {shown}: change one of them",
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
            "circular_conditions",
            f"the searched parameters {error.args[1]} depend on each other in a circle: remove one of the conditions",
        ) from error


def _check_values(entry: Entry, entries: Mapping[str, Entry], base: Mapping[str, Any], check: Check) -> None:
    """Check that the parameter accepts both ends or every choice, with values under which it is searched."""
    beside = {key: wanted[0] for key, wanted in _conditions(entry, entries).items()}
    kind = entry.distribution
    ends = entry.choices if isinstance(kind, CategoricalDistribution) else (kind.low, kind.high)
    for value in ends:
        try:
            check({**base, **beside, entry.key: value})
        except GoldfoldError as error:
            raise GoldfoldError(error.code, f"search of {entry.key}: {error}") from error


def _conditions(entry: Entry, entries: Mapping[str, Entry]) -> dict[str, tuple[Any, ...]]:
    """All conditions of an entry, those of the parameters it depends on included."""
    found = dict(entry.when)
    for key in entry.when:
        if key in entries:
            found = _conditions(entries[key], entries) | found
    return found
