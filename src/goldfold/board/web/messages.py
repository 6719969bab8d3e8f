"""Requests of the kaggle client, with the default values it leaves out, and replies with Kaggle's field names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from goldfold.board.database import COMPLETE, Hosted, Submission
from goldfold.board.standings import Standing, private_score, public_score

Text = Annotated[str, Field(max_length=500)]
Name = Annotated[str, Field(max_length=200)]


class Request(BaseModel):
    """A request; unknown fields are ignored, since new versions of the client add some."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")


class Paged(Request):
    """A request for one page.

    page_token: position of its first row, from `nextPageToken`. page: from 1; old clients send -1.
    """

    page: int = Field(1, ge=-1, le=10**6)
    page_size: int = Field(20, ge=-1, le=1000)
    page_token: str = Field("", pattern=r"^(\d{1,9})?$")


class ListCompetitions(Paged):
    search: Text = ""


class OfCompetition(Request):
    competition_name: Name


class ListDataFiles(Paged, OfCompetition):
    pass


class DownloadDataFile(OfCompetition):
    file_name: Text = ""


class StartSubmissionUpload(OfCompetition):
    content_length: int = 0
    file_name: Name = ""


class CreateSubmission(OfCompetition):
    blob_file_tokens: Name = ""
    submission_description: Text = ""


class ListSubmissions(Paged, OfCompetition):
    sort_by: Name = "SUBMISSION_SORT_BY_DATE"
    group: Name = "SUBMISSION_GROUP_ALL"


class GetSubmission(Request):
    ref: int = Field(0, ge=0, lt=2**63)


class GetLeaderboard(Paged, OfCompetition):
    override_public: bool = False


class IntrospectToken(Request):
    token: Text = ""


def page(rows: list, wanted: Paged) -> tuple[list, str]:
    """Rows of the requested page, and the token of the next page, empty after the last."""
    size = wanted.page_size if wanted.page_size > 0 else 20
    first = int(wanted.page_token) if wanted.page_token else max(wanted.page - 1, 0) * size
    return rows[first : first + size], str(first + size) if first + size < len(rows) else ""


def competition(hosted: Hosted, teams: int, own: Standing | None, entered: bool, address: str) -> dict[str, Any]:
    """Reply for one competition. own: the user's line on the board; entered: whether the user has submitted."""
    reply = {
        "id": hosted.id,
        "ref": f"{address}/competitions/{hosted.slug}",
        "url": f"{address}/competitions/{hosted.slug}",
        "title": hosted.title,
        "description": hosted.description,
        "organizationName": "goldfold",
        "category": "Community",
        "reward": "Kudos",
        "tags": [],
        "enabledDate": hosted.added,
        "dateCreated": hosted.added,
        "teamCount": teams,
        "userHasEntered": entered,
        "maxDailySubmissions": hosted.daily,
        "maxTeamSize": 1,
        "evaluationMetric": hosted.metric,
        "submissionsDisabled": hosted.daily == 0,
    }
    return {
        **reply,
        **({"deadline": hosted.deadline} if hosted.deadline else {}),
        **({"userRank": own.rank} if own else {}),
    }


def submission(row: Submission, hosted: Hosted, now: str, address: str) -> dict[str, Any]:
    """Reply for one submission; it has the private score only after the deadline."""
    done = row.status == COMPLETE
    return {
        "ref": row.ref,
        "totalBytes": row.size,
        "date": row.date,
        "description": row.description,
        "errorDescription": row.error,
        "fileName": row.file_name,
        "publicScore": score(public_score(row)) if done else "",
        "privateScore": score(private_score(row)) if done and hosted.is_over(now) else "",
        "status": row.status,
        "submittedBy": row.user.name,
        "submittedByRef": row.user.name,
        "teamName": row.user.team,
        "url": f"{address}/users/{row.user.name}",
    }


def score(value: float) -> str:
    """Format a score with 5 decimals, as Kaggle does."""
    return f"{value:.5f}"
