"""Write a run's report: one HTML page with its scores, pictures and findings."""

from __future__ import annotations

from pathlib import Path

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity import intact
from goldfold.experiment.run_folders import REPORT, list_runs, run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_text
from goldfold.report.page.run import page


def report(workspace: Workspace, run: Path) -> Path:
    """Write `report.html` into the folder of a finished run; returns its path.

    The page needs no other file. Earlier runs of the competition are drawn beside the run's score.

    Raises:
        GoldfoldError: a file of the run is missing, damaged or not the one it wrote.
    """
    intact.refuse_damaged(run)
    others = [each for each in list_runs(workspace.runs) if each.parent == run.parent]
    try:
        text = page(run, others)
    except GoldfoldError:
        raise
    except intact.UNREADABLE as error:
        raise GoldfoldError(
            "run_damaged",
            f"run '{run_name(run)}' cannot be read ({type(error).__name__}: {error}): delete {run} and train it again",
        ) from error
    write_text(run / REPORT, text)
    return run / REPORT


def outdated(run: Path) -> bool:
    """Whether a finished run has no report, or one that is older than another file of its folder."""
    if not (run / REPORT).exists():
        return True
    written = (run / REPORT).stat().st_mtime
    return any(path.stat().st_mtime > written for path in run.iterdir() if path.is_file() and path.name != ".lock")
