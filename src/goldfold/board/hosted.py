"""Put a competition that keeps hidden labels on the local leaderboard, or change its terms there."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from goldfold.board import catalogue, times
from goldfold.board.database import open_board
from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.submission import writing

MOST_DAILY = 100_000


@dataclass(frozen=True)
class Hosted:
    """Result of hosting. public, private: number of ids; rescored: earlier submissions are scored again."""

    slug: str
    public: int
    private: int
    rescored: bool

    def __str__(self) -> str:
        line = f"'{self.slug}' is on the board: {self.public:,} public and {self.private:,} private ids"
        return f"{line}\nits solution has changed: all submissions are scored again" if self.rescored else line


def host_competition(workspace: Workspace, name: str, daily: int = 20, deadline: str | None = None) -> Hosted:
    """Host a competition on the board of the workspace, or update its terms.

    daily: submissions per user and day. deadline: UTC, such as 2026-12-31T23:59:00Z; the private board is shown after
    it.

    Raises:
        GoldfoldError: it has no hidden labels (`no_hidden_labels`), its slug is not valid (`slug_spelling`), the
            deadline is not a time (`time_invalid`), or `daily` is not from 0 to MOST_DAILY (`daily_invalid`).
    """
    if not 0 <= daily <= MOST_DAILY:
        raise GoldfoldError(
            "daily_invalid", f"{daily} submissions a day are not possible: choose 0 (closed) to {MOST_DAILY:,}"
        )
    competition = workspace.competition(name)
    ends = deadline and times.read(deadline)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", competition.slug):
        raise GoldfoldError(
            "slug_spelling", f"slug '{competition.slug}' of '{name}' may only have a-z, 0-9 and hyphens: change it"
        )
    public = workspace.prepare(name)
    solution = workspace.data(name) / "private" / "solution.csv"
    if competition.grade is None or not solution.exists():
        raise GoldfoldError(
            "no_hidden_labels", f"'{name}' keeps no hidden labels here: only Kaggle can score its submissions"
        )
    board, sample = open_board(workspace.board), workspace.load(name).sample_submission
    entry = catalogue.Entry(
        slug=competition.slug,
        name=name,
        title=name.replace("_", " ").capitalize(),
        description=" ".join((sys.modules[f"competitions.{name}"].__doc__ or "").split()),
        metric=competition.metric.name,
        higher_is_better=competition.metric.higher_is_better,
        daily=daily,
        deadline=ends or None,
    )
    answers, whole = writing.read(solution, sample), competition.submission.whole_gallery
    usage = catalogue.split(board, competition.slug, sample, answers, competition.grade, whole)
    rescored = catalogue.add(board, entry, public, solution, usage)
    shares = usage["usage"].value_counts()
    return Hosted(competition.slug, int(shares["public"]), int(shares["private"]), rescored)
