"""The result of a run in one sentence: score, interval, chance level, untrained model and the most severe finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goldfold.io.formatting import interval, number
from goldfold.trust.comparisons import difference

LEVELS = ("error", "warning", "note")


def verdict(name: str, summary: Mapping[str, Any], findings: Sequence[Mapping[str, str]]) -> str:
    """The sentence as Markdown.

    name: of the metric. summary: from metrics.json. findings: from findings.json.

    >>> found = {"mean": 0.9, "interval_95": [0.85, 0.95], "chance": 0.5, "higher_is_better": True}
    >>> verdict("auroc", found, [])
    '**auroc 0.9000**, 95 % interval [0.8500, 0.9500]: better than chance (0.5000); no findings.'
    """
    edges = summary.get("interval_95")
    spread = f"95 % interval {interval(edges)}" if edges else "no interval"
    told = [f"{_against_chance(summary, edges)} chance ({number(summary['chance'])})"]
    if "untrained" in summary:
        told.append(f"{_against_untrained(summary)} the untrained model ({number(summary['untrained']['mean'])})")
    return f"**{name} {number(summary['mean'])}**, {spread}: {', '.join(told)}; {_most_severe(findings)}."


def _against_chance(summary: Mapping[str, Any], edges: Sequence[float] | None) -> str:
    sign = 1 if summary["higher_is_better"] else -1
    apart = sign * (summary["mean"] - summary["chance"])
    if apart <= 0:
        return "no better than"
    if not edges:
        return "better, without an interval to show it, than"
    clear = min(sign * (edge - summary["chance"]) for edge in edges) > 0
    return "better than" if clear else "not shown to be better than"


def _against_untrained(summary: Mapping[str, Any]) -> str:
    """The difference to the same folds before training, with its paired interval."""
    found, sign = difference(summary, summary["untrained"]), 1 if summary["higher_is_better"] else -1
    if sign * found.mean <= 0:
        return "no better than"
    if found.interval is None:
        return "better, without an interval to show it, than"
    return "better than" if found.verdict == "better" else "not shown to be better than"


def _most_severe(findings: Sequence[Mapping[str, str]]) -> str:
    if not findings:
        return "no findings"
    worst = min(findings, key=lambda finding: LEVELS.index(finding["level"]))
    codes = {finding["code"] for finding in findings}
    which = f"the most severe of {len(codes)} findings" if len(codes) > 1 else "one finding"
    return f"{which}: {worst['level']} `{worst['code']}`"
