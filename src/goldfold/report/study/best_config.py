"""The best parameters of a study as a config file to commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from goldfold.experiment.config import FLOAT
from goldfold.io.formatting import count
from goldfold.io.formatting import number as score
from goldfold.report.study.numbers import Facts, same


class _Dumper(yaml.SafeDumper):
    """Quote text that a config's reader takes for a number: it reads `1e-5` as one, YAML does not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True  # a list that two keys share is written twice


_Dumper.add_implicit_resolver(*FLOAT)


def best_config(facts: Facts, name: str, values: Mapping[str, Any], defaults: Mapping[str, Any], cost: str) -> str:
    """The text of `configs/<competition>/<name>.yaml`: command, cost, score, recipe, and values other than defaults.

    name: of the file, such as `baseline-best`. values: `Config.resolved()` with the best trial's parameters. defaults:
    the same of the recipe alone. cost: of the command, such as `67 s on 2 CPU cores`.
    """
    told = {
        "command": f"make train COMP={facts.competition} CONFIG={name}",
        "cost": cost,
        "score": _scored(facts),
    }
    comments = [f"# {key}: {' '.join(text.split())}" for key, text in told.items()]
    kept = {
        key: value
        for key, value in values.items()
        if key not in ("config", "recipe") and (key not in defaults or not same(value, defaults[key]))
    }
    lines = [_line(key, value) for key, value in {"recipe": values["recipe"], **kept}.items()]
    return "\n".join([*comments, *lines]) + "\n"


def _line(key: str, value: Any) -> str:
    """One key of the file on one line; nested values are in braces."""
    look: dict[str, Any] = {"allow_unicode": True, "sort_keys": False, "width": float("inf")}
    if isinstance(value, (list, tuple, dict)):
        return f"{key}: {yaml.dump(value, Dumper=_Dumper, default_flow_style=True, **look).rstrip()}"
    return yaml.dump({key: value}, Dumper=_Dumper, default_flow_style=False, **look).rstrip("\n")


def _scored(facts: Facts) -> str:
    """The score on newly drawn folds if there is one, and from how many trials the best was selected."""
    folds, trials = len(facts.order), len(facts.trials)
    if facts.reestimate:
        found = facts.reestimate
        draws = f"{len(found.winner)} draw{'s' if len(found.winner) > 1 else ''} of {found.folds} new folds"
        chosen = f"{score(found.study)} on the {folds} folds it was selected on as the best of {trials} trials"
        return f"{facts.metric} {score(found.score)}, mean over {draws} ({chosen})"
    winner = facts.winner
    if winner is None:
        return f"none, no trial of study {facts.name} is complete"
    own = f"{facts.metric} {score(winner.mean)}, mean of {count(folds, 'fold')}"
    return own if winner.number == 0 else f"{own}; optimistic: selected on them as the best of {trials} trials"
