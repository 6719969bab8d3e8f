"""What changed between two runs: config keys, data, code, packages and machine, as their folders record it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldfold.io.formatting import plain
from goldfold.trust.experiment_log.runs import LoggedRun
from goldfold.trust.unequal_runs import shared_code_changes
from goldfold.trust.untrained_baselines import LEFT_AS_WRITTEN

MACHINE = ("cpu", "gpus")  # of the recorded hardware


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What differs between an earlier run and a run.

    keys: config key -> its two values. data: whether the data differs. code: the modules that differ, in words.
    environment: packages, Python and machine that differ, in words.
    """

    keys: Mapping[str, tuple[Any, Any]]
    data: bool
    code: str
    environment: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What may explain a difference: each key, other data, other code; the environment is not counted."""
        return (*self.keys, *(["other data"] if self.data else []), *(["other code"] if self.code else []))

    @property
    def key_text(self) -> str:
        """The keys with their values, such as `dropout 0.2 -> 0.0`."""
        return ", ".join(f"{key} {plain(old)} -> {plain(new)}" for key, (old, new) in self.keys.items())

    @property
    def text(self) -> str:
        """All of it in one line."""
        parts = [self.key_text, "other data" if self.data else "", f"other code ({self.code})" if self.code else ""]
        parts += [f"other packages or machine ({', '.join(self.environment)})"] if self.environment else []
        return "; ".join(filter(None, parts)) or "nothing"


def changes(old: LoggedRun, new: LoggedRun) -> Changes:
    """What differs between two runs; a key that one of them does not have counts with the default of the other."""
    then, now = old.reproduce, new.reproduce
    return Changes(
        keys=changed_keys(old, new),
        data=then.get("data_hash") != now.get("data_hash"),
        code=shared_code_changes(then, now),
        environment=tuple(_environment(then, now)),
    )


def changed_keys(old: LoggedRun, new: LoggedRun) -> dict[str, tuple[Any, Any]]:
    """Config key -> its two values; without keys that change no prediction."""
    keys = dict.fromkeys(key for key in (*old.config, *new.config) if key not in LEFT_AS_WRITTEN)
    pairs = {
        key: (old.config.get(key, new.defaults.get(key)), new.config.get(key, old.defaults.get(key))) for key in keys
    }
    return {key: (one, other) for key, (one, other) in pairs.items() if one != other}


def _environment(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    packages = [each.get("packages", {}) for each in (then, now)]
    hardware = [each.get("hardware", {}) for each in (then, now)]
    pairs = {name: (packages[0][name], packages[1][name]) for name in packages[0].keys() & packages[1].keys()}
    pairs["python"] = (then.get("python"), now.get("python"))
    pairs |= {part: (_hardware(hardware[0].get(part)), _hardware(hardware[1].get(part))) for part in MACHINE}
    return [f"{name} {old} -> {new}" for name, (old, new) in sorted(pairs.items()) if old != new]


def _hardware(value: Any) -> str:
    """A processor, or the names of graphics cards."""
    cards = [str(card.get("name")) for card in value] if isinstance(value, list) else [str(value)]
    return ", ".join(cards) or "none"
