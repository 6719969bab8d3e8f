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
class Order:
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


def attempt(order: Order, service: str) -> Attempt:
    """A new attempt, with a tag made of contents and time."""
    sha256, now = sha256_of(order.path), ledger.now()
    tag = "gf-" + hashlib.sha256(f"{sha256} {time.time_ns()}".encode()).hexdigest()[:8]
    return Attempt(
        tag=tag,
        began=now,
        changed=now,
        competition=order.competition,
        slug=order.slug,
        service=service,
        run=order.run,
        sha256=sha256,
        message=message(order, tag),
        metric=order.metric,
        higher_is_better=order.higher_is_better,
        cv=order.cv,
        cv_sd=order.cv_sd,
    )


def message(order: Order, tag: str) -> str:
    """What the submission is called: `note autoencoder-r12 cv=0.9312±0.008 [gf-3f2a91c4]`."""
    note = " ".join(order.note.split())
    if len(note) > NOTE:
        raise GoldfoldError(
            "message_too_long", f"MESSAGE has {len(note)} characters, at most {NOTE} are allowed: shorten it"
        )
    spread = "" if order.cv_sd is None else f"±{order.cv_sd:.3f}"
    return f"{note} {order.run} cv={order.cv:.4f}{spread} [{tag}]".lstrip()


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refuse_impossible(competition: dict, limits: dict, order: Order, page: str) -> None:
    """Raise a GoldfoldError where a competition as it stands would not take an order; page: where to look."""
    end = competition.get("deadline")
    if competition.get("submissionsDisabled"):
        raise GoldfoldError("submissions_closed", f"'{order.slug}' accepts no submissions now: see {page}")
    if end and datetime.fromisoformat(end) <= datetime.now(UTC) and not order.late:
        raise GoldfoldError(
            "deadline_passed",
            f"the deadline of '{order.slug}' passed at {end}: use LATE=1 to submit anyway. Many competitions score "
            "late submissions without ranking them",
        )
    if competition.get("isKernelsSubmissionsOnly") and order.kernel is None:
        run = f"{order.competition}/{order.run}"
        raise GoldfoldError(
            "notebook_required",
            f"'{order.slug}' accepts only notebooks: make notebook RUN={run}, push it, and submit again",
        )
    if limits["numAllowedNow"] > 0:
        return
    if limits.get("limitedByTotal"):
        raise GoldfoldError(
            "no_submissions_left",
            f"all {limits['numTotal']} submissions that '{order.slug}' allows are used up: see {page}",
        )
    if not limits["numTotal"]:
        raise GoldfoldError(
            "rules_not_accepted",
            f"'{order.slug}' allows you no submission yet: join it and accept its rules on {page}/rules",
        )
    raise GoldfoldError(
        "no_submissions_left", f"today's {limits['numToday']} submissions are used up: submit again after 00:00 UTC"
    )
