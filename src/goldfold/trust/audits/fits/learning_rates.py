"""Audits of learning rates: peaks that are not the configured ones, swings, and schedules that did not finish."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from goldfold.trust.audits.findings import Finding

ANNEALED = 0.1  # a falling schedule is expected to end at or below this share of its peak
SWINGS = 2  # local minima of a learning rate from which its period is reported as unintended
REACHED = 0.8  # share of its configured rate that a group's peak reaches even in a cycle of two steps


def learning_rates(facts: Mapping[str, Any], where: str, stopped: Collection[str] = ()) -> list[Finding]:
    """Report learning rates that differ from the config: another peak, annealed too little, or oscillating.

    facts: stage -> `rates`, the fields of `LearningRates`. stopped: stages that early stopping ended, whose schedules
        cannot have finished.
    """
    findings = []
    for stage, noted in facts.items():
        rates, place = noted["rates"], f"{where}, stage {stage}"
        for group, configured in enumerate(rates["configured"] if rates["final"] else ()):
            peak, minima = rates["peak"][group], rates["minima"][group]
            final = min(rates["final"][group], rates["next"][group])
            seen = f"{_name(rates, group)}, configured {configured:.3g}: peak {peak:.3g}, final {final:.3g}"
            for how in _other_peak(configured, peak, rates.get("recorded", 0)):
                message = f"{seen}: {how}"
                findings.append(Finding("lr_per_group", "warning", message, place))
            if minima >= SWINGS:
                message = (
                    f"{seen}: it fell and rose {minima} times, as a schedule planned in epochs does if it is stepped "
                    "per batch. Set schedule_per to the unit the schedule was planned in"
                )
                findings.append(Finding("lr_swings", "warning", message, place))
            elif stage not in stopped and peak * ANNEALED * 1.0001 < final < peak * 0.9999:
                message = (
                    f"{seen}: the schedule ended at {final / peak:.0%} of its peak, so it was planned for more steps "
                    "than were trained. Plan it for the stage's own epochs and steps"
                )
                findings.append(Finding("schedule_not_finished", "warning", message, place))
    return findings


def _name(rates: Mapping[str, Any], group: int) -> str:
    """The name of a parameter group; runs of older versions did not record it."""
    return f"parameter group {rates['names'][group] if rates.get('names') else group}"


def _other_peak(configured: float, peak: float, recorded: int) -> Iterator[str]:
    """How the highest rate differs from the configured one, and the cure. recorded: how often it was recorded."""
    if peak > configured * 1.01:
        yield (
            "the schedule raised the group above its own learning rate, as a scalar max_lr does. Give max_lr a list "
            "with one rate per group"
        )
    elif peak < configured * REACHED and recorded > 1:
        yield (
            f"the group never reached more than {peak / configured:.0%} of its own learning rate, as under a scalar "
            "max_lr below it or an unfinished warm-up. Give max_lr a list with one rate per group, or plan the warm-up "
            "for the steps that are trained"
        )
