"""Download a competition's data through the kaggle client, unpack and prepare it."""

from __future__ import annotations

import shutil
from pathlib import Path

from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.kaggle import downloads
from goldfold.kaggle.service import Service
from goldfold.workflows.delivery.submit import service_of


def download(workspace: Workspace, name: str, to: str = "kaggle") -> Path:
    """Fetch the files of a competition and its leaderboard, then prepare its data; returns the prepared folder."""
    competition, source, say = workspace.competition(name), service_of(workspace, to), workspace.observer.line
    raw = workspace.data(name) / "raw"
    say(f"{competition.slug}: asking for its files ...")
    new = downloads.download_files(source, competition.slug, raw, say)
    say(f"{raw}: {'download complete' if new else 'already complete'}")
    if new:
        shutil.rmtree(workspace.data(name) / "public", ignore_errors=True)  # it was prepared from other files
    _fetch_leaderboard(workspace, source, name, competition.slug)
    return workspace.prepare(name)


def _fetch_leaderboard(workspace: Workspace, source: Service, name: str, slug: str) -> None:
    """Download the leaderboard for `rank`; only report if that fails, since the data is useful without it."""
    try:
        file = downloads.download_leaderboard(source, slug, workspace.data(name) / "leaderboard")
        workspace.observer.line(f"{file}: for make rank")
    except GoldfoldError as error:
        workspace.observer.line(f"no leaderboard was downloaded, so make rank needs BOARD=...: {error}")
