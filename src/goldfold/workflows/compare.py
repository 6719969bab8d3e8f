"""`compare`: runs beside each other, their differences paired over folds."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.experiment.scoring import fold_statistics
from goldfold.io.files import read_json
from goldfold.io.formatting import interval, number, plain
from goldfold.trust import audits
from goldfold.trust.comparisons import comparable_metrics, difference, difference_text, unequal_budget
from goldfold.workflows import compare_embeddings
from goldfold.workflows.compare_embeddings import Rows

BUDGET = ("epochs", "steps", "samples", "seconds")


def run(arguments: Namespace) -> None:
    folders = [runs.find_run(workspace.RUNS, name) for name in arguments.runs]
    named = [runs.run_name(folder) for folder in folders]
    if len(set(named)) < max(2, len(named)):
        raise GoldfoldError(f"a comparison needs two or more different runs, got {', '.join(named)}: see make list")
    embedding = compare_embeddings.competition_of(folders)
    rows = compare_embeddings.with_untrained(folders) if embedding else Rows(folders)
    findings = _compare(rows, arguments.accept)
    for finding in findings:
        print(finding)
    if embedding:
        print("\n".join(compare_embeddings.by_query(embedding, rows.folders)))


def _compare(rows: Rows, accepted: Sequence[str]) -> list[audits.Finding]:
    """Print how the runs differ, and each metric's table; returns what is to be said against them."""
    names = [runs.run_name(folder) for folder in rows.folders]
    metrics = [read_json(folder / "metrics.json") for folder in rows.folders]
    drawn = [(folder / "folds.csv").read_text(encoding="utf-8") for folder in rows.folders]
    shared = comparable_metrics(names, metrics, drawn)
    budgets = {name: budget(folder) for name, folder in zip(names, rows.folders, strict=True)}
    findings = list(rows.findings)
    findings += unequal_budget({name: {key: own[key] for key in BUDGET[:3]} for name, own in budgets.items()})
    audits.refuse_errors(findings, accepted)
    if rows.added:
        print(f"added, since what was trained has to beat it: {', '.join(map(runs.run_name, rows.added))}")
    print("\n".join(_unlike(names, [read_json(folder / "config.json") for folder in rows.folders])))
    for metric in shared:
        summaries = {name: own[metric] for name, own in zip(names, metrics, strict=True)}
        below = compare_embeddings.below(rows, summaries)
        print("\n".join(table(metric, summaries, budgets, {finding.where for finding in below})))
        if metric == shared[0]:
            findings += below
            for line in over_seeds(metric, dict(zip(names, rows.folders, strict=True)), metrics[0][metric]):
                print(line)
    others = dict.fromkeys(metric for own in metrics for metric in own if metric not in shared)
    if others:
        print(f"not measured of all, or the same numbers again: {', '.join(others)}")
    return findings


def _unlike(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each run was configured with where they are not all alike."""
    values = {key: [plain(config[key]) for config in configs if key in config] for config in configs for key in config}
    unlike = [key for key, found in values.items() if len(set(found)) > 1 and key != "debug"]
    wide = max(map(len, names))
    lines = []
    for name, config in zip(names, configs, strict=True):
        own = ", ".join(f"{key} {plain(config[key])}" for key in unlike if key in config)
        lines.append(f"{name:{wide}}  {own or 'the same parameters'}")
    return lines


def budget(folder: Path) -> dict[str, float]:
    """What one fit of a run was given, mean over its fits; zeros where nothing was trained."""
    histories = [read_json(path) for path in sorted(folder.glob("fold*-seed*/history.json"))]
    totals = [(len(rows), *(sum(row[key] for row in rows) for key in BUDGET[1:])) for rows in histories]
    return dict(zip(BUDGET, (sum(column) / len(totals) for column in zip(*totals, strict=True)), strict=True))


def table(
    metric: str,
    summaries: Mapping[str, Mapping[str, Any]],
    budgets: Mapping[str, Mapping[str, float]],
    below: Collection[str] = (),
) -> list[str]:
    """A line per run: mean over folds, difference to the first run, and budget of a fit.

    below: the runs that are no better than one in which nothing was trained; they are marked.
    """
    names = list(summaries)
    first, wide = summaries[names[0]], max(map(len, names))
    better = "higher" if first["higher_is_better"] else "lower"
    lines = [
        f"{metric}, {better} is better, chance {first['chance']:.4f}; differences to {names[0]}, paired over folds"
    ]
    lines.append(f"  {'run':{wide}}  mean    {'difference, 95 % interval, better in':62}  epochs  samples  s per fit")
    for name, summary in summaries.items():
        told = "" if summary is first else difference_text(difference(summary, first), first["bounds"])
        spent = budgets[name]
        figures = f"{spent['epochs']:6.0f}  {spent['samples']:7,.0f}  {spent['seconds']:9.1f}"
        mark = "  no better than nothing trained" if name in below else ""
        lines.append(f"  {name:{wide}}  {summary['mean']:.4f}  {told:62}  {figures}{mark}")
    return lines


def over_seeds(metric: str, folders: Mapping[str, Path], summary: Mapping[str, Any]) -> list[str]:
    """A line per run of several seeds: the mean over folds of each, their mean and its interval; nothing without any.

    summary: of the metric, with its bounds.
    """
    lines, wide = [], max(map(len, folders))
    for name, folder in folders.items():
        by_seed: dict[int, list[float]] = {}
        for path in sorted(folder.glob("fold*-seed*/fit.json")):
            fit = read_json(path)
            by_seed.setdefault(fit["seed"], []).append(fit["scores"][metric])
        if len(by_seed) > 1:
            found = fold_statistics([fmean(scores) for scores in by_seed.values()], summary["bounds"])
            edges = interval(found["interval_95_t"])
            lines.append(f"  {name:{wide}}  {number(found['mean'])} {edges} over {found['n']} seeds")
    told = "95 % intervals over seeds (t): what the draw of a training changes, on the same folds"
    return [f"  {told}", *lines] if lines else []
