"""The methods of Kaggle's CompetitionApiService that the kaggle client 1.8.4 to 2.2 calls, each a POST of JSON."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from goldfold.board import catalogue, standings, times, uploads, users
from goldfold.board.database import COMPLETE, Hosted, Submission, User
from goldfold.board.refusals import refusal
from goldfold.board.web import messages
from goldfold.board.web.access import CurrentBoard, CurrentUser, ServerAddress
from goldfold.board.web.leaderboard_file import zipped

router = APIRouter()
SERVICE = "/competitions.CompetitionApiService"


@router.post(f"{SERVICE}/ListCompetitions")
def list_competitions(
    wanted: messages.ListCompetitions, board: CurrentBoard, user: CurrentUser, address: ServerAddress
) -> dict[str, Any]:
    with board.reading() as session:
        every = session.scalars(select(Hosted).order_by(Hosted.title))
        found = [each for each in every if wanted.search.lower() in f"{each.title} {each.slug}".lower()]
        rows, following = messages.page(found, wanted)
        return {"competitions": [_competition(session, row, user, address) for row in rows], "nextPageToken": following}


@router.post(f"{SERVICE}/GetCompetition")
def get_competition(
    wanted: messages.OfCompetition, board: CurrentBoard, user: CurrentUser, address: ServerAddress
) -> dict:
    with board.reading() as session:
        return _competition(session, uploads.find_hosted(session, wanted.competition_name), user, address)


@router.post(f"{SERVICE}/ListDataFiles")
def list_data_files(wanted: messages.ListDataFiles, board: CurrentBoard, user: CurrentUser) -> dict[str, Any]:
    hosted = _hosted(board, wanted)
    rows, following = messages.page(list(catalogue.data_files(board, hosted.slug).items()), wanted)
    files = [
        {"ref": name, "name": name, "totalBytes": file.stat().st_size, "creationDate": hosted.added, "url": ""}
        for name, file in rows
    ]
    return {"files": files, "nextPageToken": following}


@router.post(f"{SERVICE}/DownloadDataFile")
def download_data_file(wanted: messages.DownloadDataFile, board: CurrentBoard, user: CurrentUser) -> Response:
    hosted = _hosted(board, wanted)
    if wanted.file_name not in catalogue.data_files(board, hosted.slug):
        raise refusal(404, f"There is no file '{wanted.file_name}' in this competition")
    return RedirectResponse(f"/data/{hosted.slug}/file/{quote(wanted.file_name)}", 302)


@router.post(f"{SERVICE}/DownloadDataFiles")
def download_data_files(wanted: messages.OfCompetition, board: CurrentBoard, user: CurrentUser) -> Response:
    hosted = _hosted(board, wanted)
    return RedirectResponse(f"/data/{hosted.slug}/{hosted.slug}.zip", 302)


@router.post(f"{SERVICE}/StartSubmissionUpload")
def start_submission_upload(
    wanted: messages.StartSubmissionUpload, board: CurrentBoard, user: CurrentUser, address: ServerAddress
) -> dict[str, str]:
    token = uploads.start(board, wanted.competition_name, user, wanted.file_name, wanted.content_length)
    return {"token": token, "createUrl": f"{address}/upload/{token}"}


@router.post(f"{SERVICE}/CreateSubmission")
def create_submission(
    wanted: messages.CreateSubmission, board: CurrentBoard, user: CurrentUser, request: Request
) -> dict[str, Any]:
    slug, description = wanted.competition_name, wanted.submission_description
    ref, title = uploads.submit(board, slug, user, wanted.blob_file_tokens, description)
    request.app.state.scoring.wake()
    return {"message": f"Successfully submitted to {title}", "ref": ref}


@router.post(f"{SERVICE}/CreateCodeSubmission")
def create_code_submission(wanted: messages.OfCompetition, board: CurrentBoard, user: CurrentUser) -> None:
    _hosted(board, wanted)
    raise refusal(400, "This competition accepts no notebooks: submit a file")


@router.post(f"{SERVICE}/ListSubmissions")
def list_submissions(
    wanted: messages.ListSubmissions, board: CurrentBoard, user: CurrentUser, address: ServerAddress
) -> dict[str, Any]:
    with board.reading() as session:
        hosted = uploads.find_hosted(session, wanted.competition_name)
        own = select(Submission).where(Submission.slug == hosted.slug, Submission.user_id == user.id)
        found = _sorted(list(session.scalars(own.order_by(Submission.ref.desc()))), wanted, hosted)
    rows, following = messages.page(found, wanted)
    now = times.now()
    return {
        "submissions": [messages.submission(row, hosted, now, address) for row in rows],
        "nextPageToken": following,
    }


@router.post(f"{SERVICE}/GetSubmission")
def get_submission(
    wanted: messages.GetSubmission, board: CurrentBoard, user: CurrentUser, address: ServerAddress
) -> dict:
    with board.reading() as session:
        row = session.get(Submission, wanted.ref)
        if row is None or row.user_id != user.id:
            raise refusal(404, f"There is no submission {wanted.ref} of yours")
        return messages.submission(row, uploads.find_hosted(session, row.slug), times.now(), address)


@router.post(f"{SERVICE}/GetSubmissionLimits")
def get_submission_limits(wanted: messages.OfCompetition, board: CurrentBoard, user: CurrentUser) -> dict[str, Any]:
    with board.reading() as session:
        hosted = uploads.find_hosted(session, wanted.competition_name)
        today, total, left = uploads.allowance(session, hosted, user, times.now())
    return {"numToday": today, "numTotal": total, "numAllowedNow": left, "limitedByTotal": False}


@router.post(f"{SERVICE}/GetLeaderboard")
def get_leaderboard(wanted: messages.GetLeaderboard, board: CurrentBoard, user: CurrentUser) -> dict[str, Any]:
    with board.reading() as session:
        hosted = uploads.find_hosted(session, wanted.competition_name)
        private = hosted.is_over(times.now()) and not wanted.override_public
        rows, following = messages.page(standings.board(session, hosted, private=private), wanted)
    lines = [
        {
            "teamId": row.user.id,
            "teamName": row.user.team,
            "submissionDate": row.date,
            "score": messages.score(row.score),
        }
        for row in rows
    ]
    return {"submissions": lines, "nextPageToken": following}


@router.post(f"{SERVICE}/DownloadLeaderboard")
def download_leaderboard(wanted: messages.OfCompetition, board: CurrentBoard, user: CurrentUser) -> Response:
    with board.reading() as session:
        hosted = uploads.find_hosted(session, wanted.competition_name)
        private = hosted.is_over(times.now())
        lines = standings.board(session, hosted, private=private)
    return Response(zipped(hosted.slug, lines, private=private), media_type="application/zip")


@router.post("/security.OAuthService/IntrospectToken")
def introspect_token(wanted: messages.IntrospectToken, board: CurrentBoard) -> dict[str, Any]:
    """Tell the client whether a token is valid; it asks without credentials before it uses the token."""
    with board.reading() as session:
        user = users.by_key(session, wanted.token)
    return {"active": True, "username": user.name, "userId": user.id, "scope": ""} if user else {"active": False}


def _hosted(board: CurrentBoard, wanted: messages.OfCompetition) -> Hosted:
    with board.reading() as session:
        return uploads.find_hosted(session, wanted.competition_name)


def _competition(session: Session, hosted: Hosted, user: User, address: str) -> dict[str, Any]:
    lines = standings.board(session, hosted, private=hosted.is_over(times.now()))
    own = next((line for line in lines if line.user.id == user.id), None)
    made = select(func.count()).where(Submission.slug == hosted.slug, Submission.user_id == user.id)
    return messages.competition(hosted, len(lines), own, session.scalars(made).one() > 0, address)


def _sorted(newest_first: list[Submission], wanted: messages.ListSubmissions, hosted: Hosted) -> list[Submission]:
    if wanted.group != "SUBMISSION_GROUP_ALL":
        newest_first = [row for row in newest_first if row.status == COMPLETE]
    if wanted.group == "SUBMISSION_GROUP_SELECTED":
        return standings.best_first(newest_first, hosted, standings.public_score)[: standings.SELECTED]
    if wanted.sort_by == "SUBMISSION_SORT_BY_NAME":
        return sorted(newest_first, key=lambda row: row.file_name)
    by_score = {"SUBMISSION_SORT_BY_PUBLIC_SCORE": standings.public_score}
    if hosted.is_over(times.now()):  # before the deadline, the order would reveal private scores
        by_score["SUBMISSION_SORT_BY_PRIVATE_SCORE"] = standings.private_score
    if wanted.sort_by not in by_score:
        return newest_first
    scored = [row for row in newest_first if row.status == COMPLETE]
    best = standings.best_first(scored, hosted, by_score[wanted.sort_by])
    return best + [row for row in newest_first if row.status != COMPLETE]
