"""From a checked file to a score: refuse what cannot succeed, send once, and believe a reference number alone.

Creating a submission cannot be repeated safely, so the ledger says `sending` before anything goes out, and every
message ends with a tag unlike any other. Where an answer got lost, here or in a process that was killed, the tag is
looked for among the submissions; not finding it proves nothing for a while, since a slow server may yet be at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from goldfold.errors import GoldfoldError
from goldfold.kaggle import ledger, orders
from goldfold.kaggle.following import Desk, follow, look_for, resolve
from goldfold.kaggle.ledger import Attempt
from goldfold.kaggle.orders import Order, refuse_impossible, sha256_of
from goldfold.kaggle.service import Lost, Refused, call, page_of

CODES = {"scored": 0, "refused": 2, "failed": 3, "error": 4, "pending": 5, "unknown": 6}


def outcome(attempt: Attempt) -> str:
    """One of `CODES`; `error` is a submission that was received and could not be scored."""
    if attempt.state == "failed":
        return "error" if attempt.ref else "failed"
    return {"scored": "scored", "received": "pending"}.get(attempt.state, "unknown")


def submit(order: Order, desk: Desk) -> Attempt:
    """Carry an order out; returns the attempt as it stands: scored, failed, received (still pending) or unknown.

    An earlier attempt with the same bytes whose end was open is followed instead of sending again.

    Raises:
        Refused: the service says no. Lost: there was no answer before anything was sent.
        GoldfoldError: the order cannot succeed, or the same bytes were sent before.
    """
    desk.book.parent.mkdir(parents=True, exist_ok=True)
    with _turn(order, desk):
        attempt = _earlier(order, desk) or _send(order, desk)
    return follow(attempt, desk)


@contextmanager
def _turn(order: Order, desk: Desk) -> Iterator[None]:
    """One submit of a competition at a time, from resolving to received."""
    lock = FileLock(desk.book.with_name(f"{desk.book.stem}-{order.competition}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        desk.say(f"another submit of {order.competition} is at work: waiting for its end")
        lock.acquire()  # whoever holds it ends, or dies and lets it go
    try:
        yield
    finally:
        lock.release()


def _earlier(order: Order, desk: Desk) -> Attempt | None:
    """The attempt with the same bytes to follow, after all open ones were resolved; None where there is none.

    Raises:
        GoldfoldError: the same bytes have come to an end before, and `again` is not said.
    """
    sha256, place = sha256_of(order.path), {"competition": order.competition, "service": desk.service.name}
    before = [each for each in ledger.attempts(desk.book, **place) if each.state != "failed" and each.private is None]
    resolve(before, order.slug, desk)
    if order.again:
        return None
    open_ones = {each.tag for each in before if each.state in ("sending", "unknown", "received")}
    same = [each for each in ledger.attempts(desk.book, **place, sha256=sha256) if each.ref or each.state == "unknown"]
    if not same:
        return None
    last = same[-1]
    if last.tag in open_ones:
        desk.say(f"these bytes were sent at {last.began} as {last.tag}: going on from there")
        return last
    ended = f"scored {last.public:g}" if last.public is not None else f"as '{outcome(last)}'"
    raise GoldfoldError(
        "already_submitted",
        f"the same bytes as {order.path.name} were sent at {last.began} as {last.run}, {ended} (ref {last.ref}): "
        "use AGAIN=1 to send them again",
    )


def _send(order: Order, desk: Desk) -> Attempt:
    """Send the file, or the notebook where the competition takes nothing else; returns it received, failed, unknown."""
    desk.say(f"reading the competition {order.slug}")
    competition, limits = desk.ask("terms", slug=order.slug).values()
    by_kernel = bool(competition.get("isKernelsSubmissionsOnly"))
    refuse_impossible(competition, limits, order, page_of(desk.service, order.slug))
    desk.say(f"{limits['numAllowedNow']} submissions are left today")
    operation, arguments = ("submit_kernel", _kernel(order, desk)) if by_kernel else ("upload", {"path": order.path})
    attempt = ledger.add(desk.book, orders.attempt(order, desk.service.name))
    what = f"notebook {arguments['kernel']}" if by_kernel else f"{order.path.stat().st_size:,} bytes"
    desk.say(f"sending {what} as {attempt.message}")
    attempt = ledger.move(desk.book, attempt.tag, "sending")
    try:
        limit = desk.patience.upload_s
        reply = call(desk.service, operation, limit, slug=order.slug, message=attempt.message, **arguments)
    except Lost as lost:
        desk.say(str(lost))
        if lost.sent:
            return look_for(attempt, desk, lost.said, absent="unknown")
        return ledger.move(desk.book, attempt.tag, "failed", said=f"the upload broke off: {lost.said}")
    except GoldfoldError as error:
        ledger.move(desk.book, attempt.tag, "failed", said=getattr(error, "said", str(error)))
        raise
    return _answered(attempt, reply, desk)


def _answered(attempt: Attempt, reply: dict, desk: Desk) -> Attempt:
    """The attempt after an answer: a reference number above 0 means received, and nothing else does."""
    if reply["ref"] > 0:
        desk.say(f"received as {reply['ref']}: {reply['message']}")
        return ledger.move(desk.book, attempt.tag, "received", ref=reply["ref"], said=reply["message"])
    told = " ".join(f"{reply['message']} {reply['printed']}".split())
    if not reply["uploaded"]:
        desk.say(f"the upload failed: {told}")
        return ledger.move(desk.book, attempt.tag, "failed", said=f"upload failed: {told}")
    desk.say(f"'{told}', but without a reference number")
    return look_for(attempt, desk, f"not recorded, although it said: {told}", absent="failed")


def _kernel(order: Order, desk: Desk) -> dict:
    """The pushed notebook, its last version and the file it wrote.

    Raises:
        GoldfoldError: it was not pushed, or its last run is not complete.
    """
    assert order.kernel is not None, "refuse_impossible requires a notebook"
    name, file = order.kernel
    try:
        found = desk.ask("kernel_status", kernel=name)
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
