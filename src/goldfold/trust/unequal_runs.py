"""Findings on compared runs that differ in more than their parameters: budget, data, code, folds, seeds, selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldfold.experiment.identity.fingerprint import describe_code_changes
from goldfold.trust.audits import Finding, Level
from goldfold.trust.comparisons import BLEND, protocol_part

BUDGET_TOLERANCE = 0.05  # share by which training budgets may differ
BEST_OF_SCORED = "best epoch on the scored fold"
NO_SELECTION = "no selection (the last epoch, or nothing trained)"


def unequal_budget(
    budgets: Mapping[str, Mapping[str, float]], recipes: Mapping[str, str] | None = None
) -> list[Finding]:
    """Report trained runs whose epochs, steps or samples per fit differ by more than 5 % from those of the first.

    budgets: run -> `epochs`, `steps` and `samples` per fit; runs with 0 epochs are not trained. recipes: run -> recipe.
        It is an error between runs of one recipe, and a warning between different recipes, whose budgets have to differ
        where one trains a head and the other the whole network.
    """
    trained, recipe = {name: budget for name, budget in budgets.items() if budget["epochs"]}, recipes or {}
    findings = []
    for name, budget in list(trained.items())[1:]:
        first, own = next(iter(trained.items()))
        unlike = [key for key in own if abs(budget[key] - own[key]) > BUDGET_TOLERANCE * own[key]]
        if unlike:
            shares = ", ".join(f"{budget[key]:,.0f} {key} against {own[key]:,.0f}" for key in unlike)
            message = (
                f"{shares} of {first}: a difference between their scores may come from the training budget alone. "
                "Train both with the same budget"
            )
            level: Level = "error" if recipe.get(name) == recipe.get(first) else "warning"
            findings.append(Finding("unequal_budget", level, message, name))
    return findings


def unequal_inputs(recorded: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Report runs trained on other data than the first, or with another version of a module that both depend on.

    recorded: run -> its reproduce.json. Modules that only one of the runs imports belong to its recipe.
    """
    (first, then), *others = recorded.items()
    findings = []
    for name, now in others:
        if then.get("data_hash") != now.get("data_hash"):
            message = (
                f"it was trained on other data than {first}, so the difference is not one of parameters alone: train "
                "both on the same data"
            )
            findings.append(Finding("unequal_data", "warning", message, name))
        if told := shared_code_changes(then, now):
            message = (
                f"the code differs from that of {first} ({told}), so the difference is not one of parameters alone: "
                "train both with the same code"
            )
            findings.append(Finding("unequal_code", "warning", message, name))
    return findings


def shared_code_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name the modules that two runs both depend on, in different versions; empty if there is none.

    then, now: their reproduce.json.
    """
    one, other = then.get("code", {}), now.get("code", {})
    both = {module for module in one.keys() & other.keys() if one[module] != other[module]}
    return describe_code_changes({key: one[key] for key in both}, {key: other[key] for key in both}) if both else ""


def unequal_protocols(protocols: Mapping[str, str], folds: Mapping[str, Mapping[str, float]]) -> list[Finding]:
    """Report runs that scored other folds, with another number of seeds or with another way to select the epoch.

    protocols: run -> protocol of the compared metric. folds: run -> fold -> score.
    """
    first, *others = protocols
    return [
        finding
        for name in others
        for finding in (
            *_unequal_folds(name, folds[name], first, folds[first]),
            *_unequal_seeds(name, protocols[name], first, protocols[first]),
            *_unequal_selection(name, protocols[name], first, protocols[first]),
        )
    ]


def _unequal_folds(name: str, own: Mapping[str, float], first: str, reference: Mapping[str, float]) -> list[Finding]:
    if own.keys() == reference.keys():
        return []
    message = (
        f"it scored folds {', '.join(own)} and {first} folds {', '.join(reference)}: only folds that all runs scored "
        "are compared. Train both on all folds for the full comparison"
    )
    return [Finding("unequal_folds", "warning", message, name)]


def _unequal_seeds(name: str, protocol: str, first: str, reference: str) -> list[Finding]:
    own, other = protocol_part(protocol, "seeds"), protocol_part(reference, "seeds")
    if own == other or BLEND in protocol + reference:
        return []
    message = (
        f"{own} against {other} of {first}: the score of a fold is the mean over its seeds, so fewer seeds make it "
        "noisier, not worse. Train both with the same seeds to compare them exactly"
    )
    return [Finding("unequal_seeds", "note", message, name)]


def _unequal_selection(name: str, protocol: str, first: str, reference: str) -> list[Finding]:
    """An error if an epoch was selected by the score that is compared, a warning if by hand, else a note."""
    own, other = protocol_part(protocol, "selection"), protocol_part(reference, "selection")
    if own == other:
        return []
    level: Level = "note"
    why = "the epochs were selected in different ways"
    if "by hand" in own + other:
        level, why = "warning", "an epoch that was picked after a look at the scores has an optimistic score"
    if BEST_OF_SCORED in (own, other):
        level, why = "error", "an epoch that was selected by its score on the scored fold has an optimistic score"
    message = (
        f"{own or NO_SELECTION} against {other or NO_SELECTION} of {first}: {why}. Train both with the same `select`"
    )
    return [Finding("unequal_selection", level, message, name)]
