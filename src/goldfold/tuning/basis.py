"""What all trials of a study share: a study is not resumed with other settings, data, folds or code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from goldfold.errors import GoldfoldError, way_on
from goldfold.experiment.identity.fingerprint import Code, code_hash, describe_code_changes

CODE_CHANGES = "code_changes"  # an attribute of the study


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What all trials of a study share; a study cannot be resumed with another basis.

    search: the block as written. config: the config's own values. data, folds: hashes. order: numbers of the folds in
        the order that trials fit them. code: hashes of the modules that the fits depend on.
    """

    competition: str
    metric: str
    higher_is_better: bool
    search: Mapping[str, Any]
    config: Mapping[str, Any]
    data: str
    folds: str
    order: Sequence[int]
    code: Code


def check_basis(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a study's basis has not changed."""
    changes = [
        f"{kind} {key} was {_shown(then[part].get(key))} and is {_shown(now[part].get(key))}"
        for part, kind in (("search", "the search of"), ("config", "the config's"))
        for key in {**then[part], **now[part]}
        if then[part].get(key) != now[part].get(key)
    ]
    changes += [f"the {part} changed" for part in ("data", "folds", "metric", "order") if then[part] != now[part]]
    if changes:
        raise GoldfoldError(
            "study_changed",
            f"study '{name}' was started with other settings, so its trials cannot be compared with new ones: "
            f"{'; '.join(changes)}. Undo that, or start a new study with STUDY=<another name>",
        )


def check_code(study: optuna.Study, now: Mapping[str, Any], mixes: bool) -> None:
    """Check that a study's code has not changed; where that is accepted, remember the change and the new code."""
    then = study.user_attrs["basis"].get("code", {})
    if not then or code_hash(then) == code_hash(now["code"]):
        return
    told = describe_code_changes(then, now["code"])
    if not mixes:
        raise GoldfoldError(
            "code_changed",
            f"the code changed since study '{study.study_name}' was started ({told}), so its trials' scores may not be "
            "reached again: start a new study with STUDY=<another name>, or resume, which is recorded "
            f"({way_on('code_changed')})",
        )
    study.set_user_attr(CODE_CHANGES, [*study.user_attrs.get(CODE_CHANGES, ()), told])
    study.set_user_attr("basis", now)


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
