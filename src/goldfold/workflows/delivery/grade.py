"""Score a run's submission against the hidden labels of a competition that keeps them on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_json
from goldfold.submission import writing
from goldfold.workflows.conclude import write_record

if TYPE_CHECKING:
    from pandas import DataFrame


def grade(workspace: Workspace, run: Path) -> float:
    """Score a run's submission with the competition's `grade`; the score is written into the run folder and its record.

    Raises:
        GoldfoldError: only Kaggle has the labels (`no_hidden_labels`), or there is no valid submission.
    """
    name = run.parent.name
    competition = workspace.competition(name)
    solution = workspace.data(name) / "private" / "solution.csv"
    if competition.grade is None or not solution.exists():
        raise GoldfoldError(
            "no_hidden_labels", f"'{name}' keeps no hidden labels here: only Kaggle can score its submissions"
        )
    submission, sample = checked_submission(workspace, run)
    score = competition.grade(submission, writing.read(solution, sample))
    write_json(run / "grade.json", {"score": score})
    write_record(workspace, run)
    return score


def checked_submission(workspace: Workspace, run: Path) -> tuple[DataFrame, DataFrame]:
    """Read and check a run's submission; returns it and the sample submission.

    Raises:
        GoldfoldError: the file is missing, was edited, or is not valid; or the run breaks a rule of its competition
            (`exploration`).
    """
    name = run.parent.name
    if any(finding["code"] == "rule_broken" for finding in read_json(run / "findings.json")):
        raise GoldfoldError(
            "exploration", f"run '{run.name}' breaks a rule of '{name}': an exploration has no submission"
        )
    path, data = workspace.submission_path(run), workspace.load(name)
    writing.check_unchanged(path)
    rules = workspace.competition(name).submission
    submission = writing.read_checked(path, data.sample_submission, data.test, rules)
    return submission, data.sample_submission
