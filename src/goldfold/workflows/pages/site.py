"""Write the index of a project's runs, `runs/index.html`, and the reports that are missing or out of date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity import intact
from goldfold.experiment.run_folders import FINISHED, list_runs
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_text
from goldfold.io.formatting import count
from goldfold.report.page import index
from goldfold.report.page.index import Listed
from goldfold.workflows.pages.report import outdated, report

INDEX = "index.html"
PAGES = ("log.html", "comparisons/*.html", "comparisons/*/*.html", "studies/*/*.html")  # beside the runs


@dataclass(frozen=True)
class Site:
    """The index of all runs. reports: those written now. left_out: run -> why it has no report."""

    path: Path
    reports: tuple[Path, ...]
    left_out: dict[str, str]
    text: str

    def __str__(self) -> str:
        return self.text


def site(workspace: Workspace) -> Site:
    """Write `runs/index.html` with links to every report, experiment log, comparison and study.

    Raises:
        GoldfoldError: there is no finished run.
    """
    folders = list_runs(workspace.runs)
    finished = [folder for folder in folders if (folder / FINISHED).exists()]
    if not finished:
        raise GoldfoldError(
            "no_finished_run",
            f"there is no finished run in {workspace.runs}: start one with make train COMP=digits CONFIG=baseline",
        )
    written, left_out = _reports(workspace, finished)
    left_out |= {folder: why for folder in finished if folder not in left_out and (why := intact.fault(folder))}
    left_out |= {folder: "not finished" for folder in folders if folder not in finished}
    names = sorted({folder.parent.name for folder in folders})
    listed = {name: _listed(workspace.runs / name, folders, left_out) for name in names}
    ledger = workspace.submissions / "ledger.html"
    path = workspace.runs / INDEX
    write_text(path, index.page(listed, workspace.runs, ledger if ledger.exists() else None))
    told = f"{path}: {count(len(finished), 'finished run')}, {count(len(written), 'report')} written now"
    unread = {folder.name: why for folder, why in left_out.items() if folder in finished}
    lines = [told, *(f"left out: {name}, since {why}" for name, why in unread.items())]
    return Site(path, tuple(written), unread, "\n".join(lines))


def _reports(workspace: Workspace, finished: Sequence[Path]) -> tuple[list[Path], dict[Path, str]]:
    """Write the reports that are missing or older than their run; also says which runs cannot be read."""
    written, left_out = [], {}
    due = [folder for folder in finished if outdated(folder)]
    for done, folder in enumerate(due):
        workspace.observer.work("reports", done, len(due))
        try:
            written.append(report(workspace, folder))
        except GoldfoldError as error:
            left_out[folder] = str(error)
    workspace.observer.close()
    return written, left_out


def _listed(place: Path, folders: Sequence[Path], left_out: Mapping[Path, str]) -> Listed:
    """A competition's runs, the newest first, and the pages beside them."""
    own = [folder for folder in folders if folder.parent == place][::-1]
    pages = sorted(path for pattern in PAGES for path in place.glob(pattern))
    return Listed(
        runs=[folder for folder in own if folder not in left_out],
        left_out={folder.name: left_out[folder] for folder in own if folder in left_out},
        pages={_title(path, place): path for path in pages},
    )


def _title(path: Path, place: Path) -> str:
    """What a page beside the runs is, such as `studies/baseline`."""
    if path.parent == place:
        return "experiment log"
    inside = path.relative_to(place)
    return inside.with_suffix("").as_posix() if len(inside.parts) == 2 else inside.parent.as_posix()
