"""Track submissions that were sent: find them on the service by their tags, and wait until they are scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldfold.kaggle import ledger
from goldfold.kaggle.ledger import Attempt
from goldfold.kaggle.service import Lost, Refused, Service, call
from goldfold.kaggle.submission_requests import TAG

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Time limits and pauses in seconds.

    call_s, upload_s: limits of one call and of the upload. search_pauses_s: pause before each search for a submission
    whose answer was lost. settle_s: after this time, a submission that is not listed counts as failed. wait_s: how long
    to wait for a score. poll_s: first pause between two questions for the score; it grows to 30 s.
    """

    call_s: float = 120
    upload_s: float = 900
    search_pauses_s: Sequence[float] = (0, 2, 5, 10, 20)
    settle_s: float = 3600
    wait_s: float = 600
    poll_s: float = 1


@dataclass(frozen=True)
class SubmissionContext:
    """Service, ledger file and timeouts of a submission, and the function that prints progress lines."""

    service: Service
    ledger: Path
    timeouts: Timeouts
    report: Report

    def call(self, operation: str, **arguments: Any) -> dict:
        """Call an operation of the service within `timeouts.call_s`; raises as `service.call` does."""
        return call(self.service, operation, self.timeouts.call_s, **arguments)


def update_open_attempts(attempts: Sequence[Attempt], slug: str, context: SubmissionContext) -> None:
    """Update attempts without a final state, and private scores that have been released, from the service."""
    for attempt in attempts:
        if attempt.state == "prepared":
            ledger.update_attempt(context.ledger, attempt.tag, "failed", said="ended before anything was sent")
    sent = [attempt for attempt in attempts if attempt.state != "prepared"]
    if not sent:
        return
    context.report("updating earlier submissions")
    try:
        listed = context.call("submissions", slug=slug)["submissions"]
    except (Lost, Refused) as error:
        context.report(str(error))
        listed = None
    for attempt in sent:
        found = _listed_submission(attempt, listed or [])
        if found:
            _record_state(attempt, found, context)
        elif attempt.state in ("sending", "unknown"):
            _record_missing(attempt, context, looked=listed is not None)


def _record_missing(attempt: Attempt, context: SubmissionContext, looked: bool) -> None:
    """Record that an attempt is not listed: `failed` after `settle_s` seconds, else `unknown`."""
    age = (datetime.now(UTC) - datetime.fromisoformat(attempt.began)).total_seconds()
    if looked and age >= context.timeouts.settle_s:
        said = f"not among the submissions {age / 60:.0f} minutes later"
        ledger.update_attempt(context.ledger, attempt.tag, "failed", said=said)
    else:
        ledger.update_attempt(context.ledger, attempt.tag, "unknown")


def find_submission(attempt: Attempt, context: SubmissionContext, said: str, absent: ledger.State) -> Attempt:
    """Search the listed submissions for the attempt's tag, several times.

    absent: state to record if the tag is not found; `unknown` if the list could not be read. said: reason to record.
    """
    looked = False
    for pause in context.timeouts.search_pauses_s:
        time.sleep(pause)
        context.report(f"looking for {attempt.tag} among the submissions")
        try:
            listed = context.call("submissions", slug=attempt.slug)["submissions"]
        except (Lost, Refused):
            continue
        looked = True
        if found := _listed_submission(attempt, listed):
            return _record_state(attempt, found, context)
    return ledger.update_attempt(context.ledger, attempt.tag, absent if looked else "unknown", said=said)


def wait_for_score(attempt: Attempt, context: SubmissionContext) -> Attempt:
    """Wait until a received attempt is scored or has failed, for at most `timeouts.wait_s` seconds."""
    end, pause = time.monotonic() + context.timeouts.wait_s, context.timeouts.poll_s
    while attempt.state == "received":
        if found := _submission_status(attempt, context):
            attempt = _record_state(attempt, found, context)
        left = end - time.monotonic()
        if attempt.state != "received" or left <= 0:
            break
        context.report(f"waiting for the score of {attempt.ref}, {left:.0f} s left")
        time.sleep(min(pause, left))
        pause = min(1.5 * pause, 30)
    return attempt


def _submission_status(attempt: Attempt, context: SubmissionContext) -> dict | None:
    """Reply for a received submission, read from the list if the service has no reply for a single one."""
    for operation, key in (("submission", {"ref": attempt.ref}), ("submissions", {"slug": attempt.slug})):
        try:
            reply = context.call(operation, **key)
        except (Lost, Refused):
            continue
        if found := _listed_submission(attempt, reply.get("submissions", [reply])):
            return found
    return None


def _listed_submission(attempt: Attempt, listed: Sequence[dict]) -> dict | None:
    """The listed submission with the attempt's tag, or with its reference number and no tag."""
    for found in listed:
        tags = TAG.findall(found.get("description") or "")
        if attempt.tag in tags[-1:] or (not tags and attempt.ref and found.get("ref") == attempt.ref):
            return found
    return None


def _record_state(attempt: Attempt, found: dict, context: SubmissionContext) -> Attempt:
    """Write the state that the service reports into the ledger; returns the updated attempt."""
    if attempt.state in ("sending", "unknown"):
        attempt = ledger.update_attempt(context.ledger, attempt.tag, "received", ref=found["ref"], said="")
        context.report(f"{attempt.tag} was received as {attempt.ref}")
    if found["status"] == "COMPLETE":
        scores = {part: _score(found.get(f"{part}Score")) for part in ("public", "private")}
        if attempt.state != "scored" or scores["private"] != attempt.private:
            return ledger.update_attempt(context.ledger, attempt.tag, "scored", **scores)
    if found["status"] == "ERROR" and attempt.state == "received":
        return ledger.update_attempt(
            context.ledger, attempt.tag, "failed", said=found.get("errorDescription") or "no reason given"
        )
    return attempt


def _score(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
