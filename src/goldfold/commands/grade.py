"""`grade`: a run's submission against the hidden labels of a competition that hosts itself."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from goldfold.commands import project
from goldfold.commands.finish import write_record
from goldfold.delivery import submissions
from goldfold.engine import runs
from goldfold.errors import GoldfoldError
from goldfold.files import read_json, write_json


def run(arguments: Namespace) -> None:
    folder = runs.find(project.RUNS, arguments.run)
    score = grade(folder)
    name, summary = next(iter(read_json(folder / "metrics.json").items()))
    print(f"{folder.parent.name}/{folder.name}  {name}: hidden labels {score:.4f}, CV {summary['mean']:.4f}")
    print("choose between runs by CV: every look at the hidden labels makes them a little less hidden")


def grade(run: Path) -> float:
    """The leaderboard's score of a run's submission, noted in the run and in its record.

    Raises:
        GoldfoldError: only Kaggle can tell, or the submission is not there.
    """
    name = run.parent.name
    competition = project.competition(name)
    solution = project.data(name) / "private" / "solution.csv"
    if competition.grade is None or not solution.exists():
        raise GoldfoldError(f"'{name}' keeps no hidden labels here: only Kaggle can score its submissions")
    if any(finding["code"] == "rule_broken" for finding in read_json(run / "findings.json")):
        raise GoldfoldError(f"run '{run.name}' breaks a rule of '{name}': an exploration has no submission to grade")
    data = project.load(name, competition)
    path = project.SUBMISSIONS / name / f"{run.name}.csv"
    submissions.refuse_edited(path)
    submission = submissions.read(path, data.sample_submission)
    submissions.check(submission, data.sample_submission, data.test, competition.submission)
    score = competition.grade(submission, submissions.read(solution, data.sample_submission))
    write_json(run / "grade.json", {"score": score})
    write_record(run)
    return score
