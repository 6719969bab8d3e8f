"""Runs beside each other: differences paired over the folds they share, and what makes a comparison unfair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.trust.audits import Finding

BUDGET_SLACK = 0.05  # share by which training budgets may differ before their scores say more of budget than of method


@dataclass(frozen=True)
class Difference:
    """One run's score less another's on the same folds.

    mean: over folds. interval: its 95 % interval, None for one fold. better: in how many of `folds` it was better.
    relative: mean / the other's mean, None where that is 0.
    """

    mean: float
    interval: tuple[float, float] | None
    better: int
    folds: int
    relative: float | None


def difference(summary: Mapping[str, Any], reference: Mapping[str, Any]) -> Difference:
    """How a metric's summary (as in metrics.json) differs from that of another run with the same protocol and folds.

    The interval is Student's t over folds with the variance corrected for training rows that folds share: the factor
    1/k becomes 1/k + 1/(k - 1) (Nadeau and Bengio, Inference for the Generalization Error, 2003, eq. for k-fold use).
    """
    from scipy import stats

    pairs = [(value, reference["folds"][fold]) for fold, value in summary["folds"].items()]
    differences = np.array([own - other for own, other in pairs])
    sign, k, mean = (1 if summary["higher_is_better"] else -1), len(pairs), float(differences.mean())
    interval = None
    if k > 1:
        half = float(stats.t.ppf(0.975, k - 1)) * float(differences.std(ddof=1)) * math.sqrt(1 / k + 1 / (k - 1))
        interval = mean - half, mean + half
    relative = mean / reference["mean"] if reference["mean"] else None
    return Difference(mean, interval, int((sign * differences > 0).sum()), k, relative)


def comparable(names: Sequence[str], metrics: Sequence[Mapping[str, Any]], folds: Sequence[str]) -> list[str]:
    """The metrics that all runs have; of several with the same values in every fold of every run the first alone.

    folds: folds.csv's text.

    Raises:
        GoldfoldError: runs differ in their folds, in what they are ranked by (the first of their metrics), or in the
            protocol of a metric that all have.
    """
    for name, own, drawn in zip(names[1:], metrics[1:], folds[1:], strict=True):
        if drawn != folds[0]:
            raise GoldfoldError(
                f"{name} and {names[0]} have different folds, so their scores cannot be paired: train both on the same "
                "data with the same seed"
            )
        ranked, first = next(iter(own)), next(iter(metrics[0]))
        if ranked != first:
            raise GoldfoldError(
                f"{name} is ranked by {ranked} and {names[0]} by {first}: scores of different metrics are never ranked "
                "together"
            )
    shared = [metric for metric in metrics[0] if all(metric in own for own in metrics)]
    for metric in shared:
        _refuse_other_protocols(metric, names, [own[metric]["protocol"] for own in metrics])
    values = [[own[metric]["folds"] for own in metrics] for metric in shared]
    return [metric for at, metric in enumerate(shared) if values[at] not in values[:at]]


def _refuse_other_protocols(metric: str, names: Sequence[str], protocols: Sequence[str]) -> None:
    for name, protocol in zip(names[1:], protocols[1:], strict=True):
        if _plain(protocol) != _plain(protocols[0]):
            raise GoldfoldError(
                f"{name} and {names[0]} have different protocols for {metric}, '{protocol}' and '{protocols[0]}': "
                "scores of different protocols are never ranked together"
            )


def _plain(protocol: str) -> str:
    """The protocol without which epoch predicts, where that was not chosen by the score: some runs train nothing."""
    return protocol.removesuffix(", last epoch")


def unequal_budget(budgets: Mapping[str, Mapping[str, float]]) -> list[Finding]:
    """Trained runs whose epochs, steps or samples per fit differ by more than 5 % from the first trained one's."""
    trained = {name: budget for name, budget in budgets.items() if budget["epochs"]}
    findings = []
    for name, budget in list(trained.items())[1:]:
        first, own = next(iter(trained.items()))
        unlike = [key for key in own if abs(budget[key] - own[key]) > BUDGET_SLACK * own[key]]
        if unlike:
            told = ", ".join(f"{budget[key]:,.0f} {key} against {own[key]:,.0f}" for key in unlike)
            message = f"{told} of {first}: a difference between them may be one of budget"
            findings.append(Finding("unequal_budget", "error", message, name))
    return findings
