"""The section of a run in the experiment log, as values that Markdown and HTML format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldfold.io.formatting import interval, number, plain
from goldfold.report.experiment_log import cells
from goldfold.trust.experiment_log.log import Entry
from goldfold.trust.experiment_log.rows import Row, sign
from goldfold.trust.experiment_log.standing import Standing
from goldfold.trust.untrained_baselines import LEFT_AS_WRITTEN

CONFIG = ("key", "value", "default")
RESULT = ("metric", "mean ± sd (ddof=1)", "95 % interval", "chance level", "difference", "interval, verdict")
TITLES = {"text": "Remark", "conclusion": "Conclusions", "next": "Next steps"}
NOTED = ("error", "warning")  # levels of findings that the analysis repeats


@dataclass(frozen=True)
class Section:
    """One run. facts: name -> text. config, result: rows of tables. texts: the user's, by title."""

    id: str
    facts: dict[str, str]
    config: Sequence[Sequence[str]]
    result: Sequence[Sequence[str]]
    analysis: Sequence[str]
    texts: dict[str, Standing]


def section(entry: Entry) -> Section:
    row, run = entry.row, entry.row.run
    facts = {
        "run": run.name,
        "date": f"{run.started:%Y-%m-%d %H:%M} {run.started.tzname() or 'UTC'}",
        "category": cells.category(row),
        "compared with": cells.compared_with(row),
        "what changed": cells.changed(row),
        "budget of a fit": cells.budget(run),
        "findings": cells.findings(run),
        "hidden score": cells.NONE if run.hidden is None else number(run.hidden),
    }
    texts = {TITLES[each.field]: each for each in entry.standings}
    return Section(run.id, facts, _config(row), _result(row), analysis(row), texts)


def _config(row: Row) -> list[list[str]]:
    """The keys that differ from the recipe's defaults; all that are known where these are not."""
    own, defaults = row.run.config, row.run.defaults
    keys = [key for key in own if key not in LEFT_AS_WRITTEN and (key == "recipe" or own[key] != defaults.get(key))]
    return [[key, plain(own[key]), plain(defaults[key]) if key in defaults else cells.NONE] for key in keys]


def _result(row: Row) -> list[list[str]]:
    return [
        [
            metric,
            cells.score(row.run, metric),
            interval(summary["interval_95"]) if summary.get("interval_95") else cells.NONE,
            number(summary["chance"]),
            cells.difference_text(row, metric),
            cells.interval_and_verdict(row, metric),
        ]
        for metric, summary in row.run.metrics.items()
    ]


def analysis(row: Row) -> list[str]:
    """Computed sentences: the verdict, its possible causes, chance level, untrained runs, findings."""
    run, found = row.run, row.differences.get(row.run.metric)
    lines = []
    if found and row.reference:
        told = f"{cells.difference_text(row, run.metric)}, 95 % interval {cells.interval_and_verdict(row, run.metric)}"
        lines.append(
            f"{run.metric} against {row.reference.name}: {told}; better in {found.better} of {found.folds} folds"
        )
    else:
        lines.append("There is no earlier run to compare it with")
    lines += [row.several] if row.several else []
    lines += [f"{each.level} {each.code}: {each.message}" for each in (*row.unequal, *row.untrained)]
    summary = run.metrics[run.metric]
    if not sign(summary) * (summary["mean"] - summary["chance"]) > 0:
        lines.append(
            f"{run.metric} {number(summary['mean'])} is no better than its chance level {number(summary['chance'])}"
        )
    lines += [f"{each['level']} {each['code']}: {each['message']}" for each in run.findings if each["level"] in NOTED]
    return [f"{line.rstrip('.')}." for line in dict.fromkeys(lines)]
