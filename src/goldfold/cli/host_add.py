"""`host-add`: a competition that keeps hidden labels comes on the local leaderboard, or its terms there change."""

from __future__ import annotations

import re
import sys
from argparse import Namespace

from goldfold.board import catalogue, times
from goldfold.board.database import open_board
from goldfold.errors import GoldfoldError
from goldfold.experiment import workspace
from goldfold.submission import writing as submissions


def run(arguments: Namespace) -> None:
    name = arguments.comp
    competition = workspace.competition(name)
    deadline = arguments.deadline and times.read(arguments.deadline)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", competition.slug):
        raise GoldfoldError(f"slug '{competition.slug}' of '{name}' must be of a-z, 0-9 and hyphens: change it")
    public = workspace.prepare(name, competition)
    solution = workspace.data(name) / "private" / "solution.csv"
    if competition.grade is None or not solution.exists():
        raise GoldfoldError(f"'{name}' keeps no hidden labels here: only Kaggle can score its submissions")
    board, sample = open_board(workspace.BOARD), workspace.load(name, competition).sample_submission
    truth = submissions.read(solution, sample)
    entry = catalogue.Entry(
        slug=competition.slug,
        name=name,
        title=name.replace("_", " ").capitalize(),
        description=" ".join((sys.modules[f"competitions.{name}"].__doc__ or "").split()),
        metric=competition.metric.name,
        higher_is_better=competition.metric.higher_is_better,
        daily=arguments.daily,
        deadline=deadline or None,
    )
    usage = catalogue.split(board, competition.slug, sample, truth, competition.grade)
    again = catalogue.add(board, entry, public, solution, usage)
    shares = usage["usage"].value_counts()
    print(f"'{competition.slug}' is on the board: {shares['public']:,} public and {shares['private']:,} private ids")
    if again:
        print("its answers have changed: what was submitted is scored again")
