"""Submit a run: check its file, upload it to Kaggle or to the local board, wait for its score, write the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.kaggle import service, upload
from goldfold.kaggle.ledger import Attempt
from goldfold.kaggle.service import Service
from goldfold.kaggle.submission_requests import Kernel, SubmissionRequest, sha256_of
from goldfold.kaggle.tracking import SubmissionContext, Timeouts
from goldfold.trust.audits import Finding
from goldfold.workflows.delivery import confirm, recomputed_cv
from goldfold.workflows.delivery.grade import checked_submission
from goldfold.workflows.experiment_log.remark import check_message


@dataclass(frozen=True)
class Submitted:
    """Result of a submission. attempt: its ledger row. metric: name of the CV metric. ledger: the ledger file.

    findings: a score that does not confirm the CV.
    """

    attempt: Attempt
    metric: str
    ledger: Path
    findings: Sequence[Finding] = ()

    @property
    def outcome(self) -> str:
        """One of scored, error, pending, unknown and failed."""
        return upload.outcome(self.attempt)

    @property
    def text(self) -> str:
        found = [f"\n{finding}" for finding in self.findings]
        return "\n".join([outcome_line(self.attempt, self.metric), f"ledger {self.ledger.with_suffix('.csv')}", *found])

    def __str__(self) -> str:
        return self.text


def submit(
    workspace: Workspace,
    run: Path,
    *,
    to: str = "kaggle",
    message: str = "",
    refit: bool = False,
    again: bool = False,
    late: bool = False,
    wait: int = 600,
    accept: Sequence[str] = (),
) -> Submitted:
    """Upload a finished run's submission and wait for its score.

    Sends the file `submissions/<competition>/<run>.csv` unchanged, with the description
    `message run cv=... file=... [tag]`; see `goldfold.kaggle.upload`. The ledger records every step.

    to: kaggle, or local for the board of this project. message: text before the run's name. refit: send the submission
    of the refit on all rows, `<run>-refit.csv`, named so in the ledger, with the CV of the folds. again: send a file
    that was sent before. late: send it after the deadline. wait: seconds to wait for the score. accept: `remark_untrue`
    sends a message that the experiment log contradicts.

    Raises:
        GoldfoldError: the message is untrue, the file is not valid, or the service does not accept it; nothing was
            submitted.
    """
    check_message(workspace, run, message, accept)
    place = service_of(workspace, to)
    request = submission_request(workspace, run, note=message, refit=refit, again=again, late=late)
    context = SubmissionContext(place, workspace.ledger, Timeouts(wait_s=wait), workspace.observer.line)
    attempt = upload.submit(request, context)
    return Submitted(attempt, request.metric, workspace.ledger, confirm.unconfirmed(workspace, [attempt]))


def service_of(workspace: Workspace, to: str) -> Service:
    """Kaggle if `to` is kaggle, else the local board."""
    return service.kaggle() if to == "kaggle" else service.local(workspace.board)


def submission_request(
    workspace: Workspace,
    run: Path,
    *,
    note: str = "",
    refit: bool = False,
    again: bool = False,
    late: bool = False,
) -> SubmissionRequest:
    """Check a finished run's submission, or that of its refit, and describe it; raises as `checked_submission`.

    Its CV is computed again from the out-of-fold predictions (`cv_not_repeated`).
    """
    name, path = run.parent.name, workspace.refit_submission_path(run) if refit else workspace.submission_path(run)
    if refit and not path.exists():
        raise GoldfoldError(
            "no_refit", f"run '{run.name}' has no refit on all rows: make refit RUN={run_name(run)} first"
        )
    competition = workspace.competition(name)
    workspace.observer.line(f"checking {path}")
    checked_submission(workspace, run, path)
    own = recomputed_cv.check(competition, workspace.load(name), run)
    return SubmissionRequest(
        competition=name,
        slug=competition.slug,
        run=path.stem,
        path=path,
        metric=competition.metric.name,
        higher_is_better=competition.metric.higher_is_better,
        cv=own["mean"],
        cv_sd=own["sd_ddof1"],
        cv_folds=own["n"],
        note=note,
        again=again,
        late=late,
        kernel=_kernel(path),
    )


def _kernel(path: Path) -> Kernel | None:
    """The notebook that `make notebook` wrote for `path`; None if there is none, or it is for another file."""
    facts: dict[str, Any] = {}
    with suppress(GoldfoldError):
        facts = read_json(path.with_name(f"{path.stem}-notebook") / "notebook.json", dict)
    return Kernel(facts["kernel"], facts["file"]) if facts.get("sha256") == sha256_of(path) else None


def outcome_line(attempt: Attempt, metric: str) -> str:
    """Outcome of an attempt in one line."""
    spread = "" if attempt.cv_sd is None else f" ± {attempt.cv_sd:.4f} sd over folds (ddof=1)"
    cv = f"{metric} CV {attempt.cv:.4f}{spread}"
    scores = [f"{part} {value:g}" for part in ("public", "private") if (value := getattr(attempt, part)) is not None]
    again = "run the same command again later"
    return {
        "scored": f"scored: {', '.join(scores) or 'complete, the service shows no score'}   {cv}",
        "failed": f"not submitted: {attempt.said}",
        "error": f"received as {attempt.ref}, but it could not be scored: {attempt.said}",
        "pending": f"received as {attempt.ref}, not scored yet: {again} to continue waiting",
        "unknown": f"unknown whether it arrived ({attempt.said or 'not listed'}): {again} to search for it",
    }[upload.outcome(attempt)]
