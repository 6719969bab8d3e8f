"""Compare runs: differences paired over the same folds, and which runs can be paired."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.formatting import change, count, relative_change, signed_interval

BLEND = ", blend of "
UNSEEN = r", (?:last epoch|best epoch by [^,]* on kept back rows)$"  # epochs that were selected without the scored fold
PARTS = {  # part of a protocol -> its text, as `experiment.cross_validation.describe_protocol` writes it
    "folds": r"\d+ of (?=\d+ folds)",
    "seeds": rf", \d+ seeds? a fold|{BLEND}\d+ runs?",
    "selection": r", (?:best epoch [^,]*|epoch \d+ by hand)$",
}


@dataclass(frozen=True)
class Difference:
    """One run's score minus another's on the same folds.

    mean: over folds. interval: its 95 % interval; None for one fold. better: in how many of the `folds` it was better.
        relative: see `io.formatting.relative_change`. verdict: "better" or "worse" if the interval excludes 0, else
        "not shown to differ"; "one fold" for one.
    """

    mean: float
    interval: tuple[float, float] | None
    better: int
    folds: int
    relative: float | None
    verdict: str = ""


def difference(summary: Mapping[str, Any], reference: Mapping[str, Any], compared: int = 1) -> Difference:
    """Compute the paired difference of a metric between two runs with the same protocol and folds.

    summary, reference: of the metric, as in metrics.json. The interval is Student's t over k folds, with the variance
        corrected for training rows that folds share: the factor 1/k becomes 1/k + v, with v the validation rows per
        training row of a fold (Nadeau and Bengio, Inference for the Generalization Error, 2003). v is 1/(k - 1) in
        plain cross-validation on all folds, less where some folds were left out, more in folds of time.
    compared: number of differences that are shown together; the intervals contain all of the true differences with
        95 % probability (Bonferroni: each has the level 1 - 0.05 / compared).
    """
    from scipy import stats

    pairs = [(value, reference["folds"][fold]) for fold, value in summary["folds"].items()]
    differences = np.array([own - other for own, other in pairs])
    sign, k, mean = (1 if summary["higher_is_better"] else -1), len(pairs), float(differences.mean())
    interval = None
    if k > 1:
        share = summary.get("validation_per_training_row", 1 / (k - 1))  # runs of older versions did not record it
        quantile = float(stats.t.ppf(1 - 0.025 / compared, k - 1))
        half = quantile * float(differences.std(ddof=1)) * math.sqrt(1 / k + share)
        interval = mean - half, mean + half
    better, relative = int((sign * differences > 0).sum()), relative_change(mean, reference["mean"])
    return Difference(mean, interval, better, k, relative, _verdict(interval, sign))


def _verdict(interval: tuple[float, float] | None, sign: int) -> str:
    if interval is None:
        return "one fold"
    if interval[0] <= 0 <= interval[1]:
        return "not shown to differ"
    return "better" if sign * interval[0] > 0 else "worse"


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
    may_differ: Collection[str] = (),
) -> list[str]:
    """Return the metrics that all runs share; of those with equal values in every fold of every run only the first.

    names, metrics, folds: of each run its name, metrics.json and the text of folds.csv. may_differ: parts of the
        protocol that may differ, keys of `PARTS`; a blend may be compared with any of its runs.

    Raises:
        GoldfoldError: the runs differ in their folds, the scored folds, the metric that ranks them (their first), or
            the protocol of a shared metric; or no fold was scored by all.
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
        scored, wanted = own[first]["folds"], metrics[0][first]["folds"]
        if not scored.keys() & wanted.keys() or ("folds" not in may_differ and list(scored) != list(wanted)):
            raise GoldfoldError(
                "different_scored_folds",
                f"{name} scored folds {', '.join(scored)} and {names[0]} folds {', '.join(wanted)}, so their scores "
                "cannot be paired: train both with the same `folds`",
            )
    shared = [metric for metric in metrics[0] if all(metric in own for own in metrics)]
    for metric in shared:
        _check_protocols(metric, names, [own[metric]["protocol"] for own in metrics], may_differ)
    values = [[own[metric]["folds"] for own in metrics] for metric in shared]
    return [metric for at, metric in enumerate(shared) if values[at] not in values[:at]]


def protocol_part(protocol: str, part: str) -> str:
    """The text of a part of a protocol, a key of `PARTS`; empty if it has none.

    >>> protocol_part("auroc, out of fold, 5 of 5 folds drawn with seed 0, 2 seeds a fold, last epoch", "seeds")
    '2 seeds a fold'
    """
    found = re.search(PARTS[part], protocol)
    return found[0].removeprefix(", ") if found else ""


def _equal_folds(drawn: str, other: str) -> bool:
    """Whether two texts of folds.csv assign the same fold to each id, in any order."""
    return drawn == other or sorted(drawn.splitlines()) == sorted(other.splitlines())


def _check_protocols(metric: str, names: Sequence[str], protocols: Sequence[str], may_differ: Collection[str]) -> None:
    """Check that the runs have the same protocol for a metric."""
    for name, protocol in zip(names[1:], protocols[1:], strict=True):
        blended = ("seeds",) if BLEND in protocol or BLEND in protocols[0] else ()
        own, first = (without_parts(each, {*may_differ, *blended}) for each in (protocol, protocols[0]))
        if own != first:
            raise GoldfoldError(
                "different_protocols",
                f"{name} and {names[0]} have different protocols for {metric}, '{protocol}' and '{protocols[0]}': "
                "their scores are measured differently, so compare runs with equal protocols",
            )


def without_parts(protocol: str, parts: Collection[str]) -> str:
    """Remove parts from a protocol, and that the last epoch predicts or one that training rows selected.

    Some runs train nothing, and neither way to select an epoch has seen the scored fold.
    """
    plain = re.sub(UNSEEN, "", protocol)
    for part in parts:
        plain = re.sub(PARTS[part], "", plain)
    return plain


def blend_protocol(protocol: str, runs: int) -> str:
    """The protocol of a blend of `runs` runs, from that of one of them: the number of runs replaces that of seeds."""
    return re.sub(PARTS["seeds"], f"{BLEND}{count(runs, 'run')}", re.sub(UNSEEN, "", protocol))
