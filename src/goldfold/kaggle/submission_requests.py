"""A submission request: what to send, its description on the service, and checks against the competition's rules."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from goldfold.errors import GoldfoldError
from goldfold.kaggle import ledger
from goldfold.kaggle.ledger import Attempt

TAG = re.compile(r"\[(gf-[0-9a-f]{8})\]")
FILE, HASH_DIGITS = "file=", 10  # in descriptions, before the first digits of the file's SHA-256
NOTE = 300  # largest number of characters, so that the service does not cut off the tag behind it


class Kernel(NamedTuple):
    """A notebook on Kaggle, `owner/slug`, and the file it writes."""

    name: str
    file: str


@dataclass(frozen=True, kw_only=True)
class SubmissionRequest:
    """What to submit: a checked file or the notebook that writes it, with the run it comes from.

    competition: name of its folder. slug: its name on Kaggle. run: name of the run. cv, cv_sd: mean and standard
    deviation (ddof=1) of the metric over `cv_folds` folds. note: text before the run's name. again: send a file that
    was sent before. late: send after the deadline. kernel: None if there is no notebook.
    """

    competition: str
    slug: str
    run: str
    path: Path
    metric: str
    higher_is_better: bool
    cv: float
    cv_sd: float | None
    cv_folds: int
    note: str = ""
    again: bool = False
    late: bool = False
    kernel: Kernel | None = None


def new_attempt(request: SubmissionRequest, service: str) -> Attempt:
    """Create an attempt with a unique tag, from a hash of the file and the time."""
    sha256, now = sha256_of(request.path), ledger.now()
    tag = "gf-" + hashlib.sha256(f"{sha256} {time.time_ns()}".encode()).hexdigest()[:8]
    return Attempt(
        tag=tag,
        began=now,
        changed=now,
        competition=request.competition,
        slug=request.slug,
        service=service,
        run=request.run,
        sha256=sha256,
        message=submission_message(request, tag),
        metric=request.metric,
        higher_is_better=request.higher_is_better,
        cv=request.cv,
        cv_sd=request.cv_sd,
    )


def submission_message(request: SubmissionRequest, tag: str) -> str:
    """Description of the submission: `note autoencoder-r12 cv=0.9312±0.008 sd, 5 folds file=1b4f0e9851 [gf-3f2a91c4]`.

    The hash of the file tells the service's list of submissions from which file each was, should the ledger get lost.

    Raises:
        GoldfoldError: the note is longer than NOTE characters (`message_too_long`).
    """
    note = " ".join(request.note.split())
    if len(note) > NOTE:
        raise GoldfoldError(
            "message_too_long", f"MESSAGE has {len(note)} characters, at most {NOTE} are allowed: shorten it"
        )
    spread = "" if request.cv_sd is None else f"±{request.cv_sd:.3f} sd, {request.cv_folds} folds"
    file = f"{FILE}{sha256_of(request.path)[:HASH_DIGITS]}"
    return f"{note} {request.run} cv={request.cv:.4f}{spread} {file} [{tag}]".lstrip()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_accepted(competition: dict, limits: dict, request: SubmissionRequest, page: str) -> None:
    """Raise GoldfoldError if the competition would not accept the request now.

    competition, limits: replies of the service. page: web page for the message.
    """
    end = competition.get("deadline")
    if competition.get("submissionsDisabled"):
        raise GoldfoldError("submissions_closed", f"'{request.slug}' accepts no submissions now: see {page}")
    if end and datetime.fromisoformat(end) <= datetime.now(UTC) and not request.late:
        raise GoldfoldError(
            "deadline_passed",
            f"the deadline of '{request.slug}' passed at {end}: use LATE=1 to submit anyway. Many competitions score "
            "late submissions without ranking them",
        )
    if competition.get("isKernelsSubmissionsOnly") and request.kernel is None:
        run = f"{request.competition}/{request.run}"
        raise GoldfoldError(
            "notebook_required",
            f"'{request.slug}' accepts only notebooks: make notebook RUN={run}, push it, and submit again",
        )
    if limits["numAllowedNow"] > 0:
        return
    if limits.get("limitedByTotal"):
        raise GoldfoldError(
            "no_submissions_left",
            f"all {limits['numTotal']} submissions that '{request.slug}' allows are used up: see {page}",
        )
    if not limits["numTotal"]:
        raise GoldfoldError(
            "rules_not_accepted",
            f"'{request.slug}' allows you no submission yet: join it and accept its rules on {page}/rules",
        )
    raise GoldfoldError(
        "no_submissions_left", f"today's {limits['numToday']} submissions are used up: submit again after 00:00 UTC"
    )
