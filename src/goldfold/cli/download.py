"""`download`: a competition's data through the kaggle client, unpacked and prepared."""

from __future__ import annotations

import shutil
from argparse import Namespace

from goldfold.errors import GoldfoldError
from goldfold.experiment import workspace
from goldfold.kaggle import downloads, service


def run(arguments: Namespace) -> None:
    name = arguments.comp
    competition = workspace.competition(name)
    source = service.kaggle() if arguments.to == "kaggle" else service.local(workspace.BOARD)
    raw = workspace.data(name) / "raw"
    print(f"{competition.slug}: asking for its files ...", flush=True)
    new = downloads.fetch(source, competition.slug, raw, lambda line: print(line, flush=True))
    print(f"{raw}: {'all there, as listed' if new else 'there already, as listed'}")
    if new:
        shutil.rmtree(workspace.data(name) / "public", ignore_errors=True)  # it was made from other files
    _fetch_leaderboard(source, name, competition.slug)
    folder = workspace.prepare(name, competition)
    tables = workspace.load(name, competition)
    print(f"{folder}: {len(tables.train):,} train rows, {len(tables.test):,} test rows")


def _fetch_leaderboard(source: service.Service, name: str, slug: str) -> None:
    """For `rank`; data is worth having without it."""
    try:
        print(f"{downloads.fetch_leaderboard(source, slug, workspace.data(name) / 'leaderboard')}: for make rank")
    except GoldfoldError as error:
        print(f"no leaderboard came, so make rank needs BOARD=...: {error}")
