"""Compare finished runs: the metrics they share, differences to the first run, training budgets and findings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.intervals.limits import fold_statistics
from goldfold.experiment.run_folders import IMPORTED, run_name
from goldfold.io.files import read_json
from goldfold.trust import audits
from goldfold.trust.audits import Finding
from goldfold.trust.audits.imported.members import FOREIGN_FOLDS
from goldfold.trust.comparisons import PARTS, Difference, comparable_metrics, difference
from goldfold.trust.unequal_runs import unequal_budget, unequal_inputs, unequal_protocols
from goldfold.trust.untrained_baselines import ComparedRuns, no_better

BUDGET = ("epochs", "steps", "samples", "seconds")
DECIDED = ", with decisions"  # after the name of a metric whose runs are scored at nested decisions, if they have them
COMPARED = BUDGET[:3]  # seconds depend on the machine


@dataclass(frozen=True, kw_only=True)
class MetricComparison:
    """One metric of all runs.

    summaries: run -> the metric's summary, as metrics.json has it. differences: run -> to the first run, which has
    none itself. below: runs not shown to be better than an untrained baseline -> how, in words. seeds: runs of several
    seeds -> `spread` over the seeds' means.
    """

    summaries: Mapping[str, Mapping[str, Any]]
    differences: Mapping[str, Difference]
    below: Mapping[str, str]
    seeds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """Runs by name, the first one the reference, the untrained baselines that were added at the end.

    configs: run -> all its parameters. budgets: run -> epochs, steps, samples and seconds of one fit. metrics: by name,
    the competition's first; one with decisions is there twice, first as predicted. not_shared: metrics that some runs
    lack, or with the same values as another one.
    """

    runs: tuple[str, ...]
    added: tuple[str, ...]
    configs: Mapping[str, Mapping[str, Any]]
    budgets: Mapping[str, Mapping[str, float]]
    metrics: Mapping[str, MetricComparison]
    not_shared: tuple[str, ...]
    findings: tuple[Finding, ...]


def compare_runs(rows: ComparedRuns, accepted: Sequence[str] = ()) -> RunComparison:
    """Compare two or more finished runs.

    accepted: codes of findings that do not refuse the comparison.

    Raises:
        GoldfoldError: folds, what is measured or the metric to rank by differ; or a finding is an error and not
            accepted, such as unequal training budgets.
    """
    folders = {run_name(folder): folder for folder in rows.folders}
    metrics = {name: read_json(folder / "metrics.json") for name, folder in folders.items()}
    drawn = [(folder / "folds.csv").read_text(encoding="utf-8") for folder in folders.values()]
    shared = comparable_metrics(list(folders), list(metrics.values()), drawn, may_differ=PARTS)
    configs = {name: read_json(folder / "config.json") for name, folder in folders.items()}
    budgets = {name: budget(folder) for name, folder in folders.items()}
    findings = [
        *rows.findings,
        *_unequal(folders, budgets, configs, {name: own[shared[0]] for name, own in metrics.items()}),
    ]
    audits.refuse_errors(findings, accepted)
    scored = _scored_by_all([own[shared[0]]["folds"] for own in metrics.values()])
    compared = {}
    for metric in shared:
        summaries = {name: on_folds(folders[name], metric, own[metric], scored) for name, own in metrics.items()}
        below = no_better(rows, summaries)
        if metric == shared[0]:
            findings += below
            compared[metric] = _compared(summaries, below, _seeds(metric, folders, summaries))
        else:
            compared[metric] = _compared(summaries, below)
        if any("decided" in summary for summary in summaries.values()):
            compared[f"{metric}{DECIDED}"] = _compared({name: decided(own) for name, own in summaries.items()}, [])
    return RunComparison(
        runs=tuple(folders),
        added=tuple(map(run_name, rows.added)),
        configs=configs,
        budgets=budgets,
        metrics=compared,
        not_shared=tuple(dict.fromkeys(each for own in metrics.values() for each in own if each not in shared)),
        findings=tuple(findings),
    )


def decided(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """The summary of a metric at nested decisions; unchanged for a run without `decide:`."""
    if "decided" not in summary:
        return summary
    folds = {fold: summary["decided"]["folds"][fold] for fold in summary["folds"]}
    kept = {key: value for key, value in summary.items() if not key.startswith(("pooled", "interval", "untrained"))}
    return {**kept, "folds": folds, **fold_statistics(list(folds.values()), summary["bounds"])}


def on_folds(run: Path, metric: str, summary: Mapping[str, Any], folds: Sequence[str]) -> Mapping[str, Any]:
    """The summary of a run's metric on some of its folds only: mean, spread and chance level, without pooled scores."""
    if list(summary["folds"]) == list(folds):
        return summary
    fits = [read_json(path) for path in sorted(run.glob("fold*-seed*/fit.json"))]
    chance = [fit["chance"][metric] for fit in fits if str(fit["fold"]) in folds]
    values = {fold: summary["folds"][fold] for fold in folds}
    kept = {key: value for key, value in summary.items() if not key.startswith(("pooled", "interval"))}
    own: dict[str, Any] = {"folds": values, "chance": fmean(chance or [summary["chance"]])}
    if "untrained" in summary:
        start = {fold: summary["untrained"]["folds"][fold] for fold in folds}
        own["untrained"] = {"folds": start, "mean": fmean(start.values())}
    return {**kept, **own, **fold_statistics(list(values.values()), summary["bounds"])}


