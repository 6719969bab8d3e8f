"""Decisions of a run as text: fitted values, nested scores beside the plain ones, and what choosing flatters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goldfold.experiment.run_folders import DECISIONS
from goldfold.io.files import read_json
from goldfold.io.formatting import count, interval, number, plain
from goldfold.report.plotting.markdown import escaped, table
from goldfold.trust.comparisons import difference, difference_text

SHOWN = 6  # values of columns that are shown one by one


def section(run: Path) -> str:
    """The section of record.md; empty for a run without `decide:`."""
    if not (run / DECISIONS).exists():
        return ""
    facts = read_json(run / DECISIONS, dict)
    gain = difference(facts["nested"], facts["without"])
    flattery = facts["same_rows"]["mean"] - facts["nested"]["mean"]
    parts = [
        f"Fitted by {facts['metric']} on out-of-fold predictions. A fold is decided at values fitted on the others "
        f"(nested), the test rows at values fitted on all of them, from {count(facts['tried'], 'score')}."
        + ("" if facts["applied"] else " The submission is not decided: it is scored by another metric."),
        _values(facts),
        _scores(facts),
        f"Nested minus plain, paired over folds: {difference_text(gain, facts['nested']['bounds'], '95 % ')}: "
        f"{gain.verdict}. The values fitted on all rows score {number(facts['same_rows']['mean'])} on the same rows, "
        f"{flattery:+.4f} from the nested score: that is what choosing flatters.",
    ]
    return "\n\n".join(parts)


def _values(facts: Mapping[str, Any]) -> str:
    """A line per parameter, or per label or class that has a value of its own."""
    rows, cut = [], []
    for name, own in facts["parameters"].items():
        value = facts["values"][name]
        tried = plain(own["candidates"]) if own["candidates"] else "its own search"
        if facts["columns"] and isinstance(value, list) and len(value) == len(facts["columns"]):
            each = zip(facts["columns"], value, strict=True)
            shown = [[f"`{name}` of {escaped(column)}", _told(one), plain(own["plain"]), tried] for column, one in each]
            rows += shown[: 2 * SHOWN]
            cut += (
                [f"{len(shown) - 2 * SHOWN} more values of `{name}` are in {DECISIONS}."] if shown[2 * SHOWN :] else []
            )
        else:
            rows.append([f"`{name}`", _told(value), _told(own["plain"]), tried])
    return "\n\n".join([table(["parameter", "fitted", "plain", "tried"], rows, left=4), *cut])


def _scores(facts: Mapping[str, Any]) -> str:
    """A line per fold, and the means."""
    rows = [
        [f"fold {fold}", *(number(own[name]) for name in ("without", "nested")), described(facts, own["values"])]
        for fold, own in facts["folds"].items()
    ]
    means = [number(facts[name]["mean"]) for name in ("without", "nested")]
    return table(["", "plain", "nested", "fitted on the other folds"], [*rows, ["mean", *means, ""]])


def described(facts: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Fitted values in a few words.

    >>> described({"parameters": {"threshold": {}}}, {"threshold": [0.25, 0.5], "top_k": None})
    'threshold 0.25, 0.5'
    """
    return "; ".join(f"{name} {_told(values[name])}" for name in facts["parameters"])


def _told(value: Any) -> str:
    if value is None:
        return "none"
    if not isinstance(value, (list, tuple)):
        return f"{value:.4g}" if isinstance(value, float) else plain(value)
    if len(value) <= SHOWN:
        return ", ".join(map(_told, value))
    return f"{_told(min(value))} to {_told(max(value))} in {len(value)} columns"


def line(decided: Mapping[str, Any]) -> str:
    """The nested score of a metric's summary, for the terminal; decided: its `decided`."""
    values: Mapping[str, Any] = decided["values"]
    edges = f", 95 % interval over folds {interval(decided['interval_95'])}" if decided["interval_95"] else ""
    each = " ".join(number(value) for value in decided["folds"].values())
    told = described({"parameters": values}, values)
    return f"  decided {number(decided['mean'])} ± {decided['sd_ddof1']:.4f} sd{edges}   each {each}   nested; {told}"


def headline(summary: Mapping[str, Any]) -> Sequence[str]:
    """The sentence beside a run's score; nothing where the competition's metric is not decided."""
    if "decided" not in summary:
        return []
    decided = summary["decided"]
    return [
        f"With decisions ({escaped(described({'parameters': decided['values']}, decided['values']))}): "
        f"**{number(decided['mean'])}**, nested: each fold is decided at values fitted on the others."
    ]
