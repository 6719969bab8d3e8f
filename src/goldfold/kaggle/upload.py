"""Submit a checked file or notebook once, and wait for its score.

What `make submit` sends: the bytes of `submissions/<competition>/<run>.csv` unchanged, its file name, the competition's
slug and the description `MESSAGE run cv=... file=... [tag]`. A competition that accepts only notebooks gets no file,
but the name and version of the pushed notebook and the name of its output file. Nothing else leaves the machine.

A submission cannot be repeated safely. So the ledger records `sending` before the upload starts, and every description
ends with a unique tag. If the answer is lost, or the process is killed, the tag is searched among the submissions on
the service. A tag that is not found proves nothing for a while, since a slow server may still create the submission.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from goldfold.errors import GoldfoldError
from goldfold.kaggle import ledger
from goldfold.kaggle.ledger import Attempt
from goldfold.kaggle.service import Lost, Refused, call, competition_page
from goldfold.kaggle.submission_requests import (
    FILE,
    HASH_DIGITS,
    SubmissionRequest,
    check_accepted,
    new_attempt,
    sha256_of,
)
from goldfold.kaggle.tracking import SubmissionContext, find_submission, update_open_attempts, wait_for_score

EXIT_CODES = {"scored": 0, "refused": 2, "failed": 3, "error": 4, "pending": 5, "unknown": 6}


def outcome(attempt: Attempt) -> str:
    """Outcome of an attempt, one of `EXIT_CODES`; `error`: it was received and could not be scored."""
    if attempt.state == "failed":
        return "error" if attempt.ref else "failed"
    return {"scored": "scored", "received": "pending"}.get(attempt.state, "unknown")


def submit(request: SubmissionRequest, context: SubmissionContext) -> Attempt:
    """Submit once and wait for the score; returns the attempt: scored, failed, received (pending) or unknown.

    An earlier attempt with the same bytes and no final state is tracked instead of sending the file again.

    Raises:
        Refused: the service refused. Lost: there was no answer before anything was sent.
        GoldfoldError: the competition would not accept it now, or the same bytes were sent before.
    """
    context.ledger.parent.mkdir(parents=True, exist_ok=True)
    with _lock(request, context):
        attempt = _open_attempt(request, context) or _send(request, context)
    return wait_for_score(attempt, context)


@contextmanager
def _lock(request: SubmissionRequest, context: SubmissionContext) -> Iterator[None]:
    """Lock that allows one submit of a competition at a time."""
    lock = FileLock(context.ledger.with_name(f"{context.ledger.stem}-{request.competition}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        context.report(f"another submit of {request.competition} is running: waiting until it ends")
        lock.acquire()  # the lock is released when its process ends or dies
    try:
        yield
    finally:
        lock.release()


def _open_attempt(request: SubmissionRequest, context: SubmissionContext) -> Attempt | None:
    """Update all attempts without a final state; returns the one with the same bytes, None if there is none.

    Raises:
        GoldfoldError: the same bytes were submitted before, and `again` is False (`already_submitted`).
    """
    sha256, place = sha256_of(request.path), {"competition": request.competition, "service": context.service.name}
    before = [
        each
        for each in ledger.read_attempts(context.ledger, **place)
        if each.state != "failed" and each.private is None
    ]
    update_open_attempts(before, request.slug, context)
    if request.again:
        return None
    open_ones = {each.tag for each in before if each.state in ("sending", "unknown", "received")}
    same = [
        each
        for each in ledger.read_attempts(context.ledger, **place, sha256=sha256)
        if each.ref or each.state == "unknown"
    ]
    if not same:
        if not before:
            _refuse_listed(request, sha256, context)
        return None
    last = same[-1]
    if last.tag in open_ones:
        context.report(f"these bytes were sent at {last.began} as {last.tag}: waiting for that submission")
        return last
    ended = f"scored {last.public:g}" if last.public is not None else f"as '{outcome(last)}'"
    raise GoldfoldError(
        "already_submitted",
        f"the same bytes as {request.path.name} were sent at {last.began} as {last.run}, {ended} (ref {last.ref}): "
        "use AGAIN=1 to send them again",
    )


def _refuse_listed(request: SubmissionRequest, sha256: str, context: SubmissionContext) -> None:
    """Refuse bytes that the service lists already, where the ledger knows no attempt: it may have been lost.

    Raises:
        GoldfoldError: `already_submitted`.
    """
    try:
        listed = context.call("submissions", slug=request.slug)["submissions"]
    except (Lost, Refused):
        return  # what follows asks the service again, and reports what is wrong
    known = f"{FILE}{sha256[:HASH_DIGITS]} "
    for each in listed:
        if known in (each.get("description") or ""):
            raise GoldfoldError(
                "already_submitted",
                f"'{request.slug}' lists the same bytes as {request.path.name} as submission {each.get('ref')}, which "
                "the ledger does not know: use AGAIN=1 to send them again",
            )


def _send(request: SubmissionRequest, context: SubmissionContext) -> Attempt:
    """Send the file, or the notebook if only notebooks are accepted; returns it received, failed or unknown."""
    context.report(f"reading the competition {request.slug}")
    competition, limits = context.call("terms", slug=request.slug).values()
    by_kernel = bool(competition.get("isKernelsSubmissionsOnly"))
    check_accepted(competition, limits, request, competition_page(context.service, request.slug))
    context.report(f"{limits['numAllowedNow']} submissions are left today")
    operation, arguments = (
        ("submit_kernel", _kernel(request, context)) if by_kernel else ("upload", {"path": request.path})
    )
    attempt = ledger.add_attempt(context.ledger, new_attempt(request, context.service.name))
    what = f"notebook {arguments['kernel']}" if by_kernel else f"{request.path.stat().st_size:,} bytes"
    context.report(f"sending {what} as {attempt.message}")
    attempt = ledger.update_attempt(context.ledger, attempt.tag, "sending")
    try:
        limit = context.timeouts.upload_s
        reply = call(context.service, operation, limit, slug=request.slug, message=attempt.message, **arguments)
    except Lost as lost:
        context.report(str(lost))
        if lost.sent:
            return find_submission(attempt, context, lost.said, absent="unknown")
        return ledger.update_attempt(context.ledger, attempt.tag, "failed", said=f"the upload broke off: {lost.said}")
    except GoldfoldError as error:
        ledger.update_attempt(context.ledger, attempt.tag, "failed", said=getattr(error, "said", str(error)))
        raise
    return _record_reply(attempt, reply, context)


def _record_reply(attempt: Attempt, reply: dict, context: SubmissionContext) -> Attempt:
    """Record the answer to an upload: only a reference number above 0 means that it was received."""
    if reply["ref"] > 0:
        context.report(f"received as {reply['ref']}: {reply['message']}")
        return ledger.update_attempt(context.ledger, attempt.tag, "received", ref=reply["ref"], said=reply["message"])
    told = " ".join(f"{reply['message']} {reply['printed']}".split())
    if not reply["uploaded"]:
        context.report(f"the upload failed: {told}")
        return ledger.update_attempt(context.ledger, attempt.tag, "failed", said=f"upload failed: {told}")
    context.report(f"'{told}', but there is no reference number")
    return find_submission(attempt, context, f"not recorded, although it said: {told}", absent="failed")


def _kernel(request: SubmissionRequest, context: SubmissionContext) -> dict:
    """Arguments of a notebook submission: the pushed notebook, its last version and its output file.

    Raises:
        GoldfoldError: it was not pushed (`notebook_not_pushed`), or its last run is not complete
            (`notebook_not_complete`).
    """
    assert request.kernel is not None, "check_accepted requires a notebook"
    name, file = request.kernel
    try:
        found = context.call("kernel_status", kernel=name)
    except Refused as error:
        message = f"{error.message}; push the notebook first, make notebook prints how"
        raise Refused("notebook_not_pushed", message, error.status, error.said) from error
    if found["status"] != "COMPLETE":
        why = f" ({found['failureMessage']})" if found["failureMessage"] else ""
        raise GoldfoldError(
            "notebook_not_complete",
            f"notebook {name} is {found['status']}{why}: run the command again when its run is COMPLETE",
        )
    return {"kernel": name, "version": found["version"], "file": file}
