"""Times as text, as in Kaggle's API: `2026-11-21T20:36:14.061Z`, always UTC, so that texts sort like times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from goldfold.errors import GoldfoldError


def now() -> str:
    """Current time."""
    return _text(datetime.now(UTC))


def before_now(span: timedelta) -> str:
    """Time `span` ago."""
    return _text(datetime.now(UTC) - span)


def read(text: str) -> str:
    """Read a date and time that a user wrote; UTC if it has no time zone.

    >>> read("2026-12-31 23:59"), read("2026-12-31T23:59:00+02:00")
    ('2026-12-31T23:59:00.000Z', '2026-12-31T21:59:00.000Z')

    Raises:
        GoldfoldError: it is not a date and time (`time_invalid`).
    """
    try:
        moment = datetime.fromisoformat(text)
        return _text(moment.replace(tzinfo=moment.tzinfo or UTC))
    except (ValueError, OverflowError):
        raise GoldfoldError(
            "time_invalid", f"'{text}' is not a date and time: write it like 2026-12-31T23:59:00Z"
        ) from None


def moment(text: str) -> datetime:
    """Time as a datetime."""
    return datetime.fromisoformat(text)


def midnight(text: str) -> str:
    """Start of the UTC day of `text`."""
    return f"{text[:10]}T00:00:00.000Z"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
