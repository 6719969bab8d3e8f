"""Compare runs: differences paired over the same folds, and what makes a comparison unfair."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity.fingerprint import describe_code_changes
from goldfold.io.formatting import change, signed_interval
from goldfold.trust.audits import Finding

BUDGET_TOLERANCE = 0.05  # share by which training budgets may differ
BLEND = ", blend of "
LAST = ", last epoch"


@dataclass(frozen=True)
class Difference:
    """One run's score minus another's on the same folds.

    mean: over folds. interval: its 95 % interval; None for one fold. better: in how many of the `folds` it was better.
        relative: mean / the other's mean; None if that is 0.
    """

    mean: float
    interval: tuple[float, float] | None
    better: int
    folds: int
    relative: float | None


def difference(summary: Mapping[str, Any], reference: Mapping[str, Any]) -> Difference:
    """Compute the paired difference of a metric between two runs with the same protocol and folds.

    summary, reference: of the metric, as in metrics.json. The interval is Student's t over folds, with the variance
        corrected for training rows that folds share: the factor 1/k becomes 1/k + 1/(k - 1) (Nadeau and Bengio,
        Inference for the Generalization Error, 2003, for k-fold cross-validation).
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
    """Format a paired difference: absolute and relative, its interval, and in how many folds it was better.

    bounds: of the metric. level: text before the interval if no heading names it, such as "95 % ".

    >>> difference_text(Difference(0.0123, (0.004, 0.0206), 4, 5, 0.0135), (0, 1))
    '+0.0123 (+1.23 pp, +1.4 %) [+0.0040, +0.0206], 4 of 5 folds'
    """
    edges = level + signed_interval(found.interval) if found.interval else "one fold, no interval"
    return f"{change(found.mean, found.relative, bounds)} {edges}, {found.better} of {found.folds} folds"


def comparable_metrics(
    names: Sequence[str],
    metrics: Sequence[Mapping[str, Any]],
    folds: Sequence[str],
    any_seeds: bool = False,
) -> list[str]:
    """Return the metrics that all runs share; of those with equal values in every fold of every run only the first.

    names, metrics, folds: of each run its name, metrics.json and the text of folds.csv. any_seeds: whether the runs may
        have different numbers of seeds per fold; a blend may be compared with any of its runs.

    Raises:
        GoldfoldError: the runs differ in their folds, the scored folds, the metric that ranks them (their first), or
            the protocol of a shared metric.
    """
    for name, own, drawn in zip(names[1:], metrics[1:], folds[1:], strict=True):
        if not _equal_folds(drawn, folds[0]):
            raise GoldfoldError(
                "different_folds",
                f"{name} and {names[0]} have different folds, so their scores cannot be paired: train both on the same "
                "data with the same seed",
            )
        ranked, first = next(iter(own)), next(iter(metrics[0]))
        if ranked != first:
            raise GoldfoldError(
                "different_metrics",
                f"{name} is ranked by {ranked} and {names[0]} by {first}, and scores of different metrics cannot be "
                "compared: compare runs of one metric",
            )
        scored, wanted = (", ".join(of[first]["folds"]) for of in (own, metrics[0]))
        if scored != wanted:
            raise GoldfoldError(
                "different_scored_folds",
                f"{name} scored folds {scored} and {names[0]} folds {wanted}, so their scores cannot be paired: train "
                "both with the same `folds`",
            )
    shared = [metric for metric in metrics[0] if all(metric in own for own in metrics)]
    for metric in shared:
        _check_protocols(metric, names, [own[metric]["protocol"] for own in metrics], any_seeds)
    values = [[own[metric]["folds"] for own in metrics] for metric in shared]
    return [metric for at, metric in enumerate(shared) if values[at] not in values[:at]]


def _equal_folds(drawn: str, other: str) -> bool:
    """Whether two texts of folds.csv assign the same fold to each id, in any order."""
    return drawn == other or sorted(drawn.splitlines()) == sorted(other.splitlines())


def _check_protocols(metric: str, names: Sequence[str], protocols: Sequence[str], any_seeds: bool) -> None:
    """Check that the runs have the same protocol for a metric."""
    for name, protocol in zip(names[1:], protocols[1:], strict=True):
        seeds_may_differ = any_seeds or BLEND in protocol or BLEND in protocols[0]
        if _normalized_protocol(protocol, seeds_may_differ) != _normalized_protocol(protocols[0], seeds_may_differ):
            raise GoldfoldError(
                "different_protocols",
                f"{name} and {names[0]} have different protocols for {metric}, '{protocol}' and '{protocols[0]}': "
                "their scores are measured differently, so compare runs with equal protocols",
            )


def _normalized_protocol(protocol: str, any_seeds: bool) -> str:
    """Remove from a protocol that the last epoch predicts, since some runs train nothing.

    any_seeds: also remove the numbers of seeds and of blended runs.
    """
    plain = protocol.removesuffix(LAST)
    return re.sub(rf", \d+ seeds? a fold|{BLEND}\d+ runs", "", plain) if any_seeds else plain


def blend_protocol(protocol: str, runs: int) -> str:
    """The protocol of a blend of `runs` runs, from that of one of them: the number of runs replaces that of seeds."""
    return re.sub(rf", \d+ seeds? a fold|{BLEND}\d+ runs", f"{BLEND}{runs} runs", protocol.removesuffix(LAST))


def unequal_budget(budgets: Mapping[str, Mapping[str, float]]) -> list[Finding]:
    """Report trained runs whose epochs, steps or samples per fit differ by more than 5 % from those of the first.

    budgets: run -> `epochs`, `steps` and `samples` per fit; runs with 0 epochs are not trained.
    """
    trained = {name: budget for name, budget in budgets.items() if budget["epochs"]}
    findings = []
    for name, budget in list(trained.items())[1:]:
        first, own = next(iter(trained.items()))
        unlike = [key for key in own if abs(budget[key] - own[key]) > BUDGET_TOLERANCE * own[key]]
        if unlike:
            shares = ", ".join(f"{budget[key]:,.0f} {key} against {own[key]:,.0f}" for key in unlike)
            message = (
                f"{shares} of {first}: a difference between their scores may come from the training budget alone. "
                "Train "
                "both with the same budget"
            )
            findings.append(Finding("unequal_budget", "error", message, name))
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
        one, other = then.get("code", {}), now.get("code", {})
        both = {module for module in one.keys() & other.keys() if one[module] != other[module]}
        if both:
            told = describe_code_changes({key: one[key] for key in both}, {key: other[key] for key in both})
            message = (
                f"the code differs from that of {first} ({told}), so the difference is not one of parameters alone: "
                "train both with the same code"
            )
            findings.append(Finding("unequal_code", "warning", message, name))
    return findings
