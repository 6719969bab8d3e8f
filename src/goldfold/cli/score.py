"""`score`: a run's local CV."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.io.files import read_json
from goldfold.io.formatting import interval, number
from goldfold.trust.audits import Finding


def run(arguments: Namespace) -> None:
    folder = runs.find_run(workspace.RUNS, arguments.run)
    print(runs.run_name(folder))
    print(table(read_json(folder / "metrics.json")))
    for finding in read_json(folder / "findings.json"):
        print(Finding(**finding))


def table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Each metric in some lines: protocol, folds with their spread, all rows pooled, chance level and range.

    A protocol is told once where the next metric differs in its name alone.
    """
    lines, told = [], ""
    for name, summary in metrics.items():
        way = summary["protocol"].removeprefix(name)
        lines += [name if way == told else summary["protocol"], *_lines(summary)]
        told = way
    return "\n".join(lines)


def _lines(summary: Mapping[str, Any]) -> list[str]:
    values = " ".join(number(value) for value in summary["folds"].values())
    if summary["sd_ddof1"] is None:
        spread = f"{number(summary['mean'])} (one fold: no spread, no interval)"
    else:
        sd = f"± {summary['sd_ddof1']:.4f} sd (ddof=1, n={summary['n']})"
        spread = f"{number(summary['mean'])} {sd}, 95 % {interval(summary['interval_95_t'])}"
    lines = [f"  folds   {spread}   each {values}"]
    if "pooled" in summary:
        edges = summary["pooled_interval_95_bootstrap"]
        text = f"95 % {interval(edges)} over rows (bootstrap)" if edges else "too few rows for an interval"
        lines.append(f"  pooled  {number(summary['pooled'])}, {text}")
    low, high = summary["bounds"]
    better = "higher" if summary["higher_is_better"] else "lower"
    best = f", best possible {number(summary['best_possible'])}" if "best_possible" in summary else ""
    lines.append(f"  chance  {number(summary['chance'])}{best}, range [{low:g}, {high:g}], {better} is better")
    return lines
