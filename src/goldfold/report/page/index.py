"""The index of a project's runs as one page: a table per competition with links to reports, logs and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from goldfold.experiment.run_folders import REPORT
from goldfold.io.files import read_json
from goldfold.io.formatting import count, interval, number
from goldfold.report.page import markup
from goldfold.report.page.layout import document
from goldfold.report.page.twin import section

HEADER = ("run", "score", "95 % interval", "findings", "started (UTC)", "metric")
SIDES = ("left", "right", "right", "right", "left", "left")


@dataclass(frozen=True)
class Listed:
    """The runs of a competition.

    runs: finished ones, the newest first. left_out: run -> why it has no line. pages: title -> HTML file, of the log,
    comparisons and studies.
    """

    runs: Sequence[Path]
    left_out: Mapping[str, str]
    pages: Mapping[str, Path]


def page(competitions: Mapping[str, Listed], root: Path, ledger: Path | None) -> str:
    """The text of index.html, whose links are relative to its folder.

    competitions: by name. root: the folder of the page. ledger: its HTML page, if there is one.
    """
    runs = sum(len(each.runs) for each in competitions.values())
    found = f"{count(runs, 'finished run')} of {count(len(competitions), 'competition')}"
    body = [f"<p>{found}.{_linked(' Submissions: ', {'ledger': ledger} if ledger else {}, root)}</p>"]
    body += [section(name, _competition(each, root)) for name, each in competitions.items()]
    return document("Runs", "\n".join(body))


def _competition(found: Listed, root: Path) -> str:
    rows = [_row(run, root) for run in found.runs]
    parts = [markup.table(HEADER, rows, SIDES)] if rows else ["<p>No finished run.</p>"]
    if found.pages:
        parts.append(f"<p>{_linked('', found.pages, root)}</p>")
    if found.left_out:
        told = "; ".join(f"{run}: {why}" for run, why in found.left_out.items())
        parts.append(f'<p class="note">Left out: {escape(told)}.</p>')
    return "\n".join(parts)


def _row(run: Path, root: Path) -> list[str]:
    name, summary = next(iter(read_json(run / "metrics.json").items()))
    edges, began = summary.get("interval_95"), str(read_json(run / "reproduce.json").get("started", "-"))
    return [
        f"[{run.name}]({_address(run / REPORT, root)})",
        number(summary["mean"]),
        interval(edges) if edges else "-",
        str(len(read_json(run / "findings.json"))),
        began[:16].replace("T", " "),
        name,
    ]


def _linked(before: str, pages: Mapping[str, Path], root: Path) -> str:
    links = (f'<a href="{_address(path, root)}">{escape(title)}</a>' for title, path in pages.items())
    return before + " · ".join(links) if pages else ""


def _address(path: Path, root: Path) -> str:
    """The address of a file relative to the folder of the page."""
    return quote(Path(relpath(path, root)).as_posix())
