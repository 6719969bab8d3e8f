"""The board in a browser: what the pages say, to whom, and that they need nothing but themselves."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from goldfold.board import times, users
from goldfold.board.database import Hosted, Submission, User, open_board
from goldfold.board.scoring import Scoring
from goldfold.board.standings import Standing
from goldfold.board.web import plot
from goldfold.board.web.application import application
from goldfold.board.web.leaderboard_file import zipped
from goldfold.errors import GoldfoldError

MISCHIEF = "<script>alert(1)</script>"
OPEN = {"slug": "open", "title": "Still open", "higher_is_better": True, "deadline": "2999-01-01T00:00:00.000Z"}
OVER = {"slug": "over", "title": "Long over", "higher_is_better": False, "deadline": "2001-01-01T00:00:00.000Z"}
ALIKE = {"name": "none", "description": "Which & why.", "metric": "m", "daily": 5, "added": "", "solution": ""}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Two competitions, three teams: (public, private) scores of their submissions in the order they came."""
    board = open_board(tmp_path_factory.mktemp("board"))
    scores = {
        MISCHIEF: [(0.1, 0.7), (0.2, 0.8), (0.3, 0.1)],
        "地毯队": [(0.15, 0.2), (0.15, 0.3)],
        "w" * 60: [(0.5, 0.15)],
    }
    teams = [users.register(board, team)[0] for team in scores]
    with board.writing() as session:
        for about in (OPEN, OVER):
            session.add(Hosted(**ALIKE, **about))
            for team, made in zip(teams, scores.values(), strict=True):
                for number, (public, private) in enumerate(made):
                    session.add(submission(about["slug"], team, number, public, private))
        session.add(Submission(**row(OPEN["slug"], teams[1], 8), status="ERROR", error=f"line 1: {MISCHIEF}"))
    return board


def row(slug: str, team: User, number: int) -> dict:
    token, date = f"{slug}-{team.id}-{number}", f"2000-12-0{number + 1}T10:00:00.000Z"
    about = {"description": f"try {number} {MISCHIEF}", "file_name": "<b>.csv", "size": 1}
    return {"slug": slug, "user_id": team.id, "token": token, "date": date, **about}


def submission(slug: str, team: User, number: int, public: float, private: float) -> Submission:
    of = row(slug, team, number)
    return Submission(**of, status="COMPLETE", public_score=public, private_score=private)


@pytest.fixture(scope="module")
def app(board):
    return application(board, Scoring(board, ["false"]))


@pytest.fixture(scope="module")
def browser(app):
    return TestClient(app, client=("127.0.0.1", 1))


