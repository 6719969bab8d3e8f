"""Whether the scores of submissions confirm the cross-validation of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from goldfold.experiment.identity import intact
from goldfold.experiment.run_folders import FINISHED
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.kaggle.ledger import Attempt
from goldfold.trust import confirmation
from goldfold.trust.audits import Finding

REFIT = "-refit"  # ends the name of a submission that a refit on all rows made


def unconfirmed(workspace: Workspace, attempts: Sequence[Attempt]) -> list[Finding]:
    """The submissions whose public or private score is worse than the CV of their run lets expect.

    The public score is taken to be of half of the test rows on the local board, and of 30 % on Kaggle, which does not
    tell; the private score of the others. Runs whose folder is gone or damaged are left out.
    """
    return [finding for attempt in attempts for finding in _of_attempt(workspace, attempt)]


def _of_attempt(workspace: Workspace, attempt: Attempt) -> list[Finding]:
    run = workspace.runs / attempt.competition / attempt.run.removesuffix(REFIT)
    if attempt.state != "scored" or not (run / FINISHED).exists() or intact.fault(run):
        return []
    summary = read_json(run / "metrics.json").get(attempt.metric)
    if summary is None:
        return []
    rows, codes = _test_rows(run), [each["code"] for each in read_json(run / "findings.json")]
    share = 0.5 if attempt.service == "local" else confirmation.SHARE_UNKNOWN
    findings = []
    for part, score, of in (("public", attempt.public, share), ("private", attempt.private, 1 - share)):
        if score is not None:
            where = f"{part} score of {attempt.run} on {attempt.service}"
            findings += confirmation.not_confirmed(
                attempt.metric, summary, score, max(1, round(of * rows)), where, codes
            )
    return findings


def _test_rows(run: Path) -> int:
    with (run / "test_ids.csv").open(encoding="utf-8") as lines:
        return sum(1 for _ in lines) - 1
