"""Web pages of the board: static HTML without scripts or external files."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException

from goldfold.board import standings, times
from goldfold.board.database import COMPLETE, PENDING, Hosted, Submission, User
from goldfold.board.refusals import refusal
from goldfold.board.standings import Standing
from goldfold.board.web import messages, plot
from goldfold.board.web.access import CurrentBoard, ServerAddress, user_of

router = APIRouter()
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["score"] = messages.score
TEMPLATES.filters["when"] = lambda text: f"{times.moment(text):%-d %b %Y, %H:%M} UTC"
GUARDS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
LATEST = 200  # submissions of a user that are listed


@dataclass(frozen=True)
class Line:
    """A team's standings on the private and the public board."""

    private: Standing
    public: Standing

    @property
    def rise(self) -> int:
        """Ranks gained from the public to the private board."""
        return self.public.rank - self.private.rank


def check_may_view(name: str, request: Request) -> None:
    """Raise unless the request is from this machine, or has the key of the user whose page it asks for."""
    here = request.client is None or ip_address(request.client.host).is_loopback
    if here:
        return
    try:
        user = user_of(request)
    except HTTPException as error:
        raise HTTPException(401, error.detail, {"WWW-Authenticate": 'Basic realm="board", charset="UTF-8"'}) from None
    if user.name != name:
        raise refusal(403, "These submissions belong to another team")


@router.get("/")
def competitions(board: CurrentBoard) -> Response:
    """Page with all competitions."""
    with board.reading() as session:
        every = session.scalars(select(Hosted).order_by(Hosted.title)).all()
        shown = [_summary(session, hosted) for hosted in every]
    return _page("competitions.html", competitions=shown, now=times.now())


@router.get("/competitions/{slug}")
def competition(slug: str, board: CurrentBoard, address: ServerAddress) -> Response:
    now = times.now()
    with board.reading() as session:
        hosted = session.scalar(select(Hosted).where(Hosted.slug == slug))
        if hosted is None:
            raise refusal(404, "There is no such competition on this board")
        public = standings.board(session, hosted, private=False)
        final = _final(session, hosted, public) if hosted.is_over(now) else []
        done = session.scalars(_scored(hosted).order_by(Submission.ref)).all()
    return _page(
        "competition.html",
        hosted=hosted,
        public=public,
        final=final,
        shake_up=standings.shake_up([line.rise for line in final]),
        plot=plot.over_time(done, hosted),
        entries=len(done),
        address=address,
        now=now,
    )


@router.get("/users/{name}", dependencies=[Depends(check_may_view)])
def user(name: str, board: CurrentBoard) -> Response:
    now = times.now()
    with board.reading() as session:
        found = session.scalar(select(User).where(User.name == name))
        if found is None:
            raise refusal(404, "There is no such team on this board")
        made = _made(session, found)
    waiting = any(row.status == PENDING for _, rows, _ in made for row in rows)
    return _page("user.html", user=found, made=made, waiting=waiting, now=now)


def refused(error: HTTPException) -> Response:
    """Page for an error."""
    return _page("refused.html", error.status_code, error.headers, status=error.status_code, message=error.detail)


def _page(template: str, code: int = 200, headers: Any = None, **values: Any) -> Response:
    html = TEMPLATES.get_template(template).render(**values)
    return HTMLResponse(html, code, {**GUARDS, **(headers or {})})


def _summary(session: Session, hosted: Hosted) -> dict[str, Any]:
    lines = standings.board(session, hosted, private=hosted.is_over(times.now()))
    made = select(func.count()).where(Submission.slug == hosted.slug)
    return {"hosted": hosted, "teams": len(lines), "leader": lines[0] if lines else None, "made": session.scalar(made)}


def _final(session: Session, hosted: Hosted, public: list[Standing]) -> list[Line]:
    before = {line.user.id: line for line in public}
    return [Line(line, before[line.user.id]) for line in standings.board(session, hosted, private=True)]


def _made(session: Session, user: User) -> list[tuple[Hosted, list[Submission], plot.Plot | None]]:
    """A user's latest submissions by competition, newest first, with a plot of the scores."""
    rows = session.scalars(
        select(Submission).where(Submission.user_id == user.id).order_by(Submission.ref.desc()).limit(LATEST)
    ).all()
    made = []
    for hosted in session.scalars(select(Hosted).order_by(Hosted.title)):
        own = [row for row in rows if row.slug == hosted.slug]
        scored = [row for row in reversed(own) if row.status == COMPLETE]
        if own:
            made.append((hosted, own, plot.over_time(scored, hosted)))
    return made


def _scored(hosted: Hosted):
    return select(Submission).where(Submission.slug == hosted.slug, Submission.status == COMPLETE)
