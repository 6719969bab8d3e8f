"""Audits of training: untrained parameters, dead loss terms, constant features, no progress."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goldfold.trust.audits.columns import CONSTANT_FEATURE
from goldfold.trust.audits.findings import Finding, Level, first_three

TINY = 1e-5  # of the largest gradient norm beside it, below which a gradient moves nothing
BEYOND = 3  # standard deviations that a loss must lie below its value without learning
ENOUGH = 6  # epochs from which a loss that stands still is reported


def orphan_parameters(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Report trainable parameters that no stage's optimizer holds, or that no loss reaches.

    facts: stage -> `trainable`, `held` and, if any, `without_gradient`, each a list of names.
    """
    held = {name for stage in facts.values() for name in stage["held"]}
    orphans = sorted({name for stage in facts.values() for name in stage["trainable"]} - held)
    findings = []
    if orphans:
        message = (
            f"{first_three(orphans)} can be trained and are in no optimizer, so they keep their initial values: add "
            "them to an optimizer, or freeze them"
        )
        findings.append(Finding("orphan_parameter", "warning", message, where))
    return findings


def without_gradient(facts: Mapping[str, Any], history: Sequence[Mapping[str, Any]], where: str) -> list[Finding]:
    """Report parameters that an optimizer holds and that no loss reaches, or too weakly to move.

    facts: stage -> `without_gradient`, if any, a list of names. history: rows with `group_gradient_norm`; a group whose
        mean norm is below `TINY` of the largest one in every epoch is reported.
    """
    seen = [
        (stage, f"{first_three(noted['without_gradient'])} got no gradient")
        for stage, noted in facts.items()
        if noted.get("without_gradient")
    ]
    for (stage, group), (own, largest) in _weak(history, "group_gradient_norm").items():
        if own or not any(stage == each for each, _ in seen):  # a group of 0 may be named by its parameters already
            seen.append((stage, f"parameter group {group} got a gradient of norm {own:.2g} beside {largest:.2g}"))
    findings = []
    for stage, how in seen:
        message = (
            f"{how}, so they are not trained although the optimizer holds them: use them in a loss, or freeze them"
        )
        findings.append(Finding("no_gradient", "warning", message, f"{where}, stage {stage}"))
    return findings


def _weak(history: Sequence[Mapping[str, Any]], key: str) -> dict[tuple[str, str], tuple[float, float]]:
    """(stage, name) -> its largest norm and the largest beside it, if it is below `TINY` of the others in every epoch.

    key: of the rows of history, {name: norm or None}.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in history:
        norms = {name: norm or 0.0 for name, norm in row.get(key, {}).items()}
        for name, norm in norms.items():
            found.setdefault((row["stage"], name), []).append((norm, max(norms.values())))
    weak = {place: seen for place, seen in found.items() if all(own < TINY * largest for own, largest in seen)}
    return {place: (max(own for own, _ in seen), max(most for _, most in seen)) for place, seen in weak.items()}


def outside_model(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Report parameters that the losses depend on and that the plan's model does not contain.

    facts: stage -> `outside`, a list of {`shape`, `held` by the optimizer}.
    """
    findings = []
    for stage, noted in facts.items():
        for held in (False, True):
            shapes = [str(tuple(each["shape"])) for each in noted.get("outside", ()) if each["held"] == held]
            if not shapes:
                continue
            fate = "no checkpoint holds them" if held else "no optimizer steps them and no checkpoint holds them"
            message = (
                f"the losses depend on {len(shapes)} parameters outside the plan's model, of shape "
                f"{first_three(shapes)}, and {fate}: make what holds them a module of Plan.model, and give them to the "
                "stage's optimizer"
            )
            findings.append(Finding("parameter_outside_model", "warning", message, f"{where}, stage {stage}"))
    return findings


def never_stepped(facts: Mapping[str, Any], history: Sequence[Mapping[str, Any]], where: str) -> list[Finding]:
    """Report parameter groups that got gradients at a rate above 0, and whose weights did not change by a bit.

    facts: stage -> `unmoved`, whose keys are names of groups, and `rates`. history: rows with `group_gradient_norm`;
        groups whose gradient is tiny beside others are left to `without_gradient`.
    """
    findings, weak = [], _weak(history, "group_gradient_norm")
    for stage, noted in facts.items():
        rates = noted["rates"]
        peaks = dict(zip(rates.get("names", ()), rates["peak"], strict=False))
        for group in noted.get("unmoved", ()):
            norms = [row["group_gradient_norm"].get(group) or 0.0 for row in history if row["stage"] == stage]
            if not max(norms, default=0.0) or not peaks.get(group) or (stage, group) in weak:
                continue
            message = (
                f"parameter group {group} got gradients of norm {max(norms):.2g} at a rate of {peaks[group]:.3g}, and "
                "its weights are those it began with: its optimizer never stepped. Step every part of an optimizer, as "
                "goldfold.nn.optimizers.Joined does"
            )
            findings.append(Finding("optimizer_never_stepped", "warning", message, f"{where}, stage {stage}"))
    return findings


