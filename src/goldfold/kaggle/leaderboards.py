"""Kaggle's leaderboard files: read them, and find the rank and medal that a score would have had.

Medals by number of teams: https://www.kaggle.com/progression (competitions). Ranks are rounded down, at least to
1, as in MLE-bench's grader. Kaggle gives no medals in Getting Started and Playground competitions.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Metric

MEDALS = ("gold", "silver", "bronze")
SCORES = {  # column, lower case without spaces and underscores -> its board; "": as the file name says
    "score": "",
    "publicscore": "public",
    "privatescore": "private",
    "publicleaderboardscore": "public",
    "privateleaderboardscore": "private",
}
TEAMS = ("teamid", "teamname", "team")
RANKS = ("rank", "#", "publicleaderboardrank", "privateleaderboardrank")
ORDERED = 0.95  # share of score changes in one direction above which a column counts as sorted
LARGEST = 256 << 20  # bytes of one file; the largest leaderboards have 30,000 lines


@dataclass(frozen=True)
class Leaderboard:
    """One leaderboard: the scores of its teams.

    name: public, private, or leaderboard if the file does not say. scores: (teams,) float64, best first, one per team.
    decimals: number shown on the leaderboard; None for all. notes: what was left out, one clause each.
    """

    name: str
    source: Path
    scores: np.ndarray
    higher_is_better: bool
    decimals: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placement:
    """Rank and medal that a score would have had.

    rank: 1 + number of teams with a better score. last: rank behind all teams with the same score; Kaggle ranks earlier
    submissions first, so the real rank is between both. beaten: share of teams with a worse score, in [0, 1]. medal,
    last_medal: medal at these two ranks, or None. needed: each better medal -> score of the last team that has it.
    """

    score: float
    rank: int
    last: int
    teams: int
    beaten: float
    medal: str | None
    last_medal: str | None
    needed: Mapping[str, float]


def medal_ranks(teams: int) -> dict[str, int]:
    """Last rank of each medal, by number of teams.

    >>> medal_ranks(50), medal_ranks(200)["gold"], medal_ranks(500), medal_ranks(2500)
    ({'gold': 5, 'silver': 10, 'bronze': 20}, 10, {'gold': 11, 'silver': 50, 'bronze': 100}, \
{'gold': 15, 'silver': 125, 'bronze': 250})
    """
    if teams < 100:
        ranks = (teams // 10, teams // 5, teams * 2 // 5)
    elif teams < 250:
        ranks = (10, teams // 5, teams * 2 // 5)
    elif teams < 1000:
        ranks = (10 + teams // 500, 50, 100)
    else:
        ranks = (10 + teams // 500, teams // 20, teams // 10)
    return dict(zip(MEDALS, (max(1, rank) for rank in ranks), strict=True))


def rank(score: float, board: Leaderboard) -> Placement:
    """Rank `score` among the teams of `board`, rounded to the decimals that the leaderboard shows.

    Raises:
        GoldfoldError: the score is not finite.
    """
    if not np.isfinite(score):
        raise GoldfoldError("score_not_finite", f"a score of {score} has no rank: give a finite score")
    shown = round(score, board.decimals) if board.decimals is not None else score
    better = board.scores > shown if board.higher_is_better else board.scores < shown
    first, equal = 1 + int(np.count_nonzero(better)), int(np.count_nonzero(board.scores == shown))
    limits, teams = medal_ranks(len(board.scores)), len(board.scores)
    return Placement(
        score=shown,
        rank=first,
        last=first + equal,
        teams=teams,
        beaten=(teams - first + 1 - equal) / teams,
        medal=_medal(first, limits),
        last_medal=_medal(first + equal, limits),
        needed={medal: float(board.scores[limits[medal] - 1]) for medal in MEDALS if limits[medal] < first},
    )


def _medal(place: int, limits: Mapping[str, int]) -> str | None:
    return next((medal for medal in MEDALS if place <= limits[medal]), None)


def read(path: Path, higher_is_better: bool) -> list[Leaderboard]:
    """Read the leaderboards in a CSV file, a zip or a folder of both; private leaderboards come last.

    Lines without a finite score are left out. For a team with several lines, the best one counts.

    Raises:
        GoldfoldError: there is no leaderboard, or its order shows that the other direction is better
            (`score_direction_differs`).
    """
    found: dict[str, Leaderboard] = {}
    for source, name, data in _files(path):
        for board in _boards(source, name, _table(source, data), higher_is_better):
            found[board.name] = board  # the newest of several files
    return sorted(found.values(), key=lambda board: board.name == "private")


def _files(path: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Source, name and bytes of each CSV file in `path`, oldest first."""
    if path.is_dir():
        inside = sorted((each for each in path.iterdir() if each.suffix in (".csv", ".zip")), key=_age)
        if not inside:
            raise GoldfoldError(
                "no_leaderboard", f"{path} contains no leaderboard: put the CSV or zip from Kaggle there"
            )
        for each in inside:
            yield from _files(each)
    elif not path.exists():
        raise GoldfoldError(
            "no_leaderboard", f"there is no leaderboard {path}: get one with kaggle competitions leaderboard -d SLUG"
        )
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            members = [member for member in packed.infolist() if member.filename.endswith(".csv")]
            if not members or sum(member.file_size for member in members) > LARGEST:
                raise GoldfoldError(
                    "leaderboard_invalid",
                    f"{path} contains no CSV file of at most {LARGEST:,} bytes: download the leaderboard again",
                )
            for member in members:
                yield path, member.filename, packed.read(member)
    else:
        yield path, path.name, path.read_bytes()


