"""Cells of the experiment log as text: scores, differences, verdicts, budgets and what the table says of a remark."""

from __future__ import annotations

from collections import Counter

from goldfold.io.formatting import ROUNDING, change, count, duration, interval, number, signed_interval
from goldfold.trust.comparisons import Difference
from goldfold.trust.experiment_log.log import Entry
from goldfold.trust.experiment_log.rows import Row, sign
from goldfold.trust.experiment_log.runs import LoggedRun
from goldfold.trust.experiment_log.score_claims import shown
from goldfold.trust.run_comparison import worse_than_untrained

NONE = "-"


def cells(entry: Entry, metrics: list[str]) -> dict[str, str]:
    """Column -> text of a row, without the user's texts. metrics: columns, the ranking one first."""
    row, run = entry.row, entry.row.run
    return {
        "id": run.id,
        "run": run.name,
        "category": category(row),
        "compared with": compared_with(row),
        "what changed": changed(row),
        **{metric_title(metric, metric == metrics[0]): score(run, metric, metric == metrics[0]) for metric in metrics},
        "difference": difference_text(row, run.metric),
        "interval, verdict": interval_and_verdict(row, run.metric),
        "budget of a fit": budget(run),
        "findings": findings(run),
        "hidden score": NONE if run.hidden is None else number(run.hidden),
        "training, all fits": duration(run.seconds),
    }


def metric_title(metric: str, first: bool) -> str:
    return f"{metric}, mean ± sd (ddof=1)" + (" [95 % interval]" if first else "")


def category(row: Row) -> str:
    """The category; one that the user gave is shown as such, beside the computed one."""
    given = row.run.remarks.category
    return f"{given} (user's; computed: {row.category})" if given else row.category


def compared_with(row: Row) -> str:
    """The reference; says if the user chose it, and if a chosen one cannot be compared."""
    against, name = row.run.remarks.against, row.reference.name if row.reference else NONE
    if row.chosen:
        return f"{name} (user's choice)"
    return f"{name} (chosen {against} cannot be compared)" if against else name


def changed(row: Row) -> str:
    """What changed, after the number of changes if there are several."""
    return f"{row.several}: {row.changed}" if row.several else row.changed or NONE


def score(run: LoggedRun, metric: str, edges: bool = False) -> str:
    """Mean ± sd over folds with their number, and if `edges` the interval of the mean."""
    summary = run.metrics.get(metric)
    if summary is None:
        return NONE
    if summary["sd_ddof1"] is None:
        return f"{number(summary['mean'])} (one fold)"
    text = f"{number(summary['mean'])} ± {number(summary['sd_ddof1'])} (n={summary['n']})"
    return f"{text} {interval(summary['interval_95'])}" if edges else text


def difference_text(row: Row, metric: str) -> str:
    """The difference to the reference, absolute, in pp and in %."""
    found = row.differences.get(metric)
    return change(found.mean, found.relative, row.run.metrics[metric]["bounds"]) if found else NONE


def interval_and_verdict(row: Row, metric: str) -> str:
    """The interval of the difference, whether it is significant, and what speaks against it, such as the budgets."""
    found = row.differences.get(metric)
    if found is None:
        return NONE
    told = [verdict(found, sign(row.run.metrics[metric]))]
    told += worse_than_untrained(row.untrained).values() if metric == row.run.metric else []
    told += [each.code for each in row.unequal if each.level != "note"]
    return f"{signed_interval(found.interval)} {'; '.join(told)}"


def verdict(found: Difference, turn: int) -> str:
    """A difference in words. turn: 1 if higher scores are better, else -1."""
    if abs(found.mean) <= ROUNDING:
        return "equal"
    word = "better" if turn * found.mean > 0 else "worse"
    if found.interval is None:
        return f"{word}, one fold: significance unknown"
    return f"significantly {word}" if shown(found) else f"{word}, not significant"


def budget(run: LoggedRun) -> str:
    """Epochs, samples and seconds of a fit."""
    if run.blended or run.imported:
        return "none of its own"
    spent = run.budget
    if not spent["epochs"]:
        return "nothing trained by epochs"
    return f"{spent['epochs']:g} epochs, {count(round(spent['samples']), 'sample')}, {duration(spent['seconds'])}"


def findings(run: LoggedRun) -> str:
    """Codes of a run's findings with their numbers."""
    found = Counter(each["code"] for each in run.findings)
    return ", ".join(f"{code} x{times}" if times > 1 else code for code, times in found.items()) or "none"
