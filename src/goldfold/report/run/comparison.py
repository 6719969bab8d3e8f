"""Comparison of runs, as tables and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pandas import DataFrame

from goldfold.io.formatting import count, interval, number, plain
from goldfold.report.plotting import markdown
from goldfold.trust.comparisons import difference_text
from goldfold.trust.run_comparison import MetricComparison, RunComparison

TOLD = 84  # columns of a difference in words


def table(found: RunComparison, metric: str) -> DataFrame:
    """A row per run: one metric, its difference to the first run, and the budget of a fit.

    The index is the run's name. Columns: mean over folds, sd (ddof=1), chance level; difference, its 95 % interval
    (low, high), relative difference, number of folds where it is better, verdict in words, number of folds; untrained,
    the mean of the model before its first step; epochs, steps, samples and seconds of a fit; above_untrained, which is
    false for runs not shown to be better than an untrained baseline.
    """
    own = found.metrics[metric]
    rows = {name: _row(name, own) | dict(found.budgets[name]) for name in found.runs}
    frame = DataFrame.from_dict(rows, orient="index").rename_axis("run")
    frame = frame.astype(dict.fromkeys(("difference", "low", "high", "relative", "better", "untrained"), float))
    return frame.assign(above_untrained=[name not in own.below for name in found.runs])


def text(found: RunComparison) -> str:
    """Parameters in which the runs differ, a table per metric, and the findings."""
    lines = []
    if found.added:
        lines.append(f"added, since what was trained has to beat it: {', '.join(found.added)}")
    lines += _unlike(found)
    for metric, own in found.metrics.items():
        lines += [*_table(found, metric), *_over_seeds(own, max(map(len, found.runs)))]
    if found.not_shared:
        lines.append(f"not measured of all, or the same numbers again: {', '.join(found.not_shared)}")
    return "\n".join([*lines, *map(str, found.findings)])


def page(found: RunComparison) -> str:
    """The same as Markdown, with a table per metric."""
    parts = [f"# {found.runs[0]} and {count(len(found.runs) - 1, 'other run')}"]
    if found.added:
        parts.append(f"Added, since what was trained has to beat it: {', '.join(found.added)}.")
    parts.append("## What differs\n\n" + "\n".join(f"- {line}" for line in _unlike(found)))
    parts += [f"## {metric}\n\n{_page_table(found, metric)}" for metric in found.metrics]
    if found.not_shared:
        parts.append(f"Not measured of all, or the same numbers again: {', '.join(found.not_shared)}.")
    told = "\n".join(f"- **{each.level}** `{each.code}` ({each.where}): {each.message}" for each in found.findings)
    return "\n\n".join([*parts, f"## Findings\n\n{told or 'No findings.'}"]) + "\n"


def _page_table(found: RunComparison, metric: str) -> str:
    own = found.metrics[metric]
    first = own.summaries[found.runs[0]]
    better = "higher" if first["higher_is_better"] else "lower"
    header = ["run", "mean", f"difference, 95 % interval{together(len(own.differences))}", "verdict"]
    rows = []
    for name, summary in own.summaries.items():
        change, spent = own.differences.get(name), found.budgets[name]
        told = [difference_text(change, first["bounds"]), change.verdict] if change else ["-", "-"]
        told[1] += "; no better than nothing trained" if name in own.below else ""
        budget = [f"{spent['epochs']:.0f}", f"{spent['samples']:,.0f}", f"{spent['seconds']:.1f}"]
        rows.append([name, number(summary["mean"]), *told, *budget])
    note = (
        f"{better.capitalize()} is better; chance level {number(first['chance'])}. Differences are to {found.runs[0]}, "
        f"paired over {count(first['n'], 'fold')}. Epochs, samples and seconds are those of a fit."
    )
    return f"{markdown.table([*header, 'epochs', 'samples', 'seconds'], rows)}\n\n{note}"


def _row(name: str, own: MetricComparison) -> dict[str, Any]:
    summary, found = own.summaries[name], own.differences.get(name)
    low, high = (found.interval if found else None) or (None, None)
    return {
        "mean": summary["mean"],
        "sd": summary["sd_ddof1"],
        "chance": summary["chance"],
        "difference": found.mean if found else None,
        "low": low,
        "high": high,
        "relative": found.relative if found else None,
        "better": found.better if found else None,
        "verdict": found.verdict if found else None,
        "folds": summary["n"],
        "untrained": summary["untrained"]["mean"] if "untrained" in summary else None,
    }


def _unlike(found: RunComparison) -> list[str]:
    """A line per run: its parameters that differ between runs, and whether data or code are not the first run's."""
    configs, others = found.configs, {"unequal_data": "other data", "unequal_code": "other code"}
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    values = {key: {plain(config[key]) for config in configs.values() if key in config} for key in keys}
    unlike = [key for key, found in values.items() if len(found) > 1 and key != "debug"]
    if any("decide" not in config for config in configs.values()) and "decide" in values:
        unlike.append("decide")  # configs have this key only if they decide
    unlike = list(dict.fromkeys(unlike))
    wide = max(map(len, configs))
    lines = []
    for name, config in configs.items():
        own = ", ".join(f"{key} {plain(config[key])}" for key in unlike if key in config)
        unlike_inputs = [others[each.code] for each in found.findings if each.where == name and each.code in others]
        lines.append(f"{name:{wide}}  {', '.join([own or 'the same parameters', *unlike_inputs])}")
    return lines