def budget(run: Path) -> dict[str, float]:
    """Epochs, steps, samples and seconds of one fit, mean over a run's fits; zeros where nothing was trained."""
    histories = [read_json(path) for path in sorted(run.glob("fold*-seed*/history.json"))]
    totals = [(len(rows), *(sum(row[key] for row in rows) for key in BUDGET[1:])) for rows in histories]
    return dict(zip(BUDGET, (sum(column) / len(totals) for column in zip(*totals, strict=True)), strict=True))


def over_seeds(run: Path, metric: str, bounds: Sequence[float], folds: Collection[str]) -> dict[str, Any] | None:
    """The `spread` over seeds of a metric's mean over `folds`, with its 95 % t interval; None for a run of one seed."""
    by_seed: dict[int, list[float]] = {}
    for fit in map(read_json, sorted(run.glob("fold*-seed*/fit.json"))):
        if str(fit["fold"]) not in folds:
            continue
        by_seed.setdefault(fit["seed"], []).append(fit["scores"][metric])
    return fold_statistics([fmean(scores) for scores in by_seed.values()], bounds) if len(by_seed) > 1 else None


def _compared(
    summaries: Mapping[str, Mapping[str, Any]],
    below: Sequence[Finding],
    seeds: Mapping[str, Mapping[str, Any]] | None = None,
) -> MetricComparison:
    first, *others = summaries
    return MetricComparison(
        summaries=summaries,
        differences={name: difference(summaries[name], summaries[first], len(others)) for name in others},
        below=worse_than_untrained(below),
        seeds=seeds or {},
    )


def worse_than_untrained(findings: Sequence[Finding]) -> dict[str, str]:
    """Run -> how it compares with nothing trained, in words; findings: `below_untrained`, the worst of a run counts."""
    words = {"note": "not shown to beat nothing trained", "warning": "worse than nothing trained"}
    ordered = sorted(findings, key=lambda finding: list(words).index(finding.level))
    return {finding.where: words[finding.level] for finding in ordered}


def _seeds(
    metric: str, folders: Mapping[str, Path], summaries: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    first = next(iter(summaries.values()))
    found = {name: over_seeds(folder, metric, first["bounds"], first["folds"]) for name, folder in folders.items()}
    return {name: each for name, each in found.items() if each}


def _scored_by_all(folds: Sequence[Mapping[str, float]]) -> list[str]:
    """The folds of the first run that all runs scored; GoldfoldError `different_scored_folds` if there is none."""
    shared = [fold for fold in folds[0] if all(fold in own for own in folds)]
    if not shared:
        told = "; ".join(", ".join(own) for own in folds)
        raise GoldfoldError(
            "different_scored_folds",
            f"no fold was scored by all runs ({told}), so their scores cannot be paired: compare two at a time, or "
            "train all with the same `folds`",
        )
    return shared


def _unequal(
    folders: Mapping[str, Path],
    budgets: Mapping[str, Mapping[str, float]],
    configs: Mapping[str, Mapping[str, Any]],
    summaries: Mapping[str, Mapping[str, Any]],
) -> list[Finding]:
    """Findings on runs that differ in more than their parameters."""
    spent = {name: {key: own[key] for key in COMPARED} for name, own in budgets.items()}
    recipes = {name: str(config.get("recipe")) for name, config in configs.items()}
    recorded = {name: read_json(folder / "reproduce.json") for name, folder in folders.items()}
    protocols = {name: own["protocol"] for name, own in summaries.items()}
    folds = {name: own["folds"] for name, own in summaries.items()}
    return [
        *unequal_budget(spent, recipes),
        *unequal_inputs(recorded),
        *unequal_protocols(protocols, folds),
        *(each for name, folder in folders.items() for each in _foreign(name, folder)),
    ]


def _foreign(name: str, folder: Path) -> list[Finding]:
    """What was found in the folds of an imported run, repeated, since it speaks against its score."""
    found = read_json(folder / "findings.json") if (folder / IMPORTED).exists() else []
    return [Finding(**{**each, "where": name}) for each in found if each["code"] == FOREIGN_FOLDS.code]
