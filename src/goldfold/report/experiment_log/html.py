"""The experiment log as one HTML page without external resources."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from goldfold.report.experiment_log import cells
from goldfold.report.experiment_log.page import NOTE, SAYS, left_out
from goldfold.report.experiment_log.sections import CONFIG, RESULT, Section, section
from goldfold.report.page.layout import document
from goldfold.trust.experiment_log.log import Entry, Log
from goldfold.trust.experiment_log.standing import Standing

STYLE = Path(__file__).with_name("log.css")


def html(competition: str, log: Log) -> str:
    """The text of log.html; every text of the runs and of the user is escaped."""
    rows = [_row(entry, log.metrics) for entry in log.entries]
    parts = [
        f'<p class="note">{escape(NOTE)}</p>',
        f'<div class="log">{_table([escape(name) for name in rows[0]], [list(row.values()) for row in rows])}</div>',
        *([f"<p>{escape(left_out(log))}</p>"] if log.left_out else []),
        *(_section(section(entry)) for entry in log.entries[::-1]),
    ]
    return document(f"Experiment log of {competition}", "\n".join(parts), STYLE)


def _row(entry: Entry, metrics: Sequence[str]) -> dict[str, str]:
    """Column -> HTML of a cell."""
    found = {name: _computed(text) for name, text in cells.cells(entry, list(metrics)).items()}
    found["id"] = f'<a href="#{escape(entry.row.run.name)}">{found["id"]}</a>'
    remark = entry.standing("text")
    return {**found, "remark": _struck(remark) if remark else "", SAYS: escape(remark.told) if remark else ""}


def _computed(text: str) -> str:
    """A text that is not the user's; its arrows are not broken at the end of a line."""
    return escape(text).replace("-&gt;", "→")


def _struck(found: Standing) -> str:
    plain = "<br>".join(escape(found.text).splitlines())
    return f"<s>{plain}</s>" if found.refuted else plain


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells know their column's name, which narrow screens show beside them."""
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    body = "\n".join(f"<tr>{_cells(header, row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cells(header: Sequence[str], row: Sequence[str]) -> str:
    return "".join(f'<td data-column="{name}">{cell}</td>' for name, cell in zip(header, row, strict=True))


def _section(found: Section) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{_computed(text)}</dd>" for name, text in found.facts.items())
    parts = [f"<h2>{escape(found.id)}</h2>", f"<dl>{facts}</dl>"]
    if found.config:
        parts += ["<h3>Configuration</h3>", _escaped_table(CONFIG, found.config)]
    parts += ["<h3>Result</h3>", _escaped_table(RESULT, found.result), "<h3>Analysis</h3>"]
    parts.append(f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in found.analysis)}</ul>")
    for title, each in found.texts.items():
        mark = ' class="refuted"' if each.refuted else ""
        parts += [f"<h3>{title}</h3>", f"<blockquote{mark}>{_struck(each)}</blockquote>"]
        parts.append(f"<p>The table says: {escape(each.told)}.</p>")
    return f'<section id="{escape(found.facts["run"])}">\n' + "\n".join(parts) + "\n</section>"


def _escaped_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return _table([escape(name) for name in header], [[escape(cell) for cell in row] for row in rows])
