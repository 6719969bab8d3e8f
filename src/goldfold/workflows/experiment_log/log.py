"""Write the experiment log of a competition: `log.md`, `log.html`, `log.csv` and the remarks by backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_text
from goldfold.report.experiment_log import page, table
from goldfold.report.experiment_log.html import html
from goldfold.report.plotting import markdown
from goldfold.trust.experiment_log.log import read_log

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.trust.audits import Finding


@dataclass(frozen=True, kw_only=True)
class ExperimentLog:
    """The experiment log of a competition.

    table: a row per finished run, see `report.experiment_log.table.table`. findings: remarks that the table
    contradicts. left_out: run -> why it has no row. files: that were written.
    """

    table: DataFrame
    findings: tuple[Finding, ...]
    left_out: Mapping[str, str]
    text: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def log(workspace: Workspace, competition: str) -> ExperimentLog:
    """Write the log of a competition's finished runs into the folder of its runs; every remark is checked again.

    Raises:
        GoldfoldError: there is no such competition, or it has no finished run that can be read.
    """
    workspace.competition(competition)
    found, place = read_log(workspace, competition), workspace.runs / competition
    if not found.entries:
        why = f" ({page.left_out(found)})" if found.left_out else ""
        raise GoldfoldError(
            "no_finished_run", f"{place} has no finished run to log{why}: start one with make train COMP={competition}"
        )
    rows = table.table(found)
    contents = {
        "log.md": page.page(competition, found),
        "log.html": html(competition, found),
        "log.csv": table.csv(rows),
        **table.backbone_csvs(found),
    }
    for name, content in contents.items():
        write_text(place / name, content)
    return ExperimentLog(
        table=rows,
        findings=tuple(finding for entry in found.entries for finding in entry.findings),
        left_out=found.left_out,
        text=f"{page.text(found)}\n{place}: {', '.join(contents)}",
        files=tuple(place / name for name in contents),
    )
