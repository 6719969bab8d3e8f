"""`grade`: a run's submission against the hidden labels of a competition that hosts itself."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.io.files import read_json, write_json
from goldfold.submission import writing as submissions
from goldfold.workflows.conclude import write_record

if TYPE_CHECKING:
    from pandas import DataFrame


def run(arguments: Namespace) -> None:
    folder = runs.find(workspace.RUNS, arguments.run)
    score = grade(folder)
    name, summary = next(iter(read_json(folder / "metrics.json").items()))
    print(f"{runs.run_name(folder)}  {name}: hidden labels {score:.4f}, CV {summary['mean']:.4f}")
    print("choose between runs by CV: every look at the hidden labels makes them a little less hidden")


def grade(run: Path) -> float:
    """The leaderboard's score of a run's submission, noted in the run and in its record.

    Raises:
        GoldfoldError: only Kaggle can tell, or the submission is not there.
    """
    name = run.parent.name
    competition = workspace.competition(name)
    solution = workspace.data(name) / "private" / "solution.csv"
    if competition.grade is None or not solution.exists():
        raise GoldfoldError(f"'{name}' keeps no hidden labels here: only Kaggle can score its submissions")
    submission, sample = checked(run)
    score = competition.grade(submission, submissions.read(solution, sample))
    write_json(run / "grade.json", {"score": score})
    write_record(run)
    return score


def checked(run: Path) -> tuple[DataFrame, DataFrame]:
    """A run's submission as it wrote it, and the sample submission it was checked against.

    Raises:
        GoldfoldError: the file is missing, was edited, or is not what the competition wants; or the run is an
            exploration that breaks a rule.
    """
    name = run.parent.name
    if any(finding["code"] == "rule_broken" for finding in read_json(run / "findings.json")):
        raise GoldfoldError(f"run '{run.name}' breaks a rule of '{name}': an exploration has no submission")
    competition, path = workspace.competition(name), workspace.SUBMISSIONS / name / f"{run.name}.csv"
    submissions.check_unchanged(path)
    data = workspace.load(name, competition)
    submission = submissions.read(path, data.sample_submission)
    submissions.check(submission, data.sample_submission, data.test, competition.submission)
    return submission, data.sample_submission