class Page(HTMLParser):
    """The tags of a page, its visible text, and the rows of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.links, self.rows, self.inside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.inside.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src", "action", "srcset")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if {"td", "th"} & set(self.inside):
            self.rows[-1][-1] += data.strip()


PLACES = ["/", "/competitions/open", "/competitions/over", "/users/team", "/users/script-alert-1-script", "/nowhere"]


@pytest.mark.parametrize("place", PLACES)
def test_a_page_is_whole_escaped_and_needs_nothing_from_elsewhere(browser, place):
    answer = browser.get(place)
    assert answer.status_code == (404 if place == "/nowhere" else 200)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    page = Page(answer.text)
    assert not {"script", "b", "iframe", "img", "form"} & set(page.tags)
    assert "alert(1)" not in answer.text.replace("&lt;script&gt;alert(1)", "")
    assert all(link.startswith(("/", "data:image/svg+xml,")) for link in page.links), page.links
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in answer.text


def test_the_private_board_is_shown_when_the_competition_is_over(browser):
    page = Page(browser.get("/competitions/over").text)
    private, public = page.rows[1:4], page.rows[5:8]
    # lower is better, and of each team's two best public submissions the better private one counts
    assert [(row[0], row[1], row[2], row[3]) for row in private] == [
        ("1", "w" * 60, "▲ 2", "0.15000"),
        ("2", "地毯队", "–", "0.20000"),
        ("3", MISCHIEF, "▼ 2", "0.70000"),
    ]
    assert [(row[0], row[1], row[2]) for row in public] == [
        ("1", MISCHIEF, "0.10000"),
        ("2", "地毯队", "0.15000"),
        ("3", "w" * 60, "0.50000"),
    ]
    assert "Shake-up 0.444" in browser.get("/competitions/over").text  # (2 + 0 + 2) places / 3 teams / 3 places


def test_nothing_private_is_shown_before(browser):
    page = Page(browser.get("/competitions/open").text)
    assert [row[2] for row in page.rows[1:]] == ["0.50000", "0.30000", "0.15000"]  # higher is better here
    text = browser.get("/users/script-alert-1-script").text
    before = text[text.index("Still open") :]
    assert "0.20000" in before
    assert "0.80000" not in before
    assert "0.80000" in text[: text.index("Still open")]


def test_a_users_page_lists_errors_and_draws_scores(browser):
    text = browser.get("/users/team").text
    assert "line 1: &lt;script&gt;" in text
    assert text.count("<svg") == 2
    assert 'http-equiv="refresh"' not in text


def test_a_page_with_something_waiting_renews_itself(board, browser):
    waiting = users.register(board, "waiting")[0]
    with board.writing() as session:
        session.add(Submission(**row("open", waiting, 0)))
    assert 'http-equiv="refresh"' in browser.get("/users/waiting").text


def test_what_a_team_has_sent_is_shown_elsewhere_to_the_team_alone(app, board):
    name, key = "far-away", users.register(board, "far away")[1]
    elsewhere = TestClient(app, client=("192.0.2.7", 1))
    assert elsewhere.get("/competitions/over").status_code == 200
    refused = elsewhere.get(f"/users/{name}")
    assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    assert elsewhere.get(f"/users/{name}", auth=(name, key)).status_code == 200
    assert elsewhere.get("/users/team", auth=(name, key)).status_code == 403


def test_the_leaderboard_file_is_rounded_and_safe_in_a_spreadsheet():
    teams = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "plain", "＝1"]
    lines = [
        Standing(rank, User(id=rank, name=f"u{rank}", team=team), -0.123456789, "2001-01-01T00:00:00.000Z", 1)
        for rank, team in enumerate(teams, 1)
    ]
    packed = zipfile.ZipFile(io.BytesIO(zipped("open", lines, private=False)))
    rows = list(csv.DictReader(io.StringIO(packed.read("open-publicleaderboard.csv").decode())))
    assert [row["TeamName"] for row in rows] == [team if team == "plain" else f"'{team}" for team in teams]
    assert {row["Score"] for row in rows} == {"-0.12346"}


def test_the_best_line_follows_the_metrics_direction():
    team = User(name="a", team="a", key_hash="", created="")
    made = [submission("over", team, number, score, score) for number, score in enumerate((0.4, 0.6, 0.2))]
    lower = plot.over_time(made, Hosted(**ALIKE, **OVER))
    higher = plot.over_time(made, Hosted(**ALIKE, **OPEN))
    assert (lower.low, lower.high) == (0.2, 0.6)
    y = {dot.submission.public_score: dot.y for dot in lower.dots}
    assert y[0.6] < y[0.4] < y[0.2], "larger scores are drawn higher"
    assert re.findall(r"V([\d.]+)", lower.best) == [str(y[0.2])]
    assert re.findall(r"V([\d.]+)", higher.best) == [str(y[0.6])]
    assert plot.over_time(made[:1], Hosted(**ALIKE, **OVER)) is None


def test_days_and_deadlines_are_utc():
    assert times.midnight(times.read("2026-03-01T00:30:00+01:00")) == "2026-02-28T00:00:00.000Z"


def test_a_team_has_a_name_that_can_be_shown(board):
    for name in ("", "  ", "x" * 61, "a\x00b", "\u202egnirts"):
        with pytest.raises(GoldfoldError, match="can be printed"):
            users.register(board, name)
    assert users.register(board, "団")[0].name.isascii()
