"""Section of a record on a blend: scores of runs and methods, cost of the selection, weights, and correlations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from goldfold.ensemble.names import FIXED
from goldfold.experiment.run_folders import BLEND
from goldfold.io.files import read_json
from goldfold.io.formatting import number, signed, signed_interval
from goldfold.report.plotting.markdown import table
from goldfold.trust.comparisons import Difference, difference

CAVEAT = (
    "Nested: what predicts a fold was learned on the other folds. Still somewhat too good: the runs' models behind the "
    "other folds' predictions were trained on that fold too, and whoever chose these runs had seen their scores; the "
    "interval is Student's t over folds, corrected for the training rows they share (Nadeau and Bengio, 2003)."
)

Facts = Mapping[str, Any]  # what `blend.json` holds
Summary = Mapping[str, Any]  # "folds": fold -> score, "mean"


def section(run: Path) -> str:
    """The record's section on a blend; empty if the run is no blend."""
    return told(read_json(run / BLEND, dict)) if (run / BLEND).exists() else ""


def told(facts: Facts) -> str:
    """The whole section as Markdown that also reads well in a terminal."""
    if len(facts["runs"]) > 1:
        parts = [
            verdict(facts),
            scores(facts),
            fair_mark(facts),
            choice(facts),
            CAVEAT,
            weights(facts),
            likeness(facts),
        ]
    else:
        parts = [choice(facts)]
    parts.append(unscored(facts))
    left_out = [f"- {method}: {reason}" for method, reason in facts["left_out"].items()]
    return "\n\n".join([*filter(None, parts), *(["Left out:\n\n" + "\n".join(left_out)] if left_out else [])])


def against_best(facts: Facts, own: Summary) -> Difference:
    """Difference of a summary to the best single run, paired over folds."""
    higher = {"higher_is_better": facts["higher_is_better"]}
    return difference({**own, **higher}, facts["runs"][facts["best_run"]])


def beats(facts: Facts) -> bool | None:
    """Whether the blend is better than the best single run; None if the interval over folds contains 0."""
    found, sign = against_best(facts, facts["blend"]), 1 if facts["higher_is_better"] else -1
    if sign * found.mean <= 0:
        return False
    shown = found.interval and min(sign * edge for edge in found.interval) > 0
    return True if shown else None


def verdict(facts: Facts) -> str:
    """A sentence on whether the blend beats the best single run."""
    found, best = against_best(facts, facts["blend"]), facts["best_run"]
    verb = {
        True: "beats the best single run",
        False: "does not beat the best single run",
        None: "is not shown to beat the best single run",
    }[beats(facts)]
    apart = f"{signed(found.mean)}, better in {found.better} of {found.folds} folds"
    if found.interval:
        apart += f", 95 % {signed_interval(found.interval)}"
    own, other = number(facts["blend"]["mean"]), number(facts["runs"][best]["mean"])
    return f"The blend {verb}: {facts['metric']} {own} against {other} of {best} ({apart})."


def rows_of(facts: Facts) -> dict[str, Summary]:
    """Lines of table and picture: runs, the run selected on the other folds, methods, and the blend itself."""
    methods = {_called(name, own): own for name, own in facts["methods"].items()}
    lines = {**facts["runs"], "best run of the other folds": facts["best_elsewhere"], **methods}
    return lines if facts["named"] else {**lines, "this blend, method chosen too": facts["blend"]}


def _called(method: str, own: Mapping[str, Any]) -> str:
    """Name of the method, with what it learned if that is not weights, such as `p = 2`."""
    return method if own["weights"] or not own["told"] else f"{method}, {own['told']}"


def scores(facts: Facts) -> str:
    """Table with a line per run and method; differences to the best single run are paired over folds."""
    better, best = "higher" if facts["higher_is_better"] else "lower", facts["best_run"]
    header = [f"{facts['metric']} ({better} is better)", "mean", f"less {best}", "95 % interval", "better in"]
    lines = []
    for name, own in rows_of(facts).items():
        found = against_best(facts, own)
        apart = ["", "", ""]
        if name != best:
            edges = signed_interval(found.interval, none="-")
            apart = [signed(found.mean), edges, f"{found.better} of {found.folds}"]
        in_sample = own.get("in_sample")
        optimism = ["", ""]
        if in_sample is not None:
            optimism = [number(in_sample), signed(_sign(facts) * (in_sample - own["mean"]))]
        lines.append([name, number(own["mean"]), *apart, *optimism])
    note = "optimism: by how much a method reads better on the rows it learned from than nested."
    return table([*header, "in sample", "optimism"], lines) + f"\n\n{note}"


