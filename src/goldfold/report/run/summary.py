"""Result of a run as text: scores with protocol and chance level, findings, and paths of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldfold.experiment.run_folders import FINISHED
from goldfold.io.files import read_json
from goldfold.io.formatting import number
from goldfold.report import decisions
from goldfold.report.run import interval_text
from goldfold.trust.audits import Finding


def text(run: Path) -> str:
    """Scores of each metric, then one finding a line."""
    return "\n".join([table(read_json(run / "metrics.json")), *_findings(run)])


def result(run: Path, submission: Path) -> str:
    """What a command prints when a run is finished: `text`, the submission and the record."""
    if submission.exists():
        rows = read_json(submission.with_name(f"{submission.name}.json"))["test_rows"]
        delivered = f"submission {submission}: {rows:,} test rows, checked against the sample submission"
    else:
        delivered = "no submission: a run that breaks a rule of its competition is an exploration"
    return "\n".join([text(run), delivered, f"record {run / FINISHED}"])


def _findings(run: Path) -> list[str]:
    return [str(Finding(**each)) for each in read_json(run / "findings.json")] or ["no findings"]


def table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores of each metric: protocol, folds with their spread, all rows pooled, chance level and range.

    A protocol that only differs in the metric's name from the previous one is not repeated.
    """
    lines, last = [], None
    for name, summary in metrics.items():
        protocol = summary["protocol"].removeprefix(name)
        lines += [name if protocol == last else summary["protocol"], *_lines(summary)]
        last = protocol
    return "\n".join(lines)


def _lines(summary: Mapping[str, Any]) -> list[str]:
    values = " ".join(number(value) for value in summary["folds"].values())
    if summary["sd_ddof1"] is None:
        spread = f"{number(summary['mean'])} (one fold: no spread), {interval_text.of_mean(summary)}"
    else:
        sd = f"± {summary['sd_ddof1']:.4f} sd (ddof=1, n={summary['n']})"
        spread = f"{number(summary['mean'])} {sd}, {interval_text.of_mean(summary)}"
    lines = [f"  folds   {spread}   each {values}"]
    if "decided" in summary:
        lines.append(decisions.line(summary["decided"]))
    if "pooled" in summary:
        lines.append(f"  pooled  {number(summary['pooled'])}, {interval_text.of_pooled(summary)}")
    low, high = summary["bounds"]
    better = "higher" if summary["higher_is_better"] else "lower"
    best = f", best possible {number(summary['best_possible'])}" if "best_possible" in summary else ""
    lines.append(f"  chance  {number(summary['chance'])}{best}, range [{low:g}, {high:g}], {better} is better")
    return lines
