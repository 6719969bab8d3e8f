"""Rank a run on Kaggle's leaderboard: the rank and medal its scores would have had."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldfold.errors import GoldfoldError
from goldfold.experiment.run_folders import GRADE, run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_bytes
from goldfold.kaggle import leaderboards
from goldfold.report.delivery import leaderboard as picture

CV, HIDDEN = "CV", "hidden labels"


@dataclass(frozen=True)
class Ranks:
    """Ranks of a run. places: leaderboard -> name of the score (CV, hidden labels, public score ...) -> placement.

    picture: plot of the scores in the distribution of all teams. text: output of the command.
    """

    places: Mapping[str, Mapping[str, leaderboards.Placement]]
    picture: Path
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"```\n{self.text}\n```"


def rank(workspace: Workspace, run: Path, board: str | Path | None = None, score: float | None = None) -> Ranks:
    """Rank a run's scores on the public and private leaderboard.

    board: a leaderboard's CSV or zip, or a folder of them; the downloaded one by default. score: ranked instead of the
    run's own scores.

    Raises:
        GoldfoldError: there is no leaderboard (`no_leaderboard`), or it cannot be read (`leaderboard_invalid`).
    """
    name = run.parent.name
    metric = workspace.competition(name).metric
    scores = {"score": score} if score is not None else _scores(workspace, run)
    found = leaderboards.read(_place(workspace, name, board), metric.higher_is_better)
    better = "higher" if metric.higher_is_better else "lower"
    lines = [f"{run_name(run)}  {metric.name}, {better} is better"]
    ranked: dict[str, dict[str, leaderboards.Placement]] = {}
    for each in found:
        ranked[each.name] = {told: leaderboards.rank(value, each) for told, value in scores.items() if _of(told, each)}
        lines.append(f"{each.name} board of {len(each.scores):,} teams, {each.source}")
        lines += [
            f"  note: {note}" for note in (*each.notes, *filter(None, [leaderboards.out_of_bounds_note(each, metric)]))
        ]
        lines += [f"  {told:14} {place.score:g}  {_words(place)}" for told, place in ranked[each.name].items()]
    if CV in scores:
        lines.append(
            "the boards rank scores on the competition's test set; CV is on training rows: the test set may be harder"
        )
    lines.append("medals by number of teams; Kaggle gives none in Getting Started and Playground competitions")
    path = _draw(run, found, ranked, metric.name)
    return Ranks(ranked, path, "\n".join([*lines, f"{path}: plot of the scores among all teams"]))


def _scores(workspace: Workspace, folder: Path) -> dict[str, float]:
    """Known scores of a run by the competition's metric, by name."""
    scores = {CV: next(iter(read_json(folder / "metrics.json").values()))["mean"]}
    if (folder / GRADE).exists():
        scores[HIDDEN] = read_json(folder / GRADE, dict)["score"]
    return scores | _submitted(workspace.ledger.with_suffix(".csv"), folder)


def _submitted(ledger: Path, run: Path) -> dict[str, float]:
    """Public and private score of the run's last submission, if the ledger has them."""
    if not ledger.exists():
        return {}
    names = (run.name, run_name(run))
    with ledger.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("run") in names]
    rows = [row for row in rows if row.get("competition") in (None, run.parent.name) and row.get("service") != "local"]
    return {f"{side} score": float(row[side]) for row in rows for side in ("public", "private") if row.get(side)}


def _of(told: str, board: leaderboards.Leaderboard) -> bool:
    """Whether a score is ranked on a leaderboard: a public score only on the public one, local scores on both."""
    return not told.endswith(" score") or board.name in (told.split()[0], "leaderboard")


def _place(workspace: Workspace, name: str, wanted: str | Path | None) -> Path:
    if wanted:
        return Path(wanted)
    slug = workspace.competition(name).slug
    sample = os.environ.get("GOLDFOLD_SAMPLE_DATA")
    known = [workspace.data(name) / "leaderboard", *([Path(sample, "kaggle_leaderboards", slug)] if sample else [])]
    for place in known:
        if place.exists():
            return place
    raise GoldfoldError(
        "no_leaderboard",
        f"there is no leaderboard of '{slug}' in {known[0]}: get it with make download COMP={name}, or set BOARD=file",
    )


def _words(place: leaderboards.Placement) -> str:
    rank = f"rank {place.rank:,} of {place.teams:,}" + _tied(place.last - place.rank)
    medal = place.medal or "no medal"
    if place.last_medal != place.medal:
        medal += f", or {place.last_medal or 'none'} behind the teams of the same score"
    needed = [f"{each} from {score:g}" for each, score in reversed(list(place.needed.items()))]
    return f"{rank}, better than {place.beaten:.1%} of the teams: {medal}{'; ' if needed else ''}{', '.join(needed)}"


def _tied(teams: int) -> str:
    if not teams:
        return ""
    return f" ({teams:,} team{'s have' if teams > 1 else ' has'} the same score)"


def _draw(
    run: Path,
    found: Sequence[leaderboards.Leaderboard],
    ranked: Mapping[str, Mapping[str, leaderboards.Placement]],
    metric: str,
) -> Path:
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
    path = run / "rank.png"
    write_bytes(path, picture.score_distributions(panels, metric))
    return path
