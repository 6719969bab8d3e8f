"""Runs beside each other: differences paired over the folds they share, and what makes a comparison unfair."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.formatting import change, signed_interval
from goldfold.trust.audits import Finding

BUDGET_SLACK = 0.05  # share by which training budgets may differ before their scores say more of budget than of method
BLEND = ", blend of "
LAST = ", last epoch"


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


def difference_text(found: Difference, bounds: Sequence[float], level: str = "") -> str:
    """A paired difference, absolute and relative, its interval, and in how many folds it was better.

    bounds: of the metric. level: what stands before the interval where no heading says it, such as "95 % ".

    >>> difference_text(Difference(0.0123, (0.004, 0.0206), 4, 5, 0.0135), (0, 1))
    '+0.0123 (+1.23 pp, +1.4 %) [+0.0040, +0.0206], 4 of 5 folds'
    """
    edges = level + signed_interval(found.interval) if found.interval else "one fold, no interval"
    return f"{change(found.mean, found.relative, bounds)} {edges}, {found.better} of {found.folds} folds"


def comparable(
    names: Sequence[str],
    metrics: Sequence[Mapping[str, Any]],
    folds: Sequence[str],
    any_seeds: bool = False,
) -> list[str]:
    """The metrics that all runs have; of several with the same values in every fold of every run the first alone.

    folds: folds.csv's text. any_seeds: whether runs may have different numbers of seeds a fold; a blend has those of
    its runs, and may be compared with any of them.

    Raises:
        GoldfoldError: runs differ in their folds or in which of them they scored, in what they are ranked by (the first
            of their metrics), or in the protocol of a metric that all have.
    """
    for name, own, drawn in zip(names[1:], metrics[1:], folds[1:], strict=True):
        if not _same_folds(drawn, folds[0]):
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
        scored, wanted = (", ".join(of[first]["folds"]) for of in (own, metrics[0]))
        if scored != wanted:
            raise GoldfoldError(
                f"{name} scored fold {scored} and {names[0]} fold {wanted}, so they cannot be paired: train both with "
                "the same folds"
            )
    shared = [metric for metric in metrics[0] if all(metric in own for own in metrics)]
    for metric in shared:
        _refuse_other_protocols(metric, names, [own[metric]["protocol"] for own in metrics], any_seeds)
    values = [[own[metric]["folds"] for own in metrics] for metric in shared]
    return [metric for at, metric in enumerate(shared) if values[at] not in values[:at]]


def _same_folds(drawn: str, other: str) -> bool:
    """Whether two texts of folds.csv say the same of each id, in whatever order."""
    return drawn == other or sorted(drawn.splitlines()) == sorted(other.splitlines())


def _refuse_other_protocols(metric: str, names: Sequence[str], protocols: Sequence[str], any_seeds: bool) -> None:
    for name, protocol in zip(names[1:], protocols[1:], strict=True):
        seeds_may_differ = any_seeds or BLEND in protocol or BLEND in protocols[0]
        if _plain(protocol, seeds_may_differ) != _plain(protocols[0], seeds_may_differ):
            raise GoldfoldError(
                f"{name} and {names[0]} have different protocols for {metric}, '{protocol}' and '{protocols[0]}': "
                "scores of different protocols are never ranked together"
            )


def _plain(protocol: str, any_seeds: bool) -> str:
    """The protocol without which epoch predicts, where that was not chosen by the score: some runs train nothing.

    any_seeds: also without how many fits, of one run or of several, made a prediction.
    """
    plain = protocol.removesuffix(LAST)
    return re.sub(rf", \d+ seeds? a fold|{BLEND}\d+ runs", "", plain) if any_seeds else plain


def of_blend(protocol: str, runs: int) -> str:
    """The protocol of a blend of so many runs, one of which has `protocol`: a number of runs for one of seeds."""
    return re.sub(rf", \d+ seeds? a fold|{BLEND}\d+ runs", f"{BLEND}{runs} runs", protocol.removesuffix(LAST))


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
