"""Score a run's submission against the hidden labels of a competition that keeps them on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.decisions.use import for_writer
from goldfold.experiment.failures import carried_out
from goldfold.experiment.identity import manifest
from goldfold.experiment.run_folders import GRADE, REFIT, refuse_changed, run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_array, read_json
from goldfold.submission import writing
from goldfold.trust import confirmation
from goldfold.trust.audits import Finding
from goldfold.workflows.conclude import add_findings, refuse_exploration, remove_findings, write_record

if TYPE_CHECKING:
    from pandas import DataFrame

HIDDEN = "hidden labels"  # the place of a finding


def grade(workspace: Workspace, run: Path) -> float:
    """Score a run's submission with the competition's `grade`, and return that score.

    What each fit alone, and a refit on all rows, would have scored is written beside it into grade.json and the record.

    Raises:
        GoldfoldError: only Kaggle has the labels (`no_hidden_labels`), or there is no valid submission.
    """
    score, solution_file = hidden_labels(workspace, run.parent.name)
    submission, sample = checked_submission(workspace, run)
    solution = writing.read(solution_file, sample)
    found: dict[str, Any] = {"score": score(submission, solution)}
    refit = workspace.refit_submission_path(run)
    if (run / REFIT).exists() and refit.exists():
        found["refit"] = score(checked_submission(workspace, run, refit)[0], solution)
    found["fits"] = [{**fit, "score": score(frame, solution)} for fit, frame in _submissions_of_fits(workspace, run)]
    manifest.write_value(run, GRADE, found)
    remove_findings(run, confirmation.CODE, HIDDEN)
    if findings := _unlike_validation(run, found["score"], len(workspace.load(run.parent.name).test)):
        add_findings(workspace, run, findings)  # writes the record, too
    else:
        write_record(workspace, run)
    return found["score"]


def _unlike_validation(run: Path, score: float, rows: int) -> list[Finding]:
    """Whether the hidden score is worse than the run's cross-validation lets expect."""
    metric, summary = next(iter(read_json(run / "metrics.json").items()))
    codes = [each["code"] for each in read_json(run / "findings.json")]
    return confirmation.not_confirmed(metric, summary, score, rows, HIDDEN, codes)


def hidden_labels(workspace: Workspace, name: str) -> tuple[Callable[[DataFrame, DataFrame], float], Path]:
    """A competition's `grade`, and the file with its hidden labels.

    Raises:
        GoldfoldError: only Kaggle has the labels (`no_hidden_labels`).
    """
    score = workspace.competition(name).grade
    if score is None or not has_hidden_labels(workspace, name):
        raise GoldfoldError(
            "no_hidden_labels", f"'{name}' keeps no hidden labels here: only Kaggle can score its submissions"
        )
    return score, _solution(workspace, name)


def has_hidden_labels(workspace: Workspace, name: str) -> bool:
    """Whether a competition can score submissions on this machine."""
    return workspace.competition(name).grade is not None and _solution(workspace, name).exists()


def _solution(workspace: Workspace, name: str) -> Path:
    return workspace.data(name) / "private" / "solution.csv"


def _submissions_of_fits(workspace: Workspace, run: Path) -> Iterator[tuple[dict[str, int], DataFrame]]:
    """fold and seed of each fit, with the checked submission of its model alone; a blend has none."""
    competition, data = workspace.competition(run.parent.name), workspace.load(run.parent.name)
    for place in sorted(path.parent for path in run.glob("fold*-seed*/test.npy")):
        facts, predictions = read_json(place / "fit.json"), read_array(place / "test.npy")
        predictions = for_writer(competition, run, data.test, predictions)
        frame = carried_out(competition.slug, competition.submission.write, data.test, predictions)
        writing.check(frame, data.sample_submission, data.test, competition.submission)
        yield {"fold": facts["fold"], "seed": facts["seed"]}, writing.read_back(frame, data.sample_submission)


def checked_submission(workspace: Workspace, run: Path, path: Path | None = None) -> tuple[DataFrame, DataFrame]:
    """Read and check a run's submission; returns it and the sample submission.

    path: of the submission, that of the folds by default.

    Raises:
        GoldfoldError: the file is missing, was edited, or is not valid; the run was edited (`run_changed`) or breaks a
            rule of its competition (`exploration`).
    """
    name = run.parent.name
    refuse_changed(workspace, run)
    refuse_exploration(run)
    path, data = path or workspace.submission_path(run), workspace.load(name)
    writing.check_unchanged(path, run_name(run))
    rules = workspace.competition(name).submission
    submission = writing.read_checked(path, data.sample_submission, data.test, rules)
    return submission, data.sample_submission
