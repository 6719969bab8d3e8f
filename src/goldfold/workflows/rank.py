"""`rank`: the rank and the medal a run's scores would have had on a real leaderboard."""

from __future__ import annotations

import csv
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.io.files import read_json, write_bytes
from goldfold.kaggle import leaderboards

CV, HIDDEN = "CV", "hidden labels"


def run(arguments: Namespace) -> None:
    folder = runs.find_run(workspace.RUNS, arguments.run)
    name = folder.parent.name
    competition = workspace.competition(name)
    metric = competition.metric
    scores = {"score": arguments.score} if arguments.score is not None else _scores(folder)
    found = leaderboards.read(_place(name, competition.slug, arguments.board), metric.higher_is_better)
    better = "higher" if metric.higher_is_better else "lower"
    print(f"{runs.run_name(folder)}  {metric.name}, {better} is better")
    ranked = {}
    for board in found:
        ranked[board.name] = {
            told: leaderboards.rank(score, board) for told, score in scores.items() if _of(told, board)
        }
        print(f"{board.name} board of {len(board.scores):,} teams, {board.source}")
        for note in (*board.notes, *filter(None, [leaderboards.doubt(board, metric)])):
            print(f"  note: {note}")
        for told, place in ranked[board.name].items():
            print(f"  {told:14} {place.score:g}  {_words(place)}")
    if CV in scores:
        print(
            "the boards rank scores on the competition's test set; CV is on training rows: the test set may be harder"
        )
    print("medals by number of teams; Kaggle gives none in Getting Started and Playground competitions")
    _draw(folder, found, ranked, metric.name)


def _scores(folder: Path) -> dict[str, float]:
    """What is known of how good a run is, by the competition's metric."""
    scores = {CV: next(iter(read_json(folder / "metrics.json").values()))["mean"]}
    if (folder / "grade.json").exists():
        scores[HIDDEN] = read_json(folder / "grade.json")["score"]
    return scores | _submitted(workspace.SUBMISSIONS / "ledger.csv", folder)


def _submitted(ledger: Path, run: Path) -> dict[str, float]:
    """Public and private score of the run's last submission, as far as the ledger has them."""
    if not ledger.exists():
        return {}
    names = (run.name, runs.run_name(run))
    with ledger.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("run") in names]
    rows = [row for row in rows if row.get("competition") in (None, run.parent.name) and row.get("service") != "local"]
    return {f"{side} score": float(row[side]) for row in rows for side in ("public", "private") if row.get(side)}


def _of(told: str, board: leaderboards.Board) -> bool:
    """A submission's public score has a rank on the public board alone, what was measured here has one on both."""
    return not told.endswith(" score") or board.name in (told.split()[0], "leaderboard")


def _place(name: str, slug: str, wanted: str | None) -> Path:
    if wanted:
        return Path(wanted)
    sample = os.environ.get("GOLDFOLD_SAMPLE_DATA")
    known = [workspace.data(name) / "leaderboard", *([Path(sample, "kaggle_leaderboards", slug)] if sample else [])]
    for place in known:
        if place.exists():
            return place
    raise GoldfoldError(
        f"there is no leaderboard of '{slug}' in {known[0]}: make download COMP={name} brings it, or say BOARD=file"
    )


def _words(place: leaderboards.Place) -> str:
    rank = f"rank {place.rank:,} of {place.teams:,}" + _tied(place.last - place.rank)
    medal = place.medal or "no medal"
    if place.last_medal != place.medal:
        medal += f", or {place.last_medal or 'none'} behind the teams of the same score"
    needed = [f"{each} from {score:g}" for each, score in reversed(place.needed.items())]
    return f"{rank}, better than {place.beaten:.1%} of the teams: {medal}{'; ' if needed else ''}{', '.join(needed)}"


def _tied(teams: int) -> str:
    if not teams:
        return ""
    return f" ({teams:,} team{'s have' if teams > 1 else ' has'} the same score)"


def _draw(
    folder: Path, found: Sequence[leaderboards.Board], ranked: dict[str, dict[str, leaderboards.Place]], metric: str
) -> None:
    from goldfold.report.run import leaderboard as picture

    panels = [
        picture.Panel(
            title=f"{board.name} board, {len(board.scores):,} teams",
            scores=board.scores,
            marks={told: place.score for told, place in ranked[board.name].items()},
            medals={
                medal: board.scores[rank - 1] for medal, rank in leaderboards.medal_ranks(len(board.scores)).items()
            },
            higher_is_better=board.higher_is_better,
        )
        for board in found
    ]
    write_bytes(folder / "rank.png", picture.score_distributions(panels, metric))
    print(f"{folder / 'rank.png'}: where they lie among the teams")
