"""Users of the board: teams, their login names for the client, and keys; only hashes of keys are stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata

from sqlalchemy import select
from sqlalchemy.orm import Session

from goldfold.board import times
from goldfold.board.database import Board, User
from goldfold.errors import GoldfoldError

OWNER = "host"  # the team of whoever runs the board
LONGEST = 60  # characters of a team's name


def register(board: Board, team: str, replace: bool = False) -> tuple[User, str]:
    """Register a team; returns the user and the key, which is not stored and cannot be shown again.

    replace: give an existing team a new key; its old one stops working.

    Raises:
        GoldfoldError: the name is empty, too long or cannot be printed (`team_name_invalid`), or the team exists
            (`team_exists`).
    """
    team = " ".join(team.split())
    if not team or len(team) > LONGEST or not team.isprintable():
        raise GoldfoldError(
            "team_name_invalid",
            f"team name {team!r} is not valid: choose 1 to {LONGEST} characters that can be printed",
        )
    key = secrets.token_urlsafe(32)
    with board.writing() as session:
        user = session.scalar(select(User).where(User.team == team))
        if user is None:
            user = User(name=_login(session, team), team=team, created=times.now())
            session.add(user)
        elif not replace:
            raise GoldfoldError(
                "team_exists",
                f"team '{team}' has a key: choose another name, or add --replace (make: REPLACE=1) to end that key "
                "and make a new one",
            )
        user.key_hash = _hash(key)
    return user, key


def by_key(session: Session, key: str) -> User | None:
    """User with this key, or None."""
    return session.scalar(select(User).where(User.key_hash == _hash(key)))


def by_login(session: Session, name: str, key: str) -> User | None:
    """User with this login name and key, or None."""
    user = session.scalar(select(User).where(User.name == name))
    return user if user and hmac.compare_digest(user.key_hash, _hash(key)) else None


def invited(session: Session) -> bool:
    """Whether anyone except the owner of the board has a key."""
    return session.scalar(select(User.id).where(User.name != OWNER).limit(1)) is not None


def _hash(key: str) -> str:
    """SHA-256 of a key. One round is enough: keys are 256 random bits, so dictionary attacks are impossible, and a slow
    hash would only slow down every request. The time of an index lookup reveals nothing about the key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _login(session: Session, team: str) -> str:
    """Unused login name of a-z, 0-9 and hyphens, since HTTP Basic authentication is only safe for ASCII."""
    plain = unicodedata.normalize("NFKD", team).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "team"
    taken = set(session.scalars(select(User.name)))
    number = 2
    name = stem
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return name
