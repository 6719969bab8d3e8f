"""What became of attempts that were sent: found among the submissions by their tags, followed until they are scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldfold.kaggle import ledger
from goldfold.kaggle.ledger import Attempt
from goldfold.kaggle.orders import TAG
from goldfold.kaggle.service import Lost, Refused, Service, call

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds: limits of one call and of the upload; pauses before each look for a lost submission; how long one that
    is not listed may still turn up; how long to wait for a score, and the first pause of that."""

    call_s: float = 120
    upload_s: float = 900
    looks_s: Sequence[float] = (0, 2, 5, 10, 20)
    settle_s: float = 3600
    wait_s: float = 600
    poll_s: float = 1


@dataclass(frozen=True)
class Desk:
    """Where attempts are carried out: service, ledger, patience, and who is told of the progress."""

    service: Service
    book: Path
    patience: Patience
    say: Say

    def ask(self, operation: str, **arguments: Any) -> dict:
        return call(self.service, operation, self.patience.call_s, **arguments)


def resolve(attempts: Sequence[Attempt], slug: str, desk: Desk) -> None:
    """Find out how attempts stand whose end is open, and whether private scores have come out."""
    for attempt in attempts:
        if attempt.state == "prepared":
            ledger.move(desk.book, attempt.tag, "failed", said="ended before anything was sent")
    sent = [attempt for attempt in attempts if attempt.state != "prepared"]
    if not sent:
        return
    desk.say("looking for the end of earlier submissions")
    try:
        listed = desk.ask("submissions", slug=slug)["submissions"]
    except (Lost, Refused) as error:
        desk.say(str(error))
        listed = None
    for attempt in sent:
        found = _of(attempt, listed or [])
        if found:
            _noted(attempt, found, desk)
        elif attempt.state in ("sending", "unknown"):
            _missed(attempt, desk, looked=listed is not None)


def _missed(attempt: Attempt, desk: Desk, looked: bool) -> None:
    """Note that an attempt is not listed: in time that means it never came to be."""
    age = (datetime.now(UTC) - datetime.fromisoformat(attempt.began)).total_seconds()
    if looked and age >= desk.patience.settle_s:
        said = f"not among the submissions {age / 60:.0f} minutes later"
        ledger.move(desk.book, attempt.tag, "failed", said=said)
    else:
        ledger.move(desk.book, attempt.tag, "unknown")


def look_for(attempt: Attempt, desk: Desk, said: str, absent: ledger.State) -> Attempt:
    """The attempt after several looks at the submissions for its tag; where it is on none of them, it is `absent`."""
    looked = False
    for pause in desk.patience.looks_s:
        time.sleep(pause)
        desk.say(f"looking for {attempt.tag} among the submissions")
        try:
            listed = desk.ask("submissions", slug=attempt.slug)["submissions"]
        except (Lost, Refused):
            continue
        looked = True
        if found := _of(attempt, listed):
            return _noted(attempt, found, desk)
    return ledger.move(desk.book, attempt.tag, absent if looked else "unknown", said=said)


def follow(attempt: Attempt, desk: Desk) -> Attempt:
    """Wait for the score of a received attempt, until it is there or the patience is over."""
    end, pause = time.monotonic() + desk.patience.wait_s, desk.patience.poll_s
    while attempt.state == "received":
        if found := _status(attempt, desk):
            attempt = _noted(attempt, found, desk)
        left = end - time.monotonic()
        if attempt.state != "received" or left <= 0:
            break
        desk.say(f"waiting for the score of {attempt.ref}, {left:.0f} s left")
        time.sleep(min(pause, left))
        pause = min(1.5 * pause, 30)
    return attempt


def _status(attempt: Attempt, desk: Desk) -> dict | None:
    """A received submission as the service has it; by the list where it tells nothing of a single one."""
    for operation, key in (("submission", {"ref": attempt.ref}), ("submissions", {"slug": attempt.slug})):
        try:
            reply = desk.ask(operation, **key)
        except (Lost, Refused):
            continue
        if found := _of(attempt, reply.get("submissions", [reply])):
            return found
    return None


def _of(attempt: Attempt, listed: Sequence[dict]) -> dict | None:
    """The listed submission with the attempt's tag, or with its number and no other tag."""
    for found in listed:
        tags = TAG.findall(found.get("description") or "")
        if attempt.tag in tags[-1:] or (not tags and attempt.ref and found.get("ref") == attempt.ref):
            return found
    return None


def _noted(attempt: Attempt, found: dict, desk: Desk) -> Attempt:
    """The attempt after what the service says of it was written into the ledger."""
    if attempt.state in ("sending", "unknown"):
        attempt = ledger.move(desk.book, attempt.tag, "received", ref=found["ref"], said="")
        desk.say(f"{attempt.tag} was received as {attempt.ref}")
    if found["status"] == "COMPLETE":
        scores = {part: _score(found.get(f"{part}Score")) for part in ("public", "private")}
        if attempt.state != "scored" or scores["private"] != attempt.private:
            return ledger.move(desk.book, attempt.tag, "scored", **scores)
    if found["status"] == "ERROR" and attempt.state == "received":
        return ledger.move(desk.book, attempt.tag, "failed", said=found.get("errorDescription") or "no reason given")
    return attempt


def _score(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
