"""`score`: a run's local CV."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from goldfold.commands import project
from goldfold.engine import runs
from goldfold.files import read_json


def run(arguments: Namespace) -> None:
    folder = runs.find(project.RUNS, arguments.run)
    print(f"{folder.parent.name}/{folder.name}")
    print(table(read_json(folder / "metrics.json")))
    for finding in read_json(folder / "findings.json"):
        print(f"{finding['level']}  {finding['code']}  {finding['where']}: {finding['message']}")


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
    values = " ".join(f"{value:.4f}" for value in summary["folds"].values())
    if summary["sd_ddof1"] is None:
        spread = f"{summary['mean']:.4f} (one fold: no spread, no interval)"
    else:
        low, high = summary["interval_95_t"]
        sd = f"± {summary['sd_ddof1']:.4f} sd (ddof=1, n={summary['n']})"
        spread = f"{summary['mean']:.4f} {sd}, 95 % [{low:.4f}, {high:.4f}]"
    lines = [f"  folds   {spread}   each {values}"]
    if "pooled" in summary:
        interval = summary["pooled_interval_95_bootstrap"]
        text = (
            f"95 % [{interval[0]:.4f}, {interval[1]:.4f}] over rows (bootstrap)"
            if interval
            else "too few rows for an interval"
        )
        lines.append(f"  pooled  {summary['pooled']:.4f}, {text}")
    low, high = summary["bounds"]
    better = "higher" if summary["higher_is_better"] else "lower"
    best = f", best possible {summary['best_possible']:.4f}" if "best_possible" in summary else ""
    lines.append(f"  chance  {summary['chance']:.4f}{best}, range [{low:g}, {high:g}], {better} is better")
    return lines
