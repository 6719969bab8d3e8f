"""Audits of how a model was fitted: what was trained, at which rates, and whether it still sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from goldfold.trust.audits.findings import Finding, some

ANNEALED = 0.1  # a schedule that falls is expected to end at or below this share of its peak
SWINGS = 2  # local minima of a learning rate beyond which its period was hardly meant


def orphan_parameters(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Trainable parameters that no stage's optimizer holds, or that no loss reaches: they stay as they were drawn."""
    held = {name for stage in facts.values() for name in stage["held"]}
    orphans = sorted({name for stage in facts.values() for name in stage["trainable"]} - held)
    findings = []
    if orphans:
        message = f"{some(orphans)} can be trained and are in no optimizer: hand them to one, or freeze them"
        findings.append(Finding("orphan_parameter", "warning", message, where))
    for name, stage in facts.items():
        if stage.get("without_gradient"):
            message = (
                f"{some(stage['without_gradient'])} got no gradient: no loss reaches them, so they are not learned"
            )
            findings.append(Finding("no_gradient", "warning", message, f"{where}, stage {name}"))
    return findings


def dead_loss_terms(history: Sequence[Mapping[str, Any]], where: str) -> list[Finding]:
    """Loss terms that change the loss and move nothing: an error without any gradient, a warning where it is 0."""
    norms: dict[tuple[str, str], list[float | None]] = {}
    for row in history:
        for term, norm in row["gradient_norm"].items():
            norms.setdefault((row["stage"], term), []).append(norm)
    findings = []
    for (stage, term), seen in norms.items():
        if not any(seen):
            how = "no gradient" if set(seen) == {None} else "a gradient of 0 in every epoch"
            message = f"loss term '{term}' has {how} on what is trained: it moves nothing, remove it or mend its input"
            level = "error" if set(seen) == {None} else "warning"
            findings.append(Finding("dead_loss_term", level, message, f"{where}, stage {stage}"))
    return findings


def learning_rates(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Rates that left what was configured: groups lifted to one peak, anneals cut short, schedules that swing."""
    findings = []
    for stage, noted in facts.items():
        rates, place = noted["rates"], f"{where}, stage {stage}"
        for group, configured in enumerate(rates["configured"] if rates["final"] else ()):
            peak, minima = rates["peak"][group], rates["minima"][group]
            final = min(rates["final"][group], rates["left"][group])
            told = f"group {group}, configured {configured:.3g}: peak {peak:.3g}, final {final:.3g}"
            if peak > configured * 1.01:
                message = f"{told}: the schedule lifted it above its own rate (a scalar max_lr does): give a list"
                findings.append(Finding("lr_per_group", "warning", message, place))
            if minima >= SWINGS:
                message = f"{told}: it fell and rose {minima} times (a schedule in epochs stepped per batch does)"
                findings.append(Finding("lr_swings", "warning", message, place))
            elif peak * ANNEALED * 1.0001 < final < peak * 0.9999:
                message = (
                    f"{told}: the anneal ended at {final / peak:.0%} of its peak, so it was planned for another length"
                )
                findings.append(Finding("schedule_not_finished", "warning", message, place))
    return findings


def collapse(history: Sequence[Mapping[str, Any]], where: str, chosen: int | None = None) -> list[Finding]:
    """Epochs at which what a plan monitors rang an alarm ("black", "one point"), and whether the chosen one is there.

    chosen: the epoch of the last stage that predicts, as the history counts; None where none was chosen.
    """
    findings = []
    for stage in dict.fromkeys(row["stage"] for row in history):
        rows = [row for row in history if row["stage"] == stage]
        alarms = {row["epoch"]: _alarms(row["monitored"]) for row in rows if row.get("monitored")}
        words = dict.fromkeys(word for rang in alarms.values() for word in rang)
        if not words:
            continue
        spans = [f"{word} in {_spans({epoch: word in rang for epoch, rang in alarms.items()})}" for word in words]
        message = f"{', '.join(spans)} of {rows[-1]['epoch']}: make epochs shows what the model makes of images there"
        if stage == history[-1]["stage"] and alarms.get(chosen):
            message = f"the epoch that predicts is among them, epoch {chosen}: {message}; pick another"
        findings.append(Finding("collapse", "warning", message, f"{where}, stage {stage}"))
    return findings


def _alarms(monitored: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [measured["alarm"] for measured in monitored.values() if measured["alarm"]]


def _spans(rang: Mapping[int, bool]) -> str:
    """Epoch -> whether it rang, as "epochs 2-30" or "epoch 4"; a span goes over epochs nobody looked at."""
    runs = [[epoch for epoch, _ in run] for loud, run in groupby(rang.items(), key=itemgetter(1)) if loud]
    spans = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"epoch{'s' if sum(map(len, runs)) > 1 else ''} {some(spans)}"