def _table(found: RunComparison, metric: str) -> list[str]:
    """A line per run: mean over folds, difference to the first run, and budget of a fit."""
    own, wide = found.metrics[metric], max(map(len, found.runs))
    first = own.summaries[found.runs[0]]
    better = "higher" if first["higher_is_better"] else "lower"
    lines = [
        f"{metric}, {better} is better, chance {first['chance']:.4f}; differences to {found.runs[0]}, paired over folds"
    ]
    edges = "95 % interval" + together(len(own.differences))
    lines.append(f"  {'run':{wide}}  mean    {f'difference, {edges}, better in':{TOLD}}  epochs  samples  s per fit")
    for name, summary in own.summaries.items():
        told = ""
        if change := own.differences.get(name):
            told = f"{difference_text(change, first['bounds'])}: {change.verdict}"
        spent = found.budgets[name]
        figures = f"{spent['epochs']:6.0f}  {spent['samples']:7,.0f}  {spent['seconds']:9.1f}"
        mark = f"  {own.below[name]}" if name in own.below else ""
        lines.append(f"  {name:{wide}}  {summary['mean']:.4f}  {told:{TOLD}}  {figures}{mark}")
    return lines + _starts(own.summaries, wide)


def _starts(summaries: Mapping[str, Mapping[str, Any]], wide: int) -> list[str]:
    """A line per model that runs started from: its score with nothing trained, on the same folds."""
    starts: dict[float, list[str]] = {}
    for name, summary in summaries.items():
        if "untrained" in summary:
            starts.setdefault(summary["untrained"]["mean"], []).append(name)
    return [
        f"  {'(untrained)':{wide}}  {mean:.4f}  what {', '.join(runs)} started from" for mean, runs in starts.items()
    ]


def together(differences: int) -> str:
    """What intervals of so many differences have in common, after "interval"."""
    return f" ({differences} at once)" if differences > 1 else ""


def _over_seeds(own: MetricComparison, wide: int) -> Sequence[str]:
    """A line per run of several seeds: the mean of the seeds' means over folds, with its interval."""
    if not own.seeds:
        return []
    lines = ["  95 % intervals over seeds (t): what the draw of a training changes, on the same folds"]
    for name, found in own.seeds.items():
        edges = interval(found["interval_95"])
        lines.append(f"  {name:{wide}}  {number(found['mean'])} {edges} over {found['n']} seeds")
    return lines