def _age(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


def _table(source: Path, data: bytes) -> DataFrame:
    """Read a CSV with all fields as text and normalized column names; skips lines above the header."""
    try:
        text = data.decode("utf-8-sig")
        lines = text.splitlines(keepends=True)
        header = next((n for n, line in enumerate(lines[:9]) if _spelled(line.split(",")) & SCORES.keys()), None)
        if header is None:
            first = lines[0].strip()[:80] if lines else ""
            raise ValueError(f"no column Score, PublicScore or PrivateScore in '{first}'")
        table = pd.read_csv(io.StringIO("".join(lines[header:])), dtype=str, keep_default_na=False, index_col=False)
    except ValueError as error:
        raise GoldfoldError(
            "leaderboard_invalid", f"{source} is not a leaderboard ({error}): download it again"
        ) from error
    return table.set_axis([_spelling(column) for column in table.columns], axis=1)


def _spelling(column: str) -> str:
    return "".join(column.split()).replace("_", "").strip('"').lower()


def _spelled(columns: Sequence[str]) -> set[str]:
    return {_spelling(column) for column in columns}


def _boards(source: Path, file: str, table: DataFrame, higher_is_better: bool) -> Iterator[Leaderboard]:
    own = next((kind for kind in ("private", "public") if kind in Path(file).name.lower()), "leaderboard")
    for column in table.columns.intersection(list(SCORES)):
        yield _board(SCORES[column] or own, source, table, column, higher_is_better)


def _board(name: str, source: Path, table: DataFrame, column: str, higher_is_better: bool) -> Leaderboard:
    scores = pd.to_numeric(table[column], errors="coerce").astype(float)
    told, notes = np.isfinite(scores), []
    if not told.all():
        notes.append(f"{_lines(int((~told).sum()))} without a score left out")
    if not told.any():
        raise GoldfoldError(
            "leaderboard_invalid",
            f"{source} has no line with a score in column '{column}': download the leaderboard again",
        )
    table, scores = table[told], scores[told]
    _check_direction(source, table, scores, higher_is_better)
    best_first = scores.sort_values(ascending=not higher_is_better, kind="stable")
    teams = table.columns.intersection(list(TEAMS))
    if len(teams):
        again = table.loc[best_first.index, teams[0]].duplicated()
        if again.any():
            notes.append(f"{_lines(int(again.sum()))} of teams that have a better one left out")
        best_first = best_first[~again]
    return Leaderboard(name, source, best_first.to_numpy(), higher_is_better, _decimals(table[column]), tuple(notes))


def _lines(count: int) -> str:
    return f"{count:,} line" + "s" * (count > 1)


def _check_direction(source: Path, table: DataFrame, scores: Series, higher_is_better: bool) -> None:
    """Raise GoldfoldError if the teams are listed from the worst score to the best."""
    ranks = table.columns.intersection(list(RANKS))
    if len(ranks):
        scores = scores.iloc[np.argsort(pd.to_numeric(table[ranks[0]], errors="coerce"), kind="stable")]
    steps = np.diff(scores.to_numpy())
    steps = steps[steps != 0]
    wrong = np.count_nonzero(steps > 0 if higher_is_better else steps < 0)
    if len(steps) and wrong >= ORDERED * len(steps):
        words = ("higher", "lower") if higher_is_better else ("lower", "higher")
        raise GoldfoldError(
            "score_direction_differs",
            f"{source} goes from {scores.iloc[0]:g} at the top to {scores.iloc[-1]:g}, so {words[1]} is better there,"
            f" but {words[0]} is better for the competition's metric. Use a leaderboard of the same metric",
        )


def _decimals(texts: Series) -> int | None:
    if texts.str.contains("[eE]").any():
        return None
    return int(texts.str.partition(".")[2].str.strip().str.len().max())


def out_of_bounds_note(board: Leaderboard, metric: Metric) -> str | None:
    """Note about scores outside the range of `metric`; None if there are none."""
    low, high = metric.bounds
    outside = np.count_nonzero((board.scores < low) | (board.scores > high))
    if not outside:
        return None
    return (
        f"{outside:,} of {len(board.scores):,} scores are outside [{low:g}, {high:g}], the range of"
        f" {metric.name}: the leaderboard seems to use another metric"
    )