def constant_loss_inputs(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Report features that a loss compares and that are the same for every sample.

    facts: stage -> `constant_features`, a list of places.
    """
    findings = []
    for stage, noted in facts.items():
        if places := noted.get("constant_features"):
            message = (
                f"{first_three(places)} is the same for every sample (sd below 1e-6, of a logarithm below 1e-3) in "
                "each epoch's first batch: a loss learns nothing from it. Check the pooling, such as the position of "
                "the token that is read, and whether features were normalized before"
            )
            findings.append(CONSTANT_FEATURE(message, f"{where}, stage {stage}"))
    return findings


def one_loss_term(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Report a single loss term that is a sum in which a value has no gradient.

    A term that is one loss, or a sum of values that all have gradients, is no finding. facts: stage ->
        `silent_summands`, a list of places.
    """
    findings = []
    for stage, noted in facts.items():
        if places := noted.get("silent_summands"):
            message = (
                f"the only loss term is a sum to which a value without gradient is added ({first_three(places)}): what "
                "each part of it trains cannot be told. Return the parts as terms of their own"
            )
            findings.append(Finding("one_loss_term", "note", message, f"{where}, stage {stage}"))
    return findings


def dead_loss_terms(history: Sequence[Mapping[str, Any]], where: str) -> list[Finding]:
    """Report loss terms that train nothing: an error without any gradient, a warning if it is always 0 or tiny.

    history: rows with `gradient_norm`, {term: norm or None}. Tiny is below `TINY` of the largest one in every epoch.
    """
    norms: dict[tuple[str, str], list[float | None]] = {}
    for row in history:
        for term, norm in row["gradient_norm"].items():
            norms.setdefault((row["stage"], term), []).append(norm)
    findings, weak = [], _weak(history, "gradient_norm")
    for (stage, term), seen in norms.items():
        if any(seen) and (stage, term) not in weak:
            continue
        how = "no gradient" if set(seen) == {None} else "a gradient of 0 in every epoch"
        if any(seen):
            how = "a gradient of norm {:.2g} at most, beside {:.2g},".format(*weak[stage, term])
        message = (
            f"loss term '{term}' has {how} on the trained parameters: it changes the loss and trains nothing. Fix its "
            "input (detached, or without gradients), or remove it"
        )
        level: Level = "error" if set(seen) == {None} else "warning"
        findings.append(Finding("dead_loss_term", level, message, f"{where}, stage {stage}"))
    return findings


def did_not_learn(facts: Mapping[str, Any], history: Sequence[Mapping[str, Any]], where: str) -> list[Finding]:
    """Report stages whose best epoch is not better than an untrained model, or whose loss stood still.

    A term has learned once an epoch's mean lies more than 3 sd below its value without learning. That value may be the
    loss of random embeddings, which an untrained network already beats; so with 6 epochs or more, the first epoch must
    also lie above the median of the later half by more than 3 sd of their noise, estimated from successive differences
    (von Neumann, 1941).

    facts: stage -> `untrained_loss`, if known: {term: [value, sd]}, the mean of the term over an epoch without learning
        and the standard deviation of that mean.
    history: rows with `stage`, `epoch` and `loss`, {term: mean over the epoch}.
    """
    findings = []
    for stage, noted in facts.items():
        rows = [row for row in history if row["stage"] == stage]
        for term, (value, sd) in noted.get("untrained_loss", {}).items() if rows else ():
            seen = _no_progress(term, [row["loss"][term] for row in rows], value, sd)
            if seen:
                message = (
                    f"{seen}: training changed nothing that the loss measures. Check which pairs count as positive, "
                    "the learning rate, and what is frozen"
                )
                findings.append(Finding("did_not_learn", "warning", message, f"{where}, stage {stage}"))
    return findings


def _no_progress(term: str, losses: Sequence[float], value: float, sd: float) -> str:
    """How a stage's losses, one per epoch, show that nothing was learned; empty if they do not."""
    best, later = int(np.argmin(losses)), np.array(losses[len(losses) // 2 :])
    if not losses[best] < value - BEYOND * sd:
        return (
            f"the best {term} is {losses[best]:.4f}, in epoch {best + 1} of {len(losses)}, and without learning it is "
            f"{value:.4f} ± {sd:.4f} (sd of an epoch's mean)"
        )
    if len(losses) < ENOUGH:
        return ""
    noise = math.sqrt(np.mean(np.diff(later) ** 2) / 2)
    if losses[0] - np.median(later) > BEYOND * noise:
        return ""
    return (
        f"{term} stood still: {losses[0]:.4f} in the first epoch, and a median of {np.median(later):.4f} in the last "
        f"{len(later)}, whose noise is {noise:.4f} (sd)"
    )
