"""The leaderboard file that the kaggle client downloads: a CSV in a zip."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence

from goldfold.board.standings import Standing
from goldfold.board.times import moment
from goldfold.board.web import messages
from goldfold.io.formatting import as_text

COLUMNS = ("Rank", "TeamId", "TeamName", "LastSubmissionDate", "Score", "SubmissionCount", "TeamMemberUserNames")


def zipped(slug: str, lines: Sequence[Standing], *, private: bool) -> bytes:
    """`<slug>-publicleaderboard.csv` or the private one, in a zip; scores as the API and the pages show them."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for line in lines:
        date = f"{moment(line.date):%Y-%m-%d %H:%M:%S}"
        team, score = as_text(line.user.team), messages.score(line.score)
        rows.writerow((line.rank, line.user.id, team, date, score, line.entries, line.user.name))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{slug}-{'private' if private else 'public'}leaderboard.csv", text.getvalue())
    return packed.getvalue()
