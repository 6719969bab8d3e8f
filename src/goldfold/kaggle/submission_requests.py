"""What shall be submitted, what it is called there, and whether a competition as it stands would take it."""

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
NOTE = 300  # characters: the tag behind it must not be cut off


class Kernel(NamedTuple):
    """A notebook on Kaggle, `owner/slug`, and the file it writes."""

    name: str
    file: str


@dataclass(frozen=True, kw_only=True)
class SubmissionRequest:
    """What shall be submitted: a checked file, or the notebook that writes it again, and whose it is.

    competition: its folder's name; slug: Kaggle's. note: said before the run's name. again: send bytes that were sent
    before; late: after the deadline. kernel: None where no notebook was made.
    """

    competition: str
    slug: str
    run: str
    path: Path
    metric: str
    higher_is_better: bool
    cv: float
    cv_sd: float | None
    note: str = ""
    again: bool = False
    late: bool = False
    kernel: Kernel | None = None


def new_attempt(request: SubmissionRequest, service: str) -> Attempt:
    """A new attempt, with a tag made of contents and time."""
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
    """What the submission is called: `note autoencoder-r12 cv=0.9312±0.008 [gf-3f2a91c4]`."""
    note = " ".join(request.note.split())
    if len(note) > NOTE:
        raise GoldfoldError(
            "message_too_long", f"MESSAGE has {len(note)} characters, at most {NOTE} are allowed: shorten it"
        )
    spread = "" if request.cv_sd is None else f"±{request.cv_sd:.3f}"
    return f"{note} {request.run} cv={request.cv:.4f}{spread} [{tag}]".lstrip()


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_accepted(competition: dict, limits: dict, request: SubmissionRequest, page: str) -> None:
    """Raise a GoldfoldError where a competition as it stands would not take an request; page: where to look."""
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
