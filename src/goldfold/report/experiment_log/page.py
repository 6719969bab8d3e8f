"""The experiment log as Markdown, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from goldfold.io.formatting import shortened
from goldfold.report.experiment_log import cells
from goldfold.report.experiment_log.sections import CONFIG, RESULT, Section, section
from goldfold.report.plotting.markdown import escaped, table
from goldfold.trust.experiment_log.log import Entry, Log
from goldfold.trust.experiment_log.standing import Standing

NOTE = (
    "Everything but remark, conclusions and next steps is computed from the run folders. Differences are paired over "
    "folds, to the run compared with; their 95 % intervals are corrected for shared training rows. Superlatives, "
    "directions, differences in numbers and what a text says was changed are checked against this table; other text is "
    "not. A text that the table contradicts is struck through."
)
PRINTED = ("id", "category", "compared with", "difference", "interval, verdict")
WIDEST = 60  # columns of a user's text in a terminal
SAYS = "what the table says"


def page(competition: str, log: Log) -> str:
    """The text of log.md: the table, the oldest run first, and a section per run, the newest first."""
    metrics = log.metrics
    rows = [_row(entry, metrics) for entry in log.entries]
    parts = [f"# Experiment log of {competition}", NOTE, table(list(rows[0]), [list(row.values()) for row in rows], 99)]
    parts += [left_out(log)] if log.left_out else []
    parts += [_section(section(entry)) for entry in log.entries[::-1]]
    return "\n\n".join(parts) + "\n"


def left_out(log: Log) -> str:
    """A line that names the runs without a row."""
    return f"Left out: {'; '.join(f'{run}, since {why}' for run, why in log.left_out.items())}."


def text(log: Log) -> str:
    """The most important columns, the runs left out and the findings on remarks, for a terminal."""
    metrics, rows = log.metrics, []
    for entry in log.entries:
        found = cells.cells(entry, metrics)
        own, remark = {name: found[name] for name in PRINTED}, entry.standing("text")
        own[f"{metrics[0]}, mean ± sd (ddof=1)"] = cells.score(entry.row.run, metrics[0])
        own["remark"] = shortened(remark.text, WIDEST) if remark else cells.NONE
        own[SAYS] = shortened(remark.told, WIDEST) if remark else cells.NONE
        rows.append(own)
    lines = [table(list(rows[0]), [list(row.values()) for row in rows], 99)]
    lines += [left_out(log)] if log.left_out else []
    return "\n".join([*lines, *(str(finding) for entry in log.entries for finding in entry.findings)])


def _row(entry: Entry, metrics: Sequence[str]) -> dict[str, str]:
    remark = entry.standing("text")
    found = {name: escaped(text) for name, text in cells.cells(entry, list(metrics)).items()}
    return {**found, "remark": _struck(remark) if remark else cells.NONE, SAYS: _told(remark)}


def _struck(found: Standing) -> str:
    """A text on one line, struck through if the table contradicts it."""
    plain = escaped(" ".join(found.text.split()))
    return f"~~{plain}~~" if found.refuted and plain else plain


def _told(found: Standing | None) -> str:
    return escaped(found.told) if found else cells.NONE


def _section(found: Section) -> str:
    parts = [f"## {escaped(found.id)}", "\n".join(f"- {name}: {escaped(text)}" for name, text in found.facts.items())]
    if found.config:
        parts += ["### Configuration", _table(CONFIG, found.config, 3)]
    parts += ["### Result", _table(RESULT, found.result, 6)]
    parts += ["### Analysis", "\n".join(f"- {escaped(line)}" for line in found.analysis)]
    for title, each in found.texts.items():
        parts += [f"### {title}", _quoted(each), f"The table says: {escaped(each.told)}."]
    return "\n\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    return table(header, [[escaped(cell) for cell in row] for row in rows], left)


def _quoted(found: Standing) -> str:
    """A user's text as a quotation, its lines kept."""
    lines = [escaped(line.strip()) for line in found.text.splitlines()]
    return "\n".join(f"> ~~{line}~~  " if found.refuted and line else f"> {line}  " for line in lines).rstrip()
