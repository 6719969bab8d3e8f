"""Audits of training: untrained parameters, dead loss terms, learning rates, no progress, collapsed outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from goldfold.trust.audits.findings import Finding, Level, first_three

ANNEALED = 0.1  # a falling schedule is expected to end at or below this share of its peak
SWINGS = 2  # local minima of a learning rate from which its period is reported as unintended
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
    for name, stage in facts.items():
        if stage.get("without_gradient"):
            message = (
                f"{first_three(stage['without_gradient'])} got no gradient, so they are not trained although the "
                "optimizer holds them: use them in a loss, or freeze them"
            )
            findings.append(Finding("no_gradient", "warning", message, f"{where}, stage {name}"))
    return findings


def dead_loss_terms(history: Sequence[Mapping[str, Any]], where: str) -> list[Finding]:
    """Report loss terms that train nothing: an error without any gradient, a warning if it is always 0."""
    norms: dict[tuple[str, str], list[float | None]] = {}
    for row in history:
        for term, norm in row["gradient_norm"].items():
            norms.setdefault((row["stage"], term), []).append(norm)
    findings = []
    for (stage, term), seen in norms.items():
        if not any(seen):
            how = "no gradient" if set(seen) == {None} else "a gradient of 0 in every epoch"
            message = (
                f"loss term '{term}' has {how} on the trained parameters: it changes the loss and trains nothing. Fix "
                "its input (detached, or without gradients), or remove it"
            )
            level: Level = "error" if set(seen) == {None} else "warning"
            findings.append(Finding("dead_loss_term", level, message, f"{where}, stage {stage}"))
    return findings


def learning_rates(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Report learning rates that differ from the config: lifted to one peak, annealed too little, or oscillating.

    facts: stage -> `rates`, the fields of `LearningRates`.
    """
    findings = []
    for stage, noted in facts.items():
        rates, place = noted["rates"], f"{where}, stage {stage}"
        for group, configured in enumerate(rates["configured"] if rates["final"] else ()):
            peak, minima = rates["peak"][group], rates["minima"][group]
            final = min(rates["final"][group], rates["next"][group])
            seen = f"parameter group {group}, configured {configured:.3g}: peak {peak:.3g}, final {final:.3g}"
            if peak > configured * 1.01:
                message = (
                    f"{seen}: the schedule raised the group above its own learning rate, as a scalar max_lr does. Give "
                    "max_lr a list with one rate per group"
                )
                findings.append(Finding("lr_per_group", "warning", message, place))
            if minima >= SWINGS:
                message = (
                    f"{seen}: it fell and rose {minima} times, as a schedule planned in epochs does if it is stepped "
                    "per batch. Set schedule_per to the unit the schedule was planned in"
                )
                findings.append(Finding("lr_swings", "warning", message, place))
            elif peak * ANNEALED * 1.0001 < final < peak * 0.9999:
                message = (
                    f"{seen}: the schedule ended at {final / peak:.0%} of its peak, so it was planned for more steps "
                    "than were trained. Plan it for the stage's own epochs and steps"
                )
                findings.append(Finding("schedule_not_finished", "warning", message, place))
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


def collapse(history: Sequence[Mapping[str, Any]], where: str, chosen: int | None = None) -> list[Finding]:
    """Report epochs at which a monitored value raised an alarm ("black", "one point").

    chosen: number of the epoch of the last stage that predicts; None if none was selected.
    """
    findings = []
    for stage in dict.fromkeys(row["stage"] for row in history):
        rows = [row for row in history if row["stage"] == stage]
        alarms = {row["epoch"]: _alarms(row["monitored"]) for row in rows if row.get("monitored")}
        words = dict.fromkeys(word for raised in alarms.values() for word in raised)
        if not words:
            continue
        spans = [f"{word} in {_spans({epoch: word in raised for epoch, raised in alarms.items()})}" for word in words]
        seen = f"{', '.join(spans)} of {rows[-1]['epoch']}"
        message = (
            f"{seen}: the outputs or features are nearly the same for every row there. Look at them with make epochs"
        )
        if stage == history[-1]["stage"] and alarms.get(chosen):
            message = (
                f"epoch {chosen}, which predicts, is collapsed ({seen}): its outputs or features are nearly the same "
                "for "
                "every row. Select another epoch; make epochs shows them"
            )
        findings.append(Finding("collapse", "warning", message, f"{where}, stage {stage}"))
    return findings


def _alarms(monitored: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [measured["alarm"] for measured in monitored.values() if measured["alarm"]]


def _spans(raised: Mapping[int, bool]) -> str:
    """Epoch -> alarm raised, as "epochs 2-30" or "epoch 4"; a span includes epochs that were not validated."""
    runs = [[epoch for epoch, _ in run] for on, run in groupby(raised.items(), key=itemgetter(1)) if on]
    spans = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"epoch{'s' if sum(map(len, runs)) > 1 else ''} {first_three(spans)}"