def _sign(facts: Facts) -> int:
    return 1 if facts["higher_is_better"] else -1


def fair_mark(facts: Facts) -> str:
    """The score of a single run that is selected for each fold on the other folds, as the blend is."""
    own, other, blend = (
        each["mean"] for each in (facts["best_elsewhere"], facts["runs"][facts["best_run"]], facts["blend"])
    )
    return (
        f"{facts['best_run']} was picked as the best by these very scores, {number(other)}; picked for each fold by "
        f"the other folds a single run reads {number(own)}, from which the blend is {signed(blend - own)} away."
    )


def choice(facts: Facts) -> str:
    """The method that predicts the test rows, and how optimistic it would be to report its own score."""
    method, count = facts["method"], len(facts["methods"])
    if method == FIXED:
        own = facts["methods"][method]["weights"]["all"]
        told = ", ".join(f"{name} {share:.3f}" for name, share in zip(facts["runs"], own, strict=True))
        return f"Weights as given: {told}. No other was tried."
    if facts["named"]:
        called = f", which was asked for as {facts['asked']}" if "asked" in facts else ", as asked"
        return f"Method {method}{called}: no other was tried."
    if facts["too_few_folds"]:
        return f"Two folds are too few to choose a method by: it is {method}, which learns nothing."
    best, own = facts["methods"][method]["mean"], facts["blend"]["mean"]
    by_fold = ", ".join(f"{fold} {chosen}" for fold, chosen in facts["by_fold"].items())
    return (
        f"Test rows are predicted by {method}, the best of {count} methods by nested score, {number(best)}. That is "
        f"itself a choice made on scored rows, so the blend's own score, {number(own)}, is that of choosing too: each "
        f"fold's method is the best on the other folds ({by_fold}). The best method's score alone would read "
        f"{signed(_sign(facts) * (best - own))} better; a method named beforehand (METHOD=mean) needs no choice."
    )


def unscored(facts: Facts) -> str:
    """What is in the test predictions of the blend and in no score; empty if nothing is."""
    files = ", ".join(f"{name} {share:.3f}" for name, share in facts.get("files", {}).items())
    return files and (
        f"Without out-of-fold predictions: {files} of the weight of the test predictions. The scores are those of the "
        "runs alone, their weights scaled to sum 1; nothing here tells how the submission scores."
    )


def weights(facts: Facts) -> str:
    """Table of the weight of each run, for methods with weights: learned on all folds, and mean ± sd over folds."""
    methods = learned_weights(facts)
    if not methods:
        return ""
    header = ["run", *(f"{name} ({facts['methods'][name]['told'] or 'shares'})" for name in methods)]
    lines = [[name, *(_weight(own, at) for own in methods.values())] for at, name in enumerate(facts["runs"])]
    note = "Weights learned from all folds, which predict the test rows; in brackets mean ± sd (ddof=1) over folds."
    return f"{note}\n\n{table(header, lines)}"


def learned_weights(facts: Facts) -> dict[str, Mapping[str, Any]]:
    """Method -> its weights or coefficients, one per run, under "all" and under each of "folds"."""
    return {
        name: own["weights"] for name, own in facts["methods"].items() if own["weights"] and own["weights"]["learned"]
    }


def _weight(own: Mapping[str, Any], at: int) -> str:
    over_folds = [values[at] for values in own["folds"].values()]
    spread = stdev(over_folds) if len(over_folds) > 1 else 0.0
    return f"{own['all'][at]:.3f} ({fmean(over_folds):.3f} ± {spread:.3f})"


def likeness(facts: Facts) -> str:
    """Table of correlations between the errors or predictions of the runs; a blend gains little from similar runs."""
    found = facts["correlations"]
    if not found:
        return ""
    lines = [
        [name, *("-" if value is None else f"{value:.3f}" for value in values)]
        for name, values in zip(facts["runs"], found["matrix"], strict=True)
    ]
    header = [f"Pearson correlation, {found['of']}", *facts["runs"]]
    return table(header, lines)
